// The Arm tier with the dot product of four bytes.
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

using Narrow = int32x4_t;

inline constexpr int kBatchGroups = 1;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kMaxVectors = 8;
inline constexpr int kCeilingChains = 16;
inline constexpr std::size_t kPrefetchBytes = 1024;
inline constexpr std::size_t kTilesPerDrain = ~std::size_t{0} / 2;  // 32-bit lanes need none

TERN_INLINE Narrow narrow_zero() { return vdupq_n_s32(0); }
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
  return vdotq_s32(acc, codes, quad);
}
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) { return vaddq_s32(acc, narrow); }
TERN_INLINE void consume(Narrow v) { __asm__ volatile("" : : "w"(v)); }

#include "kernels/generic/bodies.h"

}  // namespace

const KernelTable kNeonDotprodTable =
    TERN_KERNEL_TABLE("neon-dotprod", kCpuDotprod, ternary_linear, multiply_accumulate_loop);

}  // namespace tern::kernels
