#include "core/fast_hash.h"

#include <xxhash.h>
#ifdef TERN_XXHASH_DISPATCHES
#include <xxh_x86dispatch.h>  // the same hash with the widest vectors of this CPU, not SSE2's
#endif

namespace tern {

std::uint64_t fast_hash(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace tern
