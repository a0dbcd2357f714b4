// A C++ library that a C program loads (plugin_host.c).
#include <new>
#include <string>
#include <vector>

namespace {
int handler_calls;
}

// 0 if operator new behaves as C++ demands.
extern "C" int TryToAllocate(size_t too_much) {
  std::vector<std::string> strings;
  for (int i = 0; i < 1000; ++i) strings.emplace_back(i, 'x');
  std::set_new_handler([] {
    if (++handler_calls == 2) std::set_new_handler(nullptr);
  });
  try {
    operator delete(operator new(too_much));
    return 1;
  } catch (const std::bad_alloc&) {
    if (handler_calls != 2) return 2;
  }
  try {
    operator delete (operator new (too_much, std::align_val_t{64}),
                     std::align_val_t{64});
    return 3;
  } catch (const std::bad_alloc&) {
  }
  if (operator new(too_much, std::nothrow) != nullptr) return 4;
  return strings[999].size() == 999 ? 0 : 5;
}
