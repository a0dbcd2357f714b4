// grow [STEPS]: large blocks grow by realloc, in turn, so that each is in the
// way of the next and has to move, again and again. Some have pages that were
// never touched, and of some a part is locked while they grow. Each page of a
// block is compared when it has grown.
//
// Pages are moved by the kernel, and kernels differ in what they refuse to
// move, and in what they have done already when they refuse.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kBlocks = 8, kSteps = 200, kMostMiB = 24 };

static const size_t kMiB = (size_t)1 << 20;
static size_t page;

static struct Block {
  char *start;
  size_t bytes;
  size_t id;
} blocks[kBlocks];

static size_t Random(void) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// A page holds one word, at a place that differs from page to page. Of each
// third block only each 16th page is touched.
static int IsTouched(const struct Block *block, size_t i) {
  return block->id % 3 != 0 || i % 16 == 0;
}
static uint64_t WordOf(const struct Block *block, size_t i) {
  return (uint64_t)block->id << 32 | (i + 1);
}
static uint64_t *PlaceOf(const struct Block *block, size_t i) {
  return (uint64_t *)(block->start + i * page + i * 40 % page);
}

static void Fill(const struct Block *block, size_t from) {
  for (size_t i = from; (i + 1) * page <= block->bytes; ++i) {
    if (IsTouched(block, i)) *PlaceOf(block, i) = WordOf(block, i);
  }
}

static void Compare(const struct Block *block, size_t bytes, int step) {
  for (size_t i = 0; (i + 1) * page <= bytes; ++i) {
    if (!IsTouched(block, i)) continue;
    const uint64_t word = *PlaceOf(block, i);
    if (word == WordOf(block, i)) continue;
    printf("step %d, block %zu of %zu bytes: page %zu has %#jx, not %#jx\n",
           step, block->id, block->bytes, i, (uintmax_t)word,
           (uintmax_t)WordOf(block, i));
    exit(1);
  }
}

static void Begin(struct Block *block) {
  static size_t ids = 0;
  block->id = ++ids;
  block->bytes = kMiB + Random() % kMiB;
  block->start = malloc(block->bytes);
  if (block->start == NULL) {
    printf("no memory for %zu bytes\n", block->bytes);
    exit(1);
  }
  Fill(block, 0);
}

// True if the block moved.
static int Grow(struct Block *block, int step) {
  const size_t before = block->bytes;
  // So that the block is more than one mapping.
  const int locked = Random() % 4 == 0;
  if (locked && mlock(block->start + before / 2, 4 * page) != 0) {
    perror("mlock");
    exit(1);
  }
  const size_t bytes = before + before / 4 + Random() % kMiB;
  char *grown = realloc(block->start, bytes);
  if (grown == NULL) {
    printf("step %d: no memory for %zu bytes\n", step, bytes);
    exit(1);
  }
  if (locked) munlockall();
  const int moved = grown != block->start;
  block->start = grown;
  block->bytes = bytes;
  Compare(block, before, step);
  Fill(block, before / page);
  return moved;
}

int main(int argc, char **argv) {
  const int steps = argc > 1 ? atoi(argv[1]) : kSteps;
  int moves = 0;
  page = (size_t)sysconf(_SC_PAGESIZE);
  setvbuf(stdout, NULL, _IONBF, 0);
  for (int i = 0; i < kBlocks; ++i) Begin(&blocks[i]);
  for (int step = 0; step < steps; ++step) {
    struct Block *block = &blocks[step % kBlocks];
    moves += Grow(block, step);
    if (block->bytes <= kMostMiB * kMiB) continue;
    for (int i = 0; i < kBlocks; ++i) {
      Compare(&blocks[i], blocks[i].bytes, step);
    }
    free(block->start);
    Begin(block);
  }
  for (int i = 0; i < kBlocks; ++i) {
    Compare(&blocks[i], blocks[i].bytes, steps);
    free(blocks[i].start);
  }
  printf("%d of %d steps moved a block\n", moves, steps);
  return 0;
}
