// A program that replaces operator new and delete of the plainest form and no
// other, as programs do, and trusts that every other form comes to them (C++17
// [new.delete]). Prints how often that was for each.
#include <stdio.h>
#include <stdlib.h>

#include <new>

namespace {

constexpr size_t kBytes = 1 << 20;
alignas(16) char pool[kBytes];
size_t pool_used;
int news, deletes;

alignas(64) char aligned_pool[kBytes];
size_t aligned_pool_used;
int aligned_news, aligned_deletes;

[[noreturn]] void Fail(const char* what) {
  printf("FAILED: %s\n", what);
  exit(1);
}

void Expect(const char* form, void* block) {
  if (block == nullptr) Fail(form);
  static_cast<volatile char*>(block)[0] = 1;
}

void Say(const char* form) {
  printf("%-24s %d %d, aligned %d %d\n", form, news, deletes, aligned_news,
         aligned_deletes);
  news = deletes = aligned_news = aligned_deletes = 0;
}

}  // namespace

// Blocks of a pool, which no other allocator knows.
void* operator new(size_t size) {
  ++news;
  size = (size + 15) & ~size_t{15};
  if (size > kBytes - pool_used) throw std::bad_alloc();
  void* block = pool + pool_used;
  pool_used += size;
  return block;
}

void operator delete(void* block) noexcept {
  ++deletes;
  if (block < pool || block >= pool + kBytes) Fail("delete of another's block");
}

void* operator new(size_t size, std::align_val_t) {
  ++aligned_news;
  size = (size + 63) & ~size_t{63};
  if (size > kBytes - aligned_pool_used) throw std::bad_alloc();
  void* block = aligned_pool + aligned_pool_used;
  aligned_pool_used += size;
  return block;
}

void operator delete(void* block, std::align_val_t) noexcept {
  ++aligned_deletes;
  if (block < aligned_pool || block >= aligned_pool + kBytes) {
    Fail("aligned delete of another's block");
  }
}

int main() {
  constexpr std::align_val_t kAligned{64};
  volatile size_t too_much = 2 * kBytes;
  void* p;

  Expect("new", p = operator new(10));
  operator delete(p);
  Say("new, delete");
  Expect("sized delete", p = operator new(10));
  operator delete (p, size_t{10});
  Say("new, sized delete");
  Expect("new nothrow", p = operator new(10, std::nothrow));
  operator delete(p, std::nothrow);
  Say("new, delete nothrow");
  Expect("new[]", p = operator new[](10));
  operator delete[](p);
  Say("new[], delete[]");
  Expect("sized delete[]", p = operator new[](10));
  operator delete[](p, size_t{10});
  Say("new[], sized delete[]");
  Expect("new[] nothrow", p = operator new[](10, std::nothrow));
  operator delete[](p, std::nothrow);
  Say("new[], delete[] nothrow");

  Expect("aligned new", p = operator new(10, kAligned));
  operator delete(p, kAligned);
  Say("aligned");
  Expect("aligned sized delete", p = operator new(10, kAligned));
  operator delete (p, size_t{10}, kAligned);
  Say("aligned, sized");
  Expect("aligned new nothrow", p = operator new(10, kAligned, std::nothrow));
  operator delete(p, kAligned, std::nothrow);
  Say("aligned, nothrow");
  Expect("aligned new[]", p = operator new[](10, kAligned));
  operator delete[](p, kAligned);
  Say("aligned []");
  Expect("aligned sized delete[]", p = operator new[](10, kAligned));
  operator delete[](p, size_t{10}, kAligned);
  Say("aligned [], sized");
  Expect("aligned new[] nothrow",
         p = operator new[](10, kAligned, std::nothrow));
  operator delete[](p, kAligned, std::nothrow);
  Say("aligned [], nothrow");

  // What the replacement throws, the forms that do not throw catch.
  if (operator new(too_much, std::nothrow) != nullptr ||
      operator new[](too_much, std::nothrow) != nullptr ||
      operator new(too_much, kAligned, std::nothrow) != nullptr ||
      operator new[](too_much, kAligned, std::nothrow) != nullptr) {
    Fail("too much was had");
  }
  Say("too much, nothrow");
  return 0;
}
