// What is mapped in the program, and whose it is.
#ifndef AOMALLOC_TEST_TRANSFERS_REGIONS_H_
#define AOMALLOC_TEST_TRANSFERS_REGIONS_H_

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace transfers {

enum class Owner {
  kAllocator,  // its variables, and what it has mapped
  kProgram,    // that of anybody else: the program, its other libraries
  kStack,      // stacks, with the thread-local variables that lie there
};

class Regions {
 public:
  // `allocator` is the file name of the library that is looked at.
  explicit Regions(std::string allocator) : allocator_(std::move(allocator)) {}

  // Reads what is mapped when the program begins. `code` is its first
  // instruction, in the dynamic loader. False if that is mapped nowhere.
  bool Begin(uint64_t code);
  // The stack of the first thread: where its first push went.
  void AddFirstStack(uint64_t address);

  // A file was mapped.
  void AddFile(uint64_t start, uint64_t size, uint64_t offset, int file);
  // Memory without a file was mapped by the instruction at `code`. Variables
  // of a library that are zero are mapped like this, over its other pages, by
  // the loader: they stay the library's.
  void AddMemory(uint64_t start, uint64_t size, uint64_t code, Owner owner);

  Owner OwnerOf(uint64_t address) const;
  bool IsLoader(uint64_t code) const;
  // For the library that is looked at, and its constructors.
  bool IsAllocator(uint64_t code) const;

  // Writes the files as JSON: where each one's offset 0 is.
  void WriteFiles(FILE* out) const;

 private:
  static constexpr int kNoFile = -1;
  struct Region {
    uint64_t end;
    Owner owner;
    int file;  // index in files_
  };
  struct File {
    std::string path;
    uint64_t base;  // where its offset 0 is mapped
  };

  const Region* Find(uint64_t address) const;
  void Set(uint64_t start, uint64_t end, Owner owner, int file);
  void SetFile(uint64_t start, uint64_t end, uint64_t offset,
               const std::string& path);

  const std::string allocator_;
  std::map<uint64_t, Region> regions_;  // by start
  std::vector<File> files_;
  int loader_ = kNoFile;
};

}  // namespace transfers

#endif  // AOMALLOC_TEST_TRANSFERS_REGIONS_H_
