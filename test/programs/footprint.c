// footprint: allocates a little, and prints in KiB the address space of the
// process and, of each library whose name has "aomalloc" in it, what is mapped
// writable for its variables. A collector such as libgc reads that each time.
#define _GNU_SOURCE
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int add(struct dl_phdr_info *image, size_t size, void *sum) {
  (void)size;
  if (strstr(image->dlpi_name, "aomalloc") == NULL) return 0;
  for (int i = 0; i < image->dlpi_phnum; i++) {
    const ElfW(Phdr) *header = &image->dlpi_phdr[i];
    if (header->p_type == PT_LOAD && (header->p_flags & PF_W) != 0) {
      *(size_t *)sum += header->p_memsz;
    }
  }
  return 0;
}

static size_t address_space(void) {
  size_t kilobytes = 0;
  char line[200];
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) return 0;
  while (fgets(line, sizeof line, file) != NULL) {
    if (sscanf(line, "VmSize: %zu", &kilobytes) == 1) break;
  }
  fclose(file);
  return kilobytes;
}

int main(void) {
  size_t variables = 0;
  for (int i = 0; i < 100; i++) {
    char *block = malloc((size_t)i * 20);
    if (block == NULL) return 1;
    if (i % 2 == 0) free(block);
  }
  dl_iterate_phdr(add, &variables);
  printf("%zu %zu\n", address_space(), variables >> 10);
  return 0;
}
