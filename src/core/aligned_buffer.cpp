#include "core/aligned_buffer.h"

#include <cstring>

namespace tern {

Result<AlignedBuffer> AlignedBuffer::allocate(std::size_t bytes, std::string_view what) {
  constexpr std::size_t kAlignment = 64;
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  AlignedBuffer buffer;
  if (rounded < bytes) {
    return Error{ErrorCode::kOutOfMemory, "the size overflows", std::string(what)};
  }
  buffer.memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  if (buffer.memory_ == nullptr && rounded != 0) {
    return Error{ErrorCode::kOutOfMemory,
                 "cannot allocate " + std::to_string(rounded >> 20) + " MiB", std::string(what)};
  }
  if (rounded != 0) std::memset(buffer.memory_.get(), 0, rounded);
  buffer.size_ = rounded;
  return buffer;
}

}  // namespace tern
