// The dot product of four bytes, in the vocabulary of generic/bodies.h, for the tiers that have it.
// Included inside an anonymous namespace.
#pragma once

#include "kernels/neon/simd.h"

using Narrow = int32x4_t;

inline constexpr std::size_t kTilesPerDrain = ~std::size_t{0} / 2;  // 32-bit lanes need none

TERN_INLINE Narrow narrow_zero() { return vdupq_n_s32(0); }
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
  return vdotq_s32(acc, codes, quad);
}
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) { return vaddq_s32(acc, narrow); }
TERN_INLINE void consume(Narrow v) { __asm__ volatile("" : : "w"(v)); }

using ByteSums = int32x4_t;

TERN_INLINE ByteSums byte_sums_zero() { return vdupq_n_s32(0); }
TERN_INLINE ByteSums multiply_bytes(ByteSums sums, Bytes bytes, DigitQuad quad) {
  return vdotq_s32(sums, bytes, quad);
}
TERN_INLINE Wide byte_total(ByteSums sums) { return sums; }

TERN_INLINE Ints dot_values(Ints acc, Codes values, Quad digits) {
  return vdotq_s32(acc, values, digits);
}
TERN_INLINE Ints dot_keys(Ints acc, Codes keys, Quad query) { return vdotq_s32(acc, keys, query); }

#include "kernels/generic/value_digits.h"
