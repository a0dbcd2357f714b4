#include "counts.h"

#include <algorithm>

namespace transfers {
namespace {

// How many lines, and how many instructions, are written down.
constexpr size_t kWorstLines = 200;
constexpr size_t kWorstPlaces = 60;

constexpr const char* kNames[kKinds] = {"allocator", "blocks", "stacks",
                                        "program"};

uint64_t Weight(const Sum& sum) { return sum.transfers + sum.invalidations; }

void WriteSum(FILE* out, const Sum& sum) {
  fprintf(out, "\"transfers\": %lu, \"invalidations\": %lu",
          static_cast<unsigned long>(sum.transfers),
          static_cast<unsigned long>(sum.invalidations));
}

// The entries of a map from a number to what has a `sum`, the heaviest first.
template <typename Map>
std::vector<const typename Map::value_type*> Worst(const Map& map,
                                                   size_t most) {
  std::vector<const typename Map::value_type*> all;
  all.reserve(map.size());
  for (const auto& entry : map) all.push_back(&entry);
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) {
    const uint64_t of_a = Weight(a->second.sum);
    const uint64_t of_b = Weight(b->second.sum);
    return of_a != of_b ? of_a > of_b : a->first < b->first;
  });
  if (all.size() > most) all.resize(most);
  return all;
}

}  // namespace

Counts::Page& Counts::PageAt(uint64_t number) {
  Found& found = found_[number % found_.size()];
  if (found.number != number) {
    const Owner owner = regions_.OwnerOf(number << kPageShift);
    found = {number, &pages_.try_emplace(number, owner).first->second};
  }
  return *found.page;
}

void Counts::Add(const Access& access, uint64_t address, unsigned size) {
  ++accesses_;
  const uint64_t last = (address + size - 1) >> kLineShift;
  for (uint64_t line = address >> kLineShift; line <= last; ++line) {
    AddToLine(access, line);
  }
}

void Counts::AddToLine(const Access& access, uint64_t line) {
  Page& page = PageAt(line >> (kPageShift - kLineShift));
  const uint64_t index = line % kLines;
  CacheLine& cached = page.lines[index];
  const Traffic traffic =
      access.store ? cached.Store(access.cache) : cached.Load(access.cache);
  if (!traffic) return;
  Kind kind = kProgramsLine;
  if (page.owner == Owner::kStack) {
    kind = kStackLine;
  } else if ((page.blocks >> index & 1) != 0) {
    kind = kBlockLine;
  } else if (page.owner == Owner::kAllocator) {
    kind = kAllocatorsLine;
  }
  sums_[kind][access.inside ? 1 : 0].Add(traffic);
  Detail& detail = details_[line];
  detail.kind = kind;
  detail.sum.Add(traffic);
  for (Place* place :
       {&detail.places[access.code], &places_[kind][access.code]}) {
    place->sum.Add(traffic);
    place->store |= access.store;
  }
}

template <typename F>
void Counts::ForPages(uint64_t start, uint64_t size, F f) {
  const uint64_t first = start >> kPageShift;
  const uint64_t end = (start + size + (1 << kPageShift) - 1) >> kPageShift;
  if (end - first > pages_.size()) {
    for (auto& [number, page] : pages_) {
      if (number - first < end - first) f(number, page);
    }
    return;
  }
  for (uint64_t number = first; number < end; ++number) {
    const auto page = pages_.find(number);
    if (page != pages_.end()) f(number, page->second);
  }
}

void Counts::Forget(uint64_t start, uint64_t size) {
  ForPages(start, size, [](uint64_t, Page& page) {
    page.blocks = 0;
    for (CacheLine& line : page.lines) line.Forget();
  });
}

void Counts::Changed(uint64_t start, uint64_t size) {
  ForPages(start, size, [this](uint64_t number, Page& page) {
    page.owner = regions_.OwnerOf(number << kPageShift);
  });
}

void Counts::Allocated(uint32_t cache, uint64_t block, uint64_t size) {
  if (block == 0) return;
  live_[block] = {cache, size};
  if (size != 0) {
    const uint64_t last = (block + size - 1) >> kLineShift;
    for (uint64_t line = block >> kLineShift; line <= last; ++line) {
      PageAt(line >> (kPageShift - kLineShift)).blocks |= uint64_t{1}
                                                          << line % kLines;
    }
  }
  if (++objects_ % kStep == 0) milestones_.push_back(sums_);
}

void Counts::Freeing(uint32_t cache, uint64_t block) {
  const auto found = live_.find(block);
  if (found == live_.end()) return;
  if (found->second.cache != cache) ++exchanged_;
  live_.erase(found);
}

void Counts::WriteSums(FILE* out, const Sums& sums) {
  const char* separator = "{";
  for (int kind = 0; kind < kKinds; ++kind) {
    for (const bool inside : {true, false}) {
      fprintf(out, "%s\"%s %s\": {", separator, kNames[kind],
              inside ? "inside" : "outside");
      WriteSum(out, sums[kind][inside ? 1 : 0]);
      fprintf(out, "}");
      separator = ",\n  ";
    }
  }
  fprintf(out, "}");
}

void Counts::WritePlaces(FILE* out,
                         const std::unordered_map<uint64_t, Place>& places) {
  const char* separator = "";
  for (const auto* entry : Worst(places, kWorstPlaces)) {
    fprintf(out, "%s{\"code\": %lu, \"store\": %s, ", separator,
            static_cast<unsigned long>(entry->first),
            entry->second.store ? "true" : "false");
    WriteSum(out, entry->second.sum);
    fprintf(out, "}");
    separator = ",\n   ";
  }
}

void Counts::Write(FILE* out) const {
  const size_t half = milestones_.size() / 2;
  fprintf(out,
          "\"objects\": %lu, \"exchanged\": %lu, \"accesses\": %lu,\n"
          "\"half\": %lu, \"sums\": ",
          static_cast<unsigned long>(objects_),
          static_cast<unsigned long>(exchanged_),
          static_cast<unsigned long>(accesses_),
          static_cast<unsigned long>(half * kStep));
  WriteSums(out, sums_);
  fprintf(out, ",\n\"sums at half\": ");
  WriteSums(out, half == 0 ? Sums() : milestones_[half - 1]);
  fprintf(out, ",\n\"places\": {");
  for (int kind = 0; kind < kKinds; ++kind) {
    fprintf(out, "%s\"%s\": [", kind == 0 ? "" : ",\n ", kNames[kind]);
    WritePlaces(out, places_[kind]);
    fprintf(out, "]");
  }
  fprintf(out, "},\n\"lines\": [");
  const char* separator = "";
  for (const auto* entry : Worst(details_, kWorstLines)) {
    fprintf(out, "%s{\"address\": %lu, \"kind\": \"%s\", ", separator,
            static_cast<unsigned long>(entry->first << kLineShift),
            kNames[entry->second.kind]);
    WriteSum(out, entry->second.sum);
    fprintf(out, ", \"places\": [");
    WritePlaces(out, entry->second.places);
    fprintf(out, "]}");
    separator = ",\n  ";
  }
  fprintf(out, "],\n\"files\": [");
  regions_.WriteFiles(out);
  fprintf(out, "]");
}

}  // namespace transfers
