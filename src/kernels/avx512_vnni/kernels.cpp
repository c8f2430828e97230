// The AVX-512 tier with VNNI: dot products of four bytes in 512-bit registers.
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

#include "kernels/avx512_vnni/simd.h"

inline constexpr int kBatchGroups = 4;
inline constexpr int kBatchTokens = 6;
inline constexpr std::size_t kChunkTokens = 128;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 3;
inline constexpr int kMaxVectors = 4;
inline constexpr int kScanGroups = 2;
inline constexpr int kScanBlockGroups = 2;
inline constexpr int kScanQueries = 8;
inline constexpr int kCeilingChains = 24;
inline constexpr std::size_t kPrefetchBytes = 4096;
inline constexpr bool kSecondCache = true;                          // most are CPUs of Intel
inline constexpr std::size_t kTilesPerDrain = ~std::size_t{0} / 2;  // 32-bit lanes need none

TERN_INLINE Codes load_plane(const std::uint8_t* p, int plane, Packing) {
  return load_two_bits(p, plane);
}

#include "kernels/generic/absent_five_trits.h"
#include "kernels/generic/bodies.h"

}  // namespace

const KernelTable kAvx512VnniTable = tier_table(
    "avx512-vnni",
    kCpuAvx2 | kCpuFma | kCpuF16c | kCpuAvx512F | kCpuAvx512Bw | kCpuAvx512Vl | kCpuAvx512Vnni,
    ternary_linear, multiply_accumulate_loop);

}  // namespace tern::kernels
