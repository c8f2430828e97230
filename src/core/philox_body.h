// What philox.h computes. Inlined, so that a loop over counters becomes one of vectors.
#pragma once

#include <cstdint>

namespace tern::philox {

struct Words {
  std::uint32_t w0, w1, w2, w3;
};

// One round, with its key: round `index` of ten.
[[gnu::always_inline]] inline Words round(const Words& c, std::uint32_t index, std::uint32_t key0,
                                          std::uint32_t key1) {
  const std::uint64_t a = std::uint64_t{0xD2511F53u} * c.w0;
  const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c.w2;
  return {static_cast<std::uint32_t>(b >> 32) ^ c.w1 ^ (key0 + index * 0x9E3779B9u),
          static_cast<std::uint32_t>(b),
          static_cast<std::uint32_t>(a >> 32) ^ c.w3 ^ (key1 + index * 0xBB67AE85u),
          static_cast<std::uint32_t>(a)};
}

// Written out: compilers make vectors of no loop within a loop.
[[gnu::always_inline]] inline Words words(Words c, std::uint32_t key0, std::uint32_t key1) {
  c = round(c, 0, key0, key1);
  c = round(c, 1, key0, key1);
  c = round(c, 2, key0, key1);
  c = round(c, 3, key0, key1);
  c = round(c, 4, key0, key1);
  c = round(c, 5, key0, key1);
  c = round(c, 6, key0, key1);
  c = round(c, 7, key0, key1);
  c = round(c, 8, key0, key1);
  return round(c, 9, key0, key1);
}

}  // namespace tern::philox
