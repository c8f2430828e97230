// What this process may use of the machine: memory and cores, as the kernel and its cgroups say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "core/result.h"

namespace tern {

// Bytes that can be allocated without swapping: MemAvailable, or what is left of the memory limit
// of this process's cgroup or any of its parents, whichever is least; page cache counts as free.
// `root` is "/" outside of tests. Where nothing can be read: the largest value.
std::uint64_t available_memory(const std::filesystem::path& root = "/");

// kOutOfMemory, naming `what`, where `bytes` are more than `available`. Asked before an allocation,
// so that the answer is an error and not a killed process.
Result<void> require_memory(std::string_view what, std::uint64_t bytes, std::uint64_t available);

// Threads that can run at once: the smaller of the CPU affinity and the cgroup's CPU quota rounded
// up; at least 1.
std::uint32_t usable_cores(const std::filesystem::path& root = "/");

// Largest resident set of this process so far, or since it was reset, in bytes.
std::uint64_t peak_resident_bytes();

// Lets the peak begin anew at what is resident now. False where the system has no means for it.
bool reset_peak_resident();

// When this process began, in seconds since 1970-01-01T00:00:00Z; as exact as the kernel's clock of
// processes, mostly 0.01 s. Nothing where the kernel does not say.
std::optional<double> process_start_seconds(const std::filesystem::path& root = "/");

}  // namespace tern
