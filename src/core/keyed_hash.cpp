#include "core/keyed_hash.h"

#include <sys/random.h>
#include <xxhash.h>

namespace tern {

KeyedHash::KeyedHash() : key_(reinterpret_cast<std::uintptr_t>(this)) {
  // Without random numbers, it stays the place in memory: nobody knows that, either.
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, GRND_NONBLOCK) == sizeof random) key_ = random;
}

std::size_t KeyedHash::operator()(std::string_view bytes) const {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), key_);
}

}  // namespace tern
