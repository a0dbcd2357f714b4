// What the program under qemu tells the plugin: system calls that no kernel
// has. The plugin sees the number and the arguments, and the kernel refuses.
#ifndef AOMALLOC_TEST_TRANSFERS_ANNOUNCE_H_
#define AOMALLOC_TEST_TRANSFERS_ANNOUNCE_H_

namespace transfers {

enum Announcement : long {
  kMain = 0xA0A00,  // the program's main begins
  kEnter,           // the thread calls the allocator
  kAllocated,       // it has a block: its address, and its size
  kFreeing,         // it calls the allocator to free the block at this address
  kLeave,           // the call that freed something is over
};

}  // namespace transfers

#endif  // AOMALLOC_TEST_TRANSFERS_ANNOUNCE_H_
