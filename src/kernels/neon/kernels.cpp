// The baseline Arm tier: products of codes and activations in 16 bits.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "core/cpu_feature_bits.h"
#include "kernels/generic/constants.h"
#include "kernels/kernel_table.h"
#include "kernels/tables.h"

#define TERN_INLINE static inline __attribute__((always_inline))

namespace tern::kernels {
namespace {

#include "kernels/neon/simd.h"

struct Narrow {
  int16x8_t low;   // rows 0 and 1, four columns each
  int16x8_t high;  // rows 2 and 3
};

inline constexpr int kBatchGroups = 1;
inline constexpr int kBatchTokens = 4;
inline constexpr std::size_t kChunkTokens = 128;
inline constexpr int kDecodeGroups = 1;
inline constexpr int kDecodeChains = 1;
inline constexpr int kScanGroups = 1;
inline constexpr int kScanBlockGroups = 1;
inline constexpr int kScanQueries = 2;
inline constexpr int kMaxVectors = 16;
inline constexpr int kCeilingChains = 8;
inline constexpr std::size_t kPrefetchBytes = 1024;
inline constexpr bool kSecondCache = false;
// A product is at most 254 in magnitude: 64 of them (16 tiles of 4 planes) stay within 16 bits.
inline constexpr std::size_t kTilesPerDrain = 16;

TERN_INLINE Narrow narrow_zero() { return {vdupq_n_s16(0), vdupq_n_s16(0)}; }
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
  return {vmlal_s8(acc.low, vget_low_s8(codes), vget_low_s8(quad)),
          vmlal_high_s8(acc.high, codes, quad)};
}
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) {
  return vaddq_s32(acc, vpaddq_s32(vpaddlq_s16(narrow.low), vpaddlq_s16(narrow.high)));
}
TERN_INLINE void consume(Narrow v) { __asm__ volatile("" : : "w"(v.low), "w"(v.high)); }

struct ByteSums {
  int32x4_t low;   // rows 0 and 1, two pairs of columns each
  int32x4_t high;  // rows 2 and 3
};

TERN_INLINE ByteSums byte_sums_zero() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
TERN_INLINE ByteSums multiply_bytes(ByteSums sums, Bytes bytes, DigitQuad quad) {
  return {vpadalq_s16(sums.low, vmull_s8(vget_low_s8(bytes), vget_low_s8(quad))),
          vpadalq_s16(sums.high, vmull_high_s8(bytes, quad))};
}
TERN_INLINE Wide byte_total(ByteSums sums) { return vpaddq_s32(sums.low, sums.high); }

// A product of two codes or of a digit and a code is at most 16129: two of them fit into 16 bits.
TERN_INLINE Ints dot_values(Ints acc, Codes values, Quad digits) {
  return widen_add(
      acc, {vmull_s8(vget_low_s8(values), vget_low_s8(digits)), vmull_high_s8(values, digits)});
}

#include "kernels/generic/value_digits.h"

TERN_INLINE Ints dot_keys(Ints acc, Codes keys, Quad query) { return dot_values(acc, keys, query); }

#include "kernels/generic/absent_five_trits.h"
#include "kernels/generic/bodies.h"

}  // namespace

const KernelTable kNeonTable = tier_table("neon", 0, ternary_linear, multiply_accumulate_loop);

}  // namespace tern::kernels
