// A hash of bytes as fast as memory is read (XXH3, 64 bits): it finds damage, not forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tern {

std::uint64_t fast_hash(std::span<const std::byte> bytes);

}  // namespace tern
