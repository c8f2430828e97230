// The data caches of this machine, as the kernel describes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace tern {

struct CacheLevel {
  std::uint32_t level;
  std::uint32_t count;  // caches of that level
  std::uint64_t bytes;  // of all of them
};

// In ascending order; instruction caches do not count. Empty where nothing can be read. `root` is
// "/" outside of tests.
std::vector<CacheLevel> cpu_caches(const std::filesystem::path& root = "/");

// "2 x L1 48 KiB, 2 x L2 1024 KiB, 1 x L3 32768 KiB"; "unknown caches" for none.
std::string describe_cpu_caches(const std::vector<CacheLevel>& levels);

}  // namespace tern
