#include "core/aligned_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>  // does nothing where the build has no AddressSanitizer
#else
#define ASAN_POISON_MEMORY_REGION(memory, bytes) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(memory, bytes) static_cast<void>(0)
#endif

namespace tern {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Of a mapping: its pages and, for AddressSanitizer, one behind them that nobody may touch.
std::size_t mapped_bytes(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return round_up(bytes, page) + page;
}

// Memory from the system itself, which alone says that it is zero. nullptr where there is none.
std::byte* map(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  const std::size_t kept = mapped_bytes(bytes);
  void* const found =
      ::mmap(nullptr, kept + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (found == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(found);
  const auto address = reinterpret_cast<std::uintptr_t>(found);
  const std::size_t before = round_up(address, kHugePage) - address;
  std::byte* const memory = begin + before;
  static_cast<void>(::munmap(begin, before));
  static_cast<void>(::munmap(memory + kept, kHugePage - before));
  // Advice: without it, smaller pages serve as well, more slowly.
  static_cast<void>(::madvise(memory, bytes, MADV_HUGEPAGE));
  ASAN_POISON_MEMORY_REGION(memory + bytes, kept - bytes);
  return memory;
}

std::byte* take(std::size_t bytes) {
  void* memory = nullptr;
  if (::posix_memalign(&memory, kLine, bytes) != 0) return nullptr;
  return static_cast<std::byte*>(std::memset(memory, 0, bytes));
}

}  // namespace

void AlignedBuffer::Release::operator()(std::byte* memory) const {
  if (bytes < kHugePage) {
    std::free(memory);  // NOLINT: pairs posix_memalign
    return;
  }
  const std::size_t mapped = mapped_bytes(bytes);
  ASAN_UNPOISON_MEMORY_REGION(memory, mapped);
  static_cast<void>(::munmap(memory, mapped));
}

Result<AlignedBuffer> AlignedBuffer::allocate(std::size_t bytes, std::string_view what) {
  const std::size_t rounded = round_up(bytes, kLine);
  AlignedBuffer buffer;
  if (bytes == 0) return buffer;
  if (rounded < bytes) {
    return Error{ErrorCode::kOutOfMemory, "the size overflows", std::string(what)};
  }
  std::byte* const memory = rounded < kHugePage ? take(rounded) : map(rounded);
  if (memory == nullptr) {
    return Error{ErrorCode::kOutOfMemory,
                 "cannot allocate " + std::to_string(rounded >> 20) + " MiB", std::string(what)};
  }
  buffer.memory_ = {memory, Release{rounded}};
  return buffer;
}

}  // namespace tern
