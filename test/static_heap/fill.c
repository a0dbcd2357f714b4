/* How much of a fixed heap a program can use.
 *
 *   fill copies BYTES TRACE   allocates what the recorded program had at its
 *                             peak, by the way that led there, again and again
 *   fill churn BYTES PERCENT OPERATIONS TRACE
 *                             fills PERCENT of BYTES with blocks of sizes drawn
 *                             from the trace, then frees and allocates blocks
 *                             at random; then counts what more can be had
 *
 * BYTES is the size of the heap that the figures are relative to. Blocks count
 * with the size that was requested, rounded up to 16 bytes. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { most_events = 1 << 20, most_blocks = 1 << 20 };

struct event {
  uint64_t address;
  int64_t size; /* -1: freed */
};

static struct event events[most_events];
static size_t count, peak; /* of events: all, and up to the peak */

struct block {
  unsigned char *at;
  size_t size;
};
static struct block blocks[most_blocks];
static size_t live, live_bytes;

static size_t cost(size_t size) { return size == 0 ? 16 : (size + 15) & ~15ul; }

static void fail(const char *what) {
  fprintf(stderr, "fill: %s\n", what);
  exit(1);
}

/* Each block's first and last byte tell whose it is. */
static unsigned char mark(const struct block *b) {
  return (unsigned char)(((uintptr_t)b->at >> 4) ^ b->size);
}

static int get(size_t size) {
  if (live == most_blocks) fail("too many blocks");
  struct block *b = &blocks[live];
  b->at = malloc(size);
  if (b->at == NULL) return 0;
  b->size = size;
  if (size != 0) b->at[0] = b->at[size - 1] = mark(b);
  live++;
  live_bytes += cost(size);
  return 1;
}

static void put(size_t i) {
  struct block *b = &blocks[i];
  if (b->size != 0 && (b->at[0] != mark(b) || b->at[b->size - 1] != mark(b))) {
    fail("a block is damaged");
  }
  free(b->at);
  live_bytes -= cost(b->size);
  *b = blocks[--live];
}

/* Reads the trace, finds its peak, and turns addresses into event numbers: a
 * free names the event that allocated its block, or -1. */
static void read_trace(const char *name) {
  FILE *file = fopen(name, "rb");
  static char buffer[4096];
  if (file == NULL) fail("no such trace");
  setvbuf(file, buffer, _IOFBF, sizeof buffer);
  count = fread(events, sizeof events[0], most_events, file);
  fclose(file);
  static uint64_t at[most_events];
  int64_t now = 0, most = 0;
  for (size_t i = 0; i < count; i++) {
    at[i] = events[i].address;
    if (events[i].size >= 0) {
      now += events[i].size;
    } else {
      size_t j = i;
      while (j > 0 && (at[j - 1] != at[i] || events[j - 1].size < 0)) j--;
      events[i].address = j - 1; /* wraps to -1 */
      if (j > 0) {
        now -= events[j - 1].size;
        at[j - 1] = 0;
      }
    }
    if (now > most) {
      most = now;
      peak = i + 1;
    }
  }
  if (peak == 0) fail("nothing in the trace");
  printf("%zu events, %zu to the peak of %lld bytes\n", count, peak,
         (long long)most);
}

static void print_live(const char *when, size_t bytes) {
  printf("%s: %zu blocks, %zu bytes, %.1f %% live\n", when, live, live_bytes,
         100.0 * (double)live_bytes / (double)bytes);
}

/* A refused block is done without. Ends when a copy gets less than half of its
 * bytes. */
static void copies(size_t bytes) {
  static size_t where[most_events]; /* in `blocks`, plus 1 */
  static size_t whose[most_blocks]; /* the event of a block */
  int refused_before = 0;
  for (;;) {
    size_t refused = 0, before = live_bytes;
    for (size_t i = 0; i < peak; i++) {
      if (events[i].size >= 0) {
        if (get((size_t)events[i].size)) {
          where[i] = live;
          whose[live - 1] = i;
          continue;
        }
        where[i] = 0;
        refused += cost((size_t)events[i].size);
        if (!refused_before) print_live("at the first refusal", bytes);
        refused_before = 1;
      } else if (events[i].address != (uint64_t)-1 &&
                 where[events[i].address] != 0) {
        size_t hole = where[events[i].address] - 1;
        put(hole);
        whose[hole] = whose[live];
        if (hole != live) where[whose[hole]] = hole + 1;
      }
    }
    /* What is left stays. */
    if (refused > live_bytes - before) return;
  }
}

static uint64_t random_state = 88172645463325252u;
static uint64_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static size_t random_size(void) {
  for (;;) {
    const struct event *e = &events[next_random() % count];
    if (e->size >= 0) return (size_t)e->size;
  }
}

int main(int argc, char **argv) {
  static char buffer[4096];
  setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
  if (argc < 4) fail("arguments?");
  const size_t bytes = strtoul(argv[2], NULL, 0);
  if (strcmp(argv[1], "copies") == 0) {
    read_trace(argv[3]);
    copies(bytes);
    print_live("full", bytes);
    while (live > 0) put(live - 1);
    void *half = malloc(bytes / 2);
    printf("half of the heap afterwards: %s\n", half != NULL ? "yes" : "no");
    return 0;
  }
  if (argc != 6) fail("arguments?");
  const size_t wanted = bytes / 100 * strtoul(argv[3], NULL, 0);
  size_t operations = strtoul(argv[4], NULL, 0);
  read_trace(argv[5]);
  size_t refused = 0, done = 0, asked = 0;
  for (; done < operations; done++) {
    if (live > 0 && (live_bytes >= wanted || next_random() % 4 == 0)) {
      put(next_random() % live);
    } else {
      asked++;
      if (!get(random_size())) {
        refused++;
        if (live > 0) put(next_random() % live);
      }
    }
  }
  printf("%zu operations, %zu of %zu requests refused, %.1f %% live\n", done,
         refused, asked, 100.0 * (double)live_bytes / (double)bytes);
#ifdef __GLIBC__
  struct mallinfo2 info = mallinfo2();
  printf("taken from the system: %.1f %%\n",
         100.0 * (double)(info.arena + info.hblkhd) / (double)bytes);
#endif
  while (live_bytes < bytes && get(random_size())) {
  }
  printf("until one is refused: %.1f %% live\n",
         100.0 * (double)live_bytes / (double)bytes);
  return 0;
}
