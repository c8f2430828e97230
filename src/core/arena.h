// Memory for many buffers that live as long as their owner: side by side in few large allocations,
// so that all of them lie on huge pages. A buffer of its own has small pages behind its last whole
// huge one, and one below 2 MiB has no others.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/result.h"

namespace tern {

class Arena {
 public:
  // Aligned to 64 bytes, zeroed, until the arena goes. `what` names the purpose in the error.
  // What nobody touches takes no memory. Errors: kOutOfMemory.
  Result<std::span<std::byte>> allocate(std::size_t bytes, std::string_view what);

 private:
  std::vector<AlignedBuffer> buffers_;
  std::size_t allocated_ = 0;  // by all of them
  std::span<std::byte> left_;  // of the last one
};

}  // namespace tern
