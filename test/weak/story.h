// What happened in an execution, as text.
#ifndef AOMALLOC_TEST_WEAK_STORY_H_
#define AOMALLOC_TEST_WEAK_STORY_H_

#include <stdio.h>
#include <string.h>

#include <map>
#include <string>
#include <vector>

#include "test/weak/model.h"

namespace aomalloc::weak {

struct Event {
  int thread;
  size_t site;
  const void* word;
  AO_t value;
  char what;
};

inline std::string Story(const std::vector<Event>& events,
                         const std::vector<Site>& sites) {
  std::map<const void*, int> names;
  std::string story;
  for (const Event& event : events) {
    const int name = names.insert({event.word, static_cast<int>(names.size())})
                         .first->second;
    char line[400];
    if (event.what == 'S') {
      snprintf(line, sizeof(line), "    thread %d stops for ever\n",
               event.thread);
    } else {
      const Site& site = sites[event.site];
      const char* file = strstr(site.file, "core/");
      snprintf(line, sizeof(line),
               "    thread %d  %-17s word %-2d  %s 0x%zx  %s:%d %s\n",
               event.thread, site.operation, name,
               event.what == 'r'   ? "reads "
               : event.what == 'f' ? "fails on"
                                   : "writes",
               event.value, file != nullptr ? file : site.file, site.line,
               site.function);
    }
    story += line;
  }
  return story;
}

}  // namespace aomalloc::weak

#endif  // AOMALLOC_TEST_WEAK_STORY_H_
