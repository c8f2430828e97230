#include "core/fast_hash.h"

#include <xxhash.h>

namespace tern {

std::uint64_t fast_hash(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace tern
