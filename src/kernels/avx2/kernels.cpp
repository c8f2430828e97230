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

inline constexpr int kBatchGroups = 1;
inline constexpr int kBatchTokens = 4;
inline constexpr std::size_t kChunkTokens = 64;
inline constexpr int kDecodeGroups = 2;
inline constexpr int kDecodeChains = 1;
inline constexpr int kMaxVectors = 8;
// A sum that is left in memory costs less than one more pass over the bytes or one stream less.
inline constexpr int kScanGroups = 4;
inline constexpr int kScanBlockGroups = 2;
inline constexpr int kScanQueries = 4;
inline constexpr int kCeilingChains = 12;
inline constexpr std::size_t kPrefetchBytes = 4096;
inline constexpr bool kSecondCache = false;
// A code is 0 to 2 and |q| <= 127, so a 16-bit lane of maddubs is at most 508 in magnitude, and 64
// of them (16 tiles of 4 planes) do not overflow.
inline constexpr std::size_t kTilesPerDrain = 16;

TERN_INLINE Narrow narrow_zero() { return _mm256_setzero_si256(); }
// The sum is hidden from the compiler, which else adds up the products of several planes first and
// has no registers for all of them.
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
  acc = _mm256_add_epi16(acc, _mm256_maddubs_epi16(codes, quad));
  forget(acc);
  return acc;
}
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) {
  return _mm256_add_epi32(acc, _mm256_madd_epi16(narrow, _mm256_set1_epi16(1)));
}

using Bytes = __m256i;
using DigitQuad = __m256i;
using ByteSums = __m256i;

// The sign of a digit moves to the codes, whose offset is off, and not the other way round: a low
// digit may be -128. A 16-bit lane of maddubs is then at most 2 * 128 * 127 = 32512.
inline constexpr std::uint32_t kByteOffset = 0;

TERN_INLINE Bytes load_bytes(const std::uint8_t* p) {
  const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80)));
}
TERN_INLINE DigitQuad digit_quad(const std::int8_t* digits) { return broadcast_quad(digits); }
TERN_INLINE ByteSums byte_sums_zero() { return _mm256_setzero_si256(); }
TERN_INLINE ByteSums multiply_bytes(ByteSums sums, Bytes bytes, DigitQuad quad) {
  return widen_add(sums,
                   _mm256_maddubs_epi16(_mm256_abs_epi8(quad), _mm256_sign_epi8(bytes, quad)));
}
TERN_INLINE Wide byte_total(ByteSums sums) { return sums; }

// Codes are at most 127 in magnitude, so a 16-bit lane of maddubs is at most 32258.
inline constexpr std::int32_t kKeyBias = 0;
TERN_INLINE Codes load_keys(const std::int8_t* p) { return load_values(p); }
TERN_INLINE Ints dot_keys(Ints acc, Codes keys, Quad query) {
  return widen_add(acc, _mm256_maddubs_epi16(_mm256_abs_epi8(keys), _mm256_sign_epi8(query, keys)));
}

// Weights of values stay as they are, in 16 bits: with two digits, whose products leave no room for
// a second one in 16 bits, each value would be multiplied twice and each product widened. Of four
// keys the first and the third, then the others.
inline constexpr int kValueSums = 1;
using ValueSums = Ints;
struct ValueCodes {
  __m256i even;
  __m256i odd;
};
using WeightQuad = ValueCodes;

// What is no number has become the least one, of which packing makes 0, as the definition does.
TERN_INLINE void store_weights(std::int8_t* weights, std::size_t key, const Ints* v) {
  const __m256i order = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
  auto* to = reinterpret_cast<__m256i*>(weights + 2 * key);
  for (int i = 0; i < 8; i += 2, ++to) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(v[i], v[i + 1]), 0xd8);
    _mm256_storeu_si256(to, _mm256_shuffle_epi8(words, order));
  }
}
TERN_INLINE WeightQuad load_weights(const std::int8_t* weights, std::size_t key) {
  return {broadcast_quad(weights + 2 * key), broadcast_quad(weights + 2 * key + 4)};
}
TERN_INLINE ValueCodes value_codes(Codes codes) {
  return {_mm256_srai_epi16(_mm256_slli_epi16(codes, 8), 8), _mm256_srai_epi16(codes, 8)};
}
TERN_INLINE ValueSums value_sums_zero() { return _mm256_setzero_si256(); }
TERN_INLINE void add_values(ValueSums& sums, WeightQuad weights, ValueCodes codes) {
  const __m256i even = _mm256_madd_epi16(codes.even, weights.even);
  const __m256i odd = _mm256_madd_epi16(codes.odd, weights.odd);
  sums = _mm256_add_epi32(sums, _mm256_add_epi32(even, odd));
  pin(sums);
}
TERN_INLINE Ints value_total(ValueSums sums) { return sums; }

#include "kernels/generic/absent_five_trits.h"
#include "kernels/generic/bodies.h"
// Behind bodies.h, whose words these use.
#include "kernels/avx2/lut.h"
#include "kernels/generic/lut_body.h"

// Fewer tokens or rows are multiplied: tables would take longer to make than they save.
constexpr std::uint32_t kLeastLutTokens = 14;
constexpr std::size_t kLeastLutRows = 512;
// Of fewer tokens one vector is looked up, and those beyond it are multiplied.
constexpr std::uint32_t kLeastTokensOfTwo = 26;
static_assert(kLeastLutTokens + kLanes > kLutTokens);
static_assert(kLeastTokensOfTwo + kLanes > 2 * kLutTokens);

void linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x, std::size_t tokens,
            float* y, std::size_t y_stride) {
  std::size_t done = 0;
  if (rows >= kLeastLutRows) {
    done = lut_linear(w, rows, x, tokens, kLeastLutTokens, kLeastTokensOfTwo, y, y_stride);
    if (done == tokens) return;
  }
  ternary_linear(w, rows, rows_from(x, done), tokens - done, y + done * y_stride, y_stride);
}

consteval KernelTable table() {
  KernelTable table =
      tier_table("avx2", kCpuAvx2 | kCpuFma | kCpuF16c, linear, multiply_accumulate_loop);
  table.lut_tokens = kLeastLutTokens;
  return table;
}

}  // namespace

const KernelTable kAvx2Table = table();

}  // namespace tern::kernels
