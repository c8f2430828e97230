// The 512-bit vector vocabulary of generic/bodies.h. Included inside an anonymous namespace.

inline constexpr int kLanes = 16;
inline constexpr int kDotRows = 4;
inline constexpr int kChains = 16;
inline constexpr int kTogether = 12;
inline constexpr int kManyChains = 24;
inline constexpr int kValueQueries = kTogether;
using Vec = __m512;

TERN_INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
TERN_INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
TERN_INLINE Vec splat(float x) { return _mm512_set1_ps(x); }
TERN_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
TERN_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
TERN_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
TERN_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
TERN_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
TERN_INLINE Vec rint(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// a < b ? x : y. Where x is zero, so asked it is part of the operation that gives y.
TERN_INLINE Vec where_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), x, y);
}

// a < b ? b : a
TERN_INLINE Vec larger(Vec a, Vec b) { return _mm512_max_ps(b, a); }

// a > 0 ? a : +0
TERN_INLINE Vec relu(Vec a) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ), a);
}

// a * 2^n for integral n, rounded once.
TERN_INLINE Vec pow2_mul(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }

TERN_INLINE Vec load_f16(const std::uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
TERN_INLINE Vec load_bf16(const std::uint16_t* p) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
TERN_INLINE Vec load_i8(const std::int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}
TERN_INLINE void store_halves(std::uint16_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

// Lanes from kWidth on, kWidth of them, as the first ones.
template <int kWidth>
TERN_INLINE Vec lanes_from(Vec v) {
  static_assert(2 * kWidth <= kLanes && (kWidth & (kWidth - 1)) == 0);
  if constexpr (kWidth == 8) return _mm512_shuffle_f32x4(v, v, 0b1110);
  if constexpr (kWidth == 4) return _mm512_shuffle_f32x4(v, v, 0b0001);
  return _mm512_permute_ps(v, kWidth == 2 ? 0b1110 : 0b0001);
}
TERN_INLINE float first_lane(Vec v) { return _mm512_cvtss_f32(v); }

TERN_INLINE float f16_value(std::uint16_t half) { return _cvtsh_ss(half); }
TERN_INLINE float bf16_value(std::uint16_t brain) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(brain) << 16);
}
TERN_INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TERN_INLINE float sqrt1(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }

using Doubles = __m512d;

TERN_INLINE Doubles zero_doubles() { return _mm512_setzero_pd(); }
TERN_INLINE Doubles load_doubles(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
TERN_INLINE void store_doubles(double* p, Doubles v) { _mm512_storeu_pd(p, v); }
TERN_INLINE Doubles add_squares(Doubles sums, Doubles v) {
  return _mm512_add_pd(sums, _mm512_mul_pd(v, v));
}
TERN_INLINE Doubles less_scaled(Doubles a, Doubles b, double scale) {
  return _mm512_sub_pd(a, _mm512_mul_pd(_mm512_set1_pd(scale), b));
}

using Ints = __m512i;

TERN_INLINE Ints zero_ints() { return _mm512_setzero_si512(); }
TERN_INLINE Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
TERN_INLINE Ints max_unsigned(Ints a, Ints b) { return _mm512_max_epu32(a, b); }
TERN_INLINE void store_ints(std::uint32_t* p, Ints v) { _mm512_storeu_si512(p, v); }
TERN_INLINE Ints nearest_ints(Vec v) { return _mm512_cvtps_epi32(v); }
TERN_INLINE Ints magnitude_bits(Vec v) {
  return _mm512_and_si512(_mm512_castps_si512(v), _mm512_set1_epi32(0x7fffffff));
}
TERN_INLINE void store_codes(std::int8_t* q, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q), _mm512_cvtsepi32_epi8(v));
}

