#include "core/cpu_caches.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <utility>

namespace tern {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of "48", and of "1024K", without regard to the unit.
std::uint64_t number_of(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

void add(std::vector<CacheLevel>& levels, std::uint32_t level, std::uint64_t bytes) {
  const auto same = [&](const CacheLevel& known) { return known.level == level; };
  auto found = std::find_if(levels.begin(), levels.end(), same);
  if (found == levels.end()) found = levels.insert(levels.end(), {level, 0, 0});
  ++found->count;
  found->bytes += bytes;
}

}  // namespace

std::vector<CacheLevel> cpu_caches(const fs::path& root) {
  std::vector<CacheLevel> levels;
  std::set<std::pair<std::uint64_t, std::string>> seen;  // one cache is listed by each CPU of it
  const fs::path cpus = root / "sys/devices/system/cpu";
  for (std::size_t cpu = 0;; ++cpu) {
    const fs::path caches = cpus / ("cpu" + std::to_string(cpu)) / "cache";
    std::error_code error;
    if (!fs::exists(caches, error)) break;
    for (std::size_t index = 0;; ++index) {
      const fs::path cache = caches / ("index" + std::to_string(index));
      const std::uint64_t level = number_of(first_line(cache / "level"));
      if (level == 0) break;
      const std::uint64_t kib = number_of(first_line(cache / "size"));
      const std::string type = first_line(cache / "type");
      if (kib == 0 || (type != "Data" && type != "Unified")) continue;
      if (!seen.emplace(level, first_line(cache / "shared_cpu_list")).second) continue;
      add(levels, static_cast<std::uint32_t>(level), kib * 1024);
    }
  }
  std::sort(levels.begin(), levels.end(),
            [](const CacheLevel& a, const CacheLevel& b) { return a.level < b.level; });
  return levels;
}

std::string describe_cpu_caches(const std::vector<CacheLevel>& levels) {
  std::string text;
  for (const CacheLevel& level : levels) {
    if (!text.empty()) text += ", ";
    text += std::to_string(level.count) + " x L" + std::to_string(level.level) + " " +
            std::to_string(level.bytes / level.count / 1024) + " KiB";
  }
  return text.empty() ? "unknown caches" : text;
}

}  // namespace tern
