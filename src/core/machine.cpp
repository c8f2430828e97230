#include "core/machine.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

namespace tern {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::string> first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  return line;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
  std::uint64_t value = 0;
  const std::errc status = std::from_chars(text.data(), text.data() + text.size(), value).ec;
  return status == std::errc{} ? std::optional(value) : std::nullopt;
}

std::optional<std::uint64_t> number_in(const fs::path& path) {
  const auto line = first_line(path);
  return line ? to_number(*line) : std::nullopt;
}

// The number on the line that begins with a key, such as "btime " of "btime 1700000000".
std::optional<std::uint64_t> number_at(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const auto digits = line.find_first_of("0123456789", key.size());
    if (digits == std::string::npos) break;
    return to_number(std::string_view(line).substr(digits));
  }
  return std::nullopt;
}

// The bytes at a key of a file with lines such as "MemAvailable:  123 kB".
std::optional<std::uint64_t> kib_at(const fs::path& path, std::string_view key) {
  const auto kib = number_at(path, key);
  return kib ? std::optional(*kib * 1024) : std::nullopt;
}

// The path of this process's cgroup in the hierarchy of `controller` ("" is cgroup v2).
fs::path own_cgroup(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {  // hierarchy:controllers:path
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);  // none either where there is no first
    if (second == std::string::npos) continue;
    const std::string list = ',' + line.substr(first + 1, second - first - 1) + ',';
    const bool match = controller.empty()
                           ? list == ",,"
                           : list.find(',' + std::string(controller) + ',') != std::string::npos;
    if (match) return fs::path(line.substr(second + 1)).relative_path();
  }
  return {};
}

// Calls visit(directory) for the cgroup of this process and each of its parents.
template <typename Visit>
void each_cgroup(const fs::path& mount, fs::path group, const Visit& visit) {
  for (;;) {
    visit(mount / group);
    if (group.empty()) return;
    group = group.parent_path();
  }
}

// How a version of cgroups names its memory files.
struct MemoryFiles {
  const char* limit;
  const char* use;
  std::array<std::string_view, 2> cache;  // lines of memory.stat: page cache of this whole group
};
constexpr MemoryFiles kMemoryV2{"memory.max", "memory.current", {"active_file", "inactive_file"}};
constexpr MemoryFiles kMemoryV1{
    "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_active_file", "total_inactive_file"}};

// Cached file pages count as used, but the kernel drops them before it refuses memory. Without
// them a model that was read before would seem to leave no room for itself.
std::uint64_t cached_bytes(const fs::path& directory, const MemoryFiles& files) {
  std::ifstream file(directory / "memory.stat");
  std::uint64_t total = 0;
  for (std::string line; std::getline(file, line);) {  // "active_file 4096"
    const auto space = line.find(' ');  // where there is none, the whole line is no number
    const std::string_view key = std::string_view(line).substr(0, space);
    if (std::find(files.cache.begin(), files.cache.end(), key) == files.cache.end()) continue;
    total += to_number(std::string_view(line).substr(space + 1)).value_or(0);
  }
  return total;
}

std::uint64_t memory_left(const fs::path& directory, const MemoryFiles& files) {
  const auto limit = number_in(directory / files.limit);  // "max" is no number: no limit
  const auto use = number_in(directory / files.use);
  if (!limit || !use) return kUnlimited;
  const std::uint64_t held = *use - std::min(*use, cached_bytes(directory, files));
  return *limit > held ? *limit - held : 0;
}

std::uint32_t ceil_quota(std::uint64_t quota, std::uint64_t period) {
  if (period == 0) return std::numeric_limits<std::uint32_t>::max();
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, (quota + period - 1) / period));
}

