// For compilers: much of the standard library, instantiated COUNT times.
#ifndef QUICK
#include <future>
#include <iostream>
#include <random>
#include <regex>
#endif
#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

template <int N>
struct Key {
  int value;
  bool operator<(const Key& other) const { return value < other.value; }
};

template <int N>
struct Shop {
  using Item = std::variant<int, std::string, std::vector<Key<N>>>;
  std::map<Key<N>, std::shared_ptr<Item>> items;
  std::unordered_map<std::string, std::function<int(Key<N>)>> rules;
  std::set<std::tuple<Key<N>, Key<N>, std::string>> sold;
  std::deque<std::optional<Key<N>>> queue;

  int Run(int seed) {
    for (int n = 0; n < seed; ++n) {
      items[{n}] = std::make_shared<Item>(std::vector<Key<N>>{{n}, {n + N}});
      rules[std::to_string(n)] = [n](Key<N> key) { return key.value + n; };
      sold.emplace(Key<N>{n}, Key<N>{seed}, std::to_string(N));
      queue.push_back(n % 2 ? std::optional<Key<N>>({n}) : std::nullopt);
    }
    std::sort(queue.begin(), queue.end(), [](const auto& a, const auto& b) {
      return a && b ? *a < *b : bool(a) < bool(b);
    });
    std::ostringstream out;
    for (auto& [key, item] : items) {
      out << std::visit(
          [&](auto& value) -> int {
            if constexpr (std::is_same_v<std::decay_t<decltype(value)>, int>) {
              return value;
            } else {
              return int(value.size());
            }
          },
          *item);
      for (auto& rule : rules) out << rule.second(key);
    }
    return int(out.str().size() + sold.size());
  }
};

template <int... kNumbers>
int RunAll(int seed, std::integer_sequence<int, kNumbers...>) {
  return (Shop<kNumbers>().Run(seed) + ...);
}

int main(int argc, char** argv) {
#ifndef QUICK
  const std::regex number("([0-9]+)|(0x[0-9a-f]+)");
  if (argc > 1 && !std::regex_match(argv[1], number)) return 1;
#endif
  return RunAll(argc + (argv != nullptr),
                std::make_integer_sequence<int, COUNT>());
}
