// The AVX-512 tier with VNNI and VBMI: permutations of bytes unpack five trits a byte.
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

inline constexpr bool kSecondCache = false;  // as Zen 4 has it; one token is read as the CPU is

#include "kernels/avx512_vbmi/simd.h"
#include "kernels/generic/bodies.h"

}  // namespace

const KernelTable kAvx512VbmiTable =
    tier_table("avx512-vbmi",
               kCpuAvx2 | kCpuFma | kCpuF16c | kCpuAvx512F | kCpuAvx512Bw | kCpuAvx512Vl |
                   kCpuAvx512Vnni | kCpuAvx512Vbmi,
               ternary_linear, multiply_accumulate_loop);

}  // namespace tern::kernels