std::uint32_t quota_v2(const fs::path& directory) {
  const auto line = first_line(directory / "cpu.max");  // "200000 100000" or "max 100000"
  if (!line) return std::numeric_limits<std::uint32_t>::max();
  const auto quota = to_number(*line);
  const auto space = line->find(' ');
  const auto period = space == std::string::npos
                          ? std::nullopt
                          : to_number(std::string_view(*line).substr(space + 1));
  if (!quota || !period) return std::numeric_limits<std::uint32_t>::max();
  return ceil_quota(*quota, *period);
}

std::uint32_t quota_v1(const fs::path& directory) {
  const auto quota = number_in(directory / "cpu.cfs_quota_us");  // -1 is no quota
  const auto period = number_in(directory / "cpu.cfs_period_us");
  if (!quota || !period) return std::numeric_limits<std::uint32_t>::max();
  return ceil_quota(*quota, *period);
}

}  // namespace

std::uint64_t available_memory(const fs::path& root) {
  std::uint64_t least = kib_at(root / "proc/meminfo", "MemAvailable:").value_or(kUnlimited);
  const auto take = [&](std::uint64_t bytes) { least = std::min(least, bytes); };
  const fs::path mount = root / "sys/fs/cgroup";
  each_cgroup(mount, own_cgroup(root, ""),
              [&](const fs::path& directory) { take(memory_left(directory, kMemoryV2)); });
  each_cgroup(mount / "memory", own_cgroup(root, "memory"),
              [&](const fs::path& directory) { take(memory_left(directory, kMemoryV1)); });
  return least;
}

Result<void> require_memory(std::string_view what, std::uint64_t bytes, std::uint64_t available) {
  if (bytes <= available) return {};
  const auto mib = [](std::uint64_t n) {
    return std::to_string((n + (1u << 20) - 1) >> 20) + " MiB";
  };
  return Error{ErrorCode::kOutOfMemory,
               "needs " + mib(bytes) + ", but this machine or its cgroup can give " +
                   mib(available) + "; choose a smaller context or model, or free memory",
               std::string(what)};
}

std::uint32_t usable_cores(const fs::path& root) {
  std::uint32_t cores = 1;
#if defined(__linux__)
  constexpr std::size_t kMostCpus = 8192;  // the kernel refuses a set smaller than its own
  std::array<cpu_set_t, kMostCpus / CPU_SETSIZE> sets{};
  if (sched_getaffinity(0, sizeof(sets), sets.data()) == 0) {
    cores = static_cast<std::uint32_t>(std::max(1, CPU_COUNT_S(sizeof(sets), sets.data())));
  }
#else
  cores = std::max(1u, std::thread::hardware_concurrency());
#endif
  const fs::path mount = root / "sys/fs/cgroup";
  each_cgroup(mount, own_cgroup(root, ""),
              [&](const fs::path& directory) { cores = std::min(cores, quota_v2(directory)); });
  each_cgroup(mount / "cpu", own_cgroup(root, "cpu"),
              [&](const fs::path& directory) { cores = std::min(cores, quota_v1(directory)); });
  return cores;
}

std::uint64_t peak_resident_bytes() {
  // Not of getrusage where the kernel says more: that peak survives the reset and an exec.
  if (const auto bytes = kib_at("/proc/self/status", "VmHWM:")) return *bytes;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::optional<double> process_start_seconds(const fs::path& root) {
  const auto boot = number_at(root / "proc/stat", "btime ");
  const auto line = first_line(root / "proc/self/stat");
  if (!boot || !line) return std::nullopt;
  // "pid (name) state ...": proc(5) counts from 1, and a name may hold anything.
  constexpr int kState = 3, kStartTime = 22;
  std::istringstream fields(line->substr(line->rfind(')') + 1));
  std::string field;
  for (int i = kState; i <= kStartTime; ++i) fields >> field;
  const auto ticks = fields ? to_number(field) : std::nullopt;
  if (!ticks) return std::nullopt;
  return static_cast<double>(*boot) +
         static_cast<double>(*ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

bool reset_peak_resident() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;  // proc(5): resets the peak resident set size
  return file.good();
}

}  // namespace tern
