// The AVX2 tier (with FMA and F16C): products of codes and activations in 16 bits.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "core/cpu_feature_bits.h"
#include "kernels/generic/constants.h"
#include "kernels/kernel_table.h"
#include "kernels/tables.h"

#define TERN_INLINE static inline __attribute__((always_inline))

namespace tern::kernels {
namespace {

#include "kernels/x86/simd256.h"

using Narrow = __m256i;

inline constexpr bool kFiveTrits = false;
inline constexpr int kBatchGroups = 1;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 1;
inline constexpr int kMaxVectors = 4;
inline constexpr int kCeilingChains = 12;
inline constexpr std::size_t kPrefetchBytes = 4096;
// A code is 0 to 2 and |q| <= 127, so a 16-bit lane of maddubs is at most 508 in magnitude, and 64
// of them (16 tiles of 4 planes) do not overflow.
inline constexpr std::size_t kTilesPerDrain = 16;

TERN_INLINE Narrow narrow_zero() { return _mm256_setzero_si256(); }
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
  return _mm256_add_epi16(acc, _mm256_maddubs_epi16(codes, quad));
}
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}

#include "kernels/generic/bodies.h"

}  // namespace

const KernelTable kAvx2Table = TERN_KERNEL_TABLE("avx2", (kCpuAvx2 | kCpuFma | kCpuF16c),
                                                 ternary_linear, multiply_accumulate_loop);

}  // namespace tern::kernels
