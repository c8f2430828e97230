// Time that a hypervisor gave to others while this machine wanted to run: what disturbs a
// measurement from outside.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace tern::diagnose {

// Jiffies of all CPUs together since boot.
struct CpuTime {
  std::uint64_t total = 0;  // guest time, which user time holds already, not counted twice
  std::uint64_t stolen = 0;
};

// The line "cpu ..." of /proc/stat. No value where it lacks the field "steal".
std::optional<CpuTime> parse_cpu_time(std::string_view proc_stat);

// `root` is "/" outside of tests.
std::optional<CpuTime> read_cpu_time(const std::filesystem::path& root = "/");

// Stolen share of the time between two readings, 0 to 1; 0 where no jiffy passed.
double stolen_share(const CpuTime& before, const CpuTime& after);

}  // namespace tern::diagnose
