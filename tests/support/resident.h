// How much of some memory is in this process, from the kernel's own account.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "core/file_descriptor.h"

namespace tern::test {

// Of the whole pages within `bytes`.
inline std::size_t resident_bytes(std::span<const std::byte> bytes) {
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const FileDescriptor pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  std::size_t resident = 0;
  for (std::uintptr_t i = (begin + page - 1) / page; (i + 1) * page <= begin + bytes.size(); ++i) {
    std::uint64_t entry = 0;
    const auto at = static_cast<off_t>(i * sizeof entry);
    if (::pread(pagemap.get(), &entry, sizeof entry, at) != sizeof entry) {
      throw std::runtime_error("cannot read /proc/self/pagemap");
    }
    if ((entry & kPresent) != 0) resident += page;
  }
  return resident;
}

}  // namespace tern::test