TERN_INLINE Ints splat_ints(std::int32_t x) { return _mm512_set1_epi32(x); }
TERN_INLINE Vec to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
TERN_INLINE Ints bits(Vec v) { return _mm512_castps_si512(v); }
TERN_INLINE Vec from_bits(Ints v) { return _mm512_castsi512_ps(v); }
TERN_INLINE void store_digits(std::int8_t* high, std::int8_t* low, const Ints* v) {
  const __m512i a = _mm512_packus_epi32(v[0], v[1]);
  const __m512i b = _mm512_packus_epi32(v[2], v[3]);
  const __m512i highs =
      _mm512_packus_epi16(_mm512_srli_epi16(a, kDigitBits), _mm512_srli_epi16(b, kDigitBits));
  const __m512i mask = _mm512_set1_epi16((1 << kDigitBits) - 1);
  const __m512i lows = _mm512_packus_epi16(_mm512_and_si512(a, mask), _mm512_and_si512(b, mask));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(high, _mm512_permutexvar_epi32(order, highs));
  _mm512_storeu_si512(low, _mm512_permutexvar_epi32(order, lows));
}
TERN_INLINE void pin(Ints& v) { __asm__("" : "+v"(v)); }
TERN_INLINE Ints join_digits(Ints high, Ints low) {
  return _mm512_add_epi32(_mm512_slli_epi32(high, kDigitBits), low);
}

using Codes = __m512i;
using Quad = __m512i;
using Narrow = __m512i;
using Wide = __m512i;

inline constexpr int kVectorRows = 16;

TERN_INLINE Codes load_two_bits(const std::uint8_t* p, int plane) {
  const __m512i mask = _mm512_set1_epi8(3);
  const __m512i packed = _mm512_loadu_si512(p);
  switch (plane) {
    case 0: return _mm512_and_si512(packed, mask);
    case 1: return _mm512_and_si512(_mm512_srli_epi16(packed, 2), mask);
    case 2: return _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
    default: return _mm512_and_si512(_mm512_srli_epi16(packed, 6), mask);
  }
}
TERN_INLINE Quad broadcast_quad(const std::int8_t* q) {
  std::int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm512_set1_epi32(four);
}
TERN_INLINE Narrow narrow_zero() { return _mm512_setzero_si512(); }
TERN_INLINE Narrow multiply_add(Narrow acc, Codes codes, Quad quad) {
  return _mm512_dpbusd_epi32(acc, codes, quad);
}
TERN_INLINE Wide wide_zero() { return _mm512_setzero_si512(); }
TERN_INLINE Wide widen_add(Wide acc, Narrow narrow) { return _mm512_add_epi32(acc, narrow); }
TERN_INLINE Vec scaled_difference(Wide acc, std::int32_t sum, float factor) {
  return mul(_mm512_cvtepi32_ps(_mm512_sub_epi32(acc, _mm512_set1_epi32(sum))), splat(factor));
}
TERN_INLINE void forget(Codes& v) { __asm__("" : "+v"(v)); }
TERN_INLINE void consume(Narrow v) { __asm__ volatile("" : : "v"(v)); }

using Bytes = __m512i;
using DigitQuad = __m512i;
using ByteSums = __m512i;

inline constexpr std::uint32_t kByteOffset = 128;

TERN_INLINE Bytes load_bytes(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
TERN_INLINE DigitQuad digit_quad(const std::int8_t* digits) { return broadcast_quad(digits); }
TERN_INLINE ByteSums byte_sums_zero() { return _mm512_setzero_si512(); }
TERN_INLINE ByteSums multiply_bytes(ByteSums sums, Bytes bytes, DigitQuad quad) {
  return _mm512_dpbusd_epi32(sums, bytes, quad);
}
TERN_INLINE Wide byte_total(ByteSums sums) { return sums; }

// dpbusd multiplies unsigned by signed: keys are moved up by 128.
inline constexpr std::int32_t kKeyBias = 128;
TERN_INLINE Codes load_values(const std::int8_t* p) { return _mm512_loadu_si512(p); }
TERN_INLINE Codes load_keys(const std::int8_t* p) {
  return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(static_cast<char>(0x80)));
}
TERN_INLINE Ints dot_values(Ints acc, Codes values, Quad digits) {
  return _mm512_dpbusd_epi32(acc, digits, values);
}
TERN_INLINE Ints dot_keys(Ints acc, Codes keys, Quad query) {
  return _mm512_dpbusd_epi32(acc, keys, query);
}

#include "kernels/generic/value_digits.h"
