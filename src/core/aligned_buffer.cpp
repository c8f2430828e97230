#include "core/aligned_buffer.h"

#include <sys/mman.h>

#include <cstring>

namespace tern {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

Result<AlignedBuffer> AlignedBuffer::allocate(std::size_t bytes, std::string_view what) {
  TERN_ASSIGN(AlignedBuffer buffer, allocate_unwritten(bytes, what));
  if (buffer.size_ != 0) std::memset(buffer.memory_.get(), 0, buffer.size_);
  return buffer;
}

Result<AlignedBuffer> AlignedBuffer::allocate_unwritten(std::size_t bytes, std::string_view what) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  AlignedBuffer buffer;
  if (rounded < bytes) {
    return Error{ErrorCode::kOutOfMemory, "the size overflows", std::string(what)};
  }
  const std::size_t alignment = rounded >= kHugePage ? kHugePage : kAlignment;
  void* memory = nullptr;  // aligned_alloc() wants whole multiples of the alignment
  if (rounded != 0 && ::posix_memalign(&memory, alignment, rounded) != 0) memory = nullptr;
  buffer.memory_.reset(static_cast<std::byte*>(memory));
  if (buffer.memory_ == nullptr && rounded != 0) {
    return Error{ErrorCode::kOutOfMemory,
                 "cannot allocate " + std::to_string(rounded >> 20) + " MiB", std::string(what)};
  }
  if (rounded >= kHugePage) {  // advice: without it, smaller pages serve as well, more slowly
    static_cast<void>(::madvise(buffer.memory_.get(), rounded, MADV_HUGEPAGE));
  }
  buffer.size_ = rounded;
  return buffer;
}

}  // namespace tern
