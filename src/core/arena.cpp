#include "core/arena.h"

#include <algorithm>

namespace tern {
namespace {

constexpr std::size_t kLine = 64;
// Each allocation is as large as all before it, within these bounds.
constexpr std::size_t kLeast = std::size_t{2} << 20;
constexpr std::size_t kMost = std::size_t{256} << 20;

}  // namespace

Result<std::span<std::byte>> Arena::allocate(std::size_t bytes, std::string_view what) {
  if (left_.size() < bytes) {
    const std::size_t size = std::max(bytes, std::clamp(allocated_, kLeast, kMost));
    TERN_ASSIGN(AlignedBuffer buffer, AlignedBuffer::allocate(size, what));
    buffers_.push_back(std::move(buffer));
    left_ = {buffers_.back().data(), buffers_.back().size()};
    allocated_ += left_.size();
  }
  const std::span<std::byte> part = left_.first(bytes);
  left_ = left_.subspan(std::min(left_.size(), (bytes + kLine - 1) / kLine * kLine));
  return part;
}

}  // namespace tern
