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

#include "kernels/neon/sdot.h"

inline constexpr int kBatchGroups = 1;
inline constexpr int kBatchTokens = 6;
inline constexpr std::size_t kChunkTokens = 128;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 1;
inline constexpr int kScanGroups = 2;
inline constexpr int kScanBlockGroups = 1;
inline constexpr int kScanQueries = 4;
inline constexpr int kMaxVectors = 16;
inline constexpr int kCeilingChains = 16;
inline constexpr std::size_t kPrefetchBytes = 1024;
inline constexpr bool kSecondCache = false;

#include "kernels/generic/absent_five_trits.h"
#include "kernels/generic/bodies.h"

}  // namespace

const KernelTable kNeonDotprodTable =
    tier_table("neon-dotprod", kCpuDotprod, ternary_linear, multiply_accumulate_loop);

}  // namespace tern::kernels
