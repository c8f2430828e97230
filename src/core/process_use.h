// What this process takes of the machine, as the kernel says.
#pragma once

#include <filesystem>
#include <optional>

namespace tern {

// Nothing where the kernel does not say.
struct ProcessUse {
  std::optional<double> resident_bytes = {};
  std::optional<double> virtual_bytes = {};
  std::optional<double> open_files = {};  // descriptors
  std::optional<double> most_files = {};
  std::optional<double> cpu_seconds = {};  // its own and the system's for it
};

// `root` is "/" outside of tests; limit and time come from calls of the system in any case.
ProcessUse process_use(const std::filesystem::path& root = "/");

}  // namespace tern
