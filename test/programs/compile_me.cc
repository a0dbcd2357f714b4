// A source for the compiler under test: much of the C++ library, and enough
// templates to fill its memory.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

template <int N>
struct Fibonacci {
  static constexpr unsigned long value =
      Fibonacci<N - 1>::value + Fibonacci<N - 2>::value;
};
template <>
struct Fibonacci<0> {
  static constexpr unsigned long value = 0;
};
template <>
struct Fibonacci<1> {
  static constexpr unsigned long value = 1;
};

int main() {
  int unused = 0;  // for a warning
  const std::string text = "one two three two three three";
  const std::regex word("[a-z]+");
  std::map<std::string, int> count;
  for (std::sregex_iterator i(text.begin(), text.end(), word), end; i != end;
       ++i)
    ++count[i->str()];
  for (const auto& [key, value] : count)
    std::cout << key << ' ' << value << '\n';

  std::vector<std::unique_ptr<std::variant<int, std::string>>> values;
  for (int i = 0; i < 1000; ++i) {
    values.push_back(i % 2 ? std::make_unique<std::variant<int, std::string>>(i)
                           : std::make_unique<std::variant<int, std::string>>(
                                 std::to_string(i)));
  }
  std::unordered_map<std::size_t, std::function<int(int)>> functions;
  for (const auto& v : values)
    functions[v->index()] = [&](int x) {
      return x + static_cast<int>(v->index());
    };
  std::ostringstream out;
  out << Fibonacci<80>::value << ' ' << functions[0](1) + functions[1](2);
  std::cout << out.str() << '\n';
}
