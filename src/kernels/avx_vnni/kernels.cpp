// The AVX-VNNI tier: dot products of four bytes in 256-bit registers, in the VEX encoding of CPUs
// that have no AVX-512. tests/conformance compiles this file once more in the EVEX encoding, so
// that its code is held to the definition on CPUs of the other kind too.
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

inline constexpr int kBatchGroups = 1;
inline constexpr int kBatchTokens = 6;
inline constexpr std::size_t kChunkTokens = 128;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 2;
inline constexpr int kMaxVectors = 8;
inline constexpr int kScanGroups = 2;
inline constexpr int kScanBlockGroups = 1;
inline constexpr int kScanQueries = 4;
inline constexpr int kCeilingChains = 12;
inline constexpr std::size_t kPrefetchBytes = 4096;
inline constexpr bool kSecondCache = true;                          // most are CPUs of Intel
inline constexpr std::size_t kTilesPerDrain = ~std::size_t{0} / 2;  // 32-bit lanes need none

TERN_INLINE Narrow narrow_zero() { return _mm256_setzero_si256(); }
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
#ifndef TERN_AVX_VNNI_EVEX
  return _mm256_dpbusd_avx_epi32(acc, codes, quad);
#else
  return _mm256_dpbusd_epi32(acc, codes, quad);
#endif
}
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) { return _mm256_add_epi32(acc, narrow); }

using Bytes = __m256i;
using DigitQuad = __m256i;
using ByteSums = __m256i;

inline constexpr std::uint32_t kByteOffset = 128;

TERN_INLINE Bytes load_bytes(const std::uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
TERN_INLINE DigitQuad digit_quad(const std::int8_t* digits) { return broadcast_quad(digits); }
TERN_INLINE ByteSums byte_sums_zero() { return _mm256_setzero_si256(); }
TERN_INLINE ByteSums multiply_bytes(ByteSums sums, Bytes bytes, DigitQuad quad) {
  return multiply_add(sums, bytes, quad);
}
TERN_INLINE Wide byte_total(ByteSums sums) { return sums; }

// dpbusd multiplies unsigned by signed: keys are moved up by 128.
inline constexpr std::int32_t kKeyBias = 128;
TERN_INLINE Codes load_keys(const std::int8_t* p) {
  return _mm256_xor_si256(load_values(p), _mm256_set1_epi8(static_cast<char>(0x80)));
}
TERN_INLINE Ints dot_values(Ints acc, Codes values, Quad digits) {
  return multiply_add(acc, digits, values);
}
TERN_INLINE void store_digits(std::int8_t* high, std::int8_t* low, const Ints* v) {
  const __m256i mask = _mm256_set1_epi16((1 << kDigitBits) - 1);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (int i = 0; i < 2; ++i, v += 4, high += 32, low += 32) {
    const __m256i a = _mm256_packus_epi32(v[0], v[1]);
    const __m256i b = _mm256_packus_epi32(v[2], v[3]);
    const __m256i highs =
        _mm256_packus_epi16(_mm256_srli_epi16(a, kDigitBits), _mm256_srli_epi16(b, kDigitBits));
    const __m256i lows = _mm256_packus_epi16(_mm256_and_si256(a, mask), _mm256_and_si256(b, mask));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(high),
                        _mm256_permutevar8x32_epi32(highs, order));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(low), _mm256_permutevar8x32_epi32(lows, order));
  }
}
TERN_INLINE Ints join_digits(Ints high, Ints low) {
  return _mm256_add_epi32(_mm256_slli_epi32(high, kDigitBits), low);
}

#include "kernels/generic/value_digits.h"

TERN_INLINE Ints dot_keys(Ints acc, Codes keys, Quad query) {
  return multiply_add(acc, keys, query);
}

#include "kernels/generic/absent_five_trits.h"
#include "kernels/generic/bodies.h"

}  // namespace

#ifndef TERN_AVX_VNNI_EVEX
const KernelTable kAvxVnniTable =
    tier_table("avx-vnni", kCpuAvx2 | kCpuFma | kCpuF16c | kCpuAvxVnni, ternary_linear,
               multiply_accumulate_loop);
#else
extern const KernelTable kAvxVnniEvexTable;
const KernelTable kAvxVnniEvexTable = tier_table(
    "avx-vnni-evex", kCpuAvx2 | kCpuFma | kCpuF16c | kCpuAvx512F | kCpuAvx512Vl | kCpuAvx512Vnni,
    ternary_linear, multiply_accumulate_loop);
#endif

}  // namespace tern::kernels
