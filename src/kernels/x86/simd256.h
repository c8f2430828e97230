// The 256-bit vector vocabulary of generic/bodies.h (AVX2, FMA, F16C), without dot products.
// Included inside an anonymous namespace.

inline constexpr int kLanes = 8;
inline constexpr int kDotRows = 1;
inline constexpr int kChains = 8;
inline constexpr int kTogether = 8;
inline constexpr int kManyChains = 12;
inline constexpr int kValueQueries = 3;
using Vec = __m256;

TERN_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
TERN_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
TERN_INLINE Vec splat(float x) { return _mm256_set1_ps(x); }
TERN_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
TERN_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
TERN_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
TERN_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
TERN_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
TERN_INLINE Vec rint(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// a < b ? x : y
TERN_INLINE Vec where_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

// a < b ? b : a
TERN_INLINE Vec larger(Vec a, Vec b) { return _mm256_max_ps(b, a); }

// a > 0 ? a : +0
TERN_INLINE Vec relu(Vec a) {
  return _mm256_and_ps(a, _mm256_cmp_ps(a, _mm256_setzero_ps(), _CMP_GT_OQ));
}

// a * 2^n for integral n in [-126, 128], in two steps so that both factors are normal.
TERN_INLINE Vec pow2_mul(Vec a, Vec n) {
  const __m256i whole = _mm256_cvtps_epi32(n);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const Vec first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
  const Vec second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
  return mul(mul(a, first), second);
}

TERN_INLINE Vec load_f16(const std::uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

TERN_INLINE Vec load_bf16(const std::uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

TERN_INLINE Vec load_i8(const std::int8_t* p) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

// Lanes from kWidth on, kWidth of them, as the first ones.
template <int kWidth>
TERN_INLINE Vec lanes_from(Vec v) {
  static_assert(2 * kWidth <= kLanes && (kWidth & (kWidth - 1)) == 0);
  if constexpr (kWidth == 4) return _mm256_permute2f128_ps(v, v, 1);
  return _mm256_permute_ps(v, kWidth == 2 ? 0b1110 : 0b0001);
}
TERN_INLINE float first_lane(Vec v) { return _mm256_cvtss_f32(v); }

TERN_INLINE float f16_value(std::uint16_t half) { return _cvtsh_ss(half); }
TERN_INLINE float bf16_value(std::uint16_t brain) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(brain) << 16)));
}

TERN_INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TERN_INLINE float sqrt1(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }

TERN_INLINE void store_halves(std::uint16_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}

struct Doubles {
  __m256d low;
  __m256d high;
};

TERN_INLINE Doubles zero_doubles() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
TERN_INLINE Doubles load_doubles(const float* p) {
  return {_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
}
TERN_INLINE void store_doubles(double* p, Doubles v) {
  _mm256_storeu_pd(p, v.low);
  _mm256_storeu_pd(p + 4, v.high);
}
TERN_INLINE Doubles add_squares(Doubles sums, Doubles v) {
  return {_mm256_add_pd(sums.low, _mm256_mul_pd(v.low, v.low)),
          _mm256_add_pd(sums.high, _mm256_mul_pd(v.high, v.high))};
}
TERN_INLINE Doubles less_scaled(Doubles a, Doubles b, double scale) {
  const __m256d factor = _mm256_set1_pd(scale);
  return {_mm256_sub_pd(a.low, _mm256_mul_pd(factor, b.low)),
          _mm256_sub_pd(a.high, _mm256_mul_pd(factor, b.high))};
}

using Ints = __m256i;

TERN_INLINE Ints zero_ints() { return _mm256_setzero_si256(); }
TERN_INLINE Ints add_ints(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
TERN_INLINE Ints max_unsigned(Ints a, Ints b) { return _mm256_max_epu32(a, b); }
TERN_INLINE void store_ints(std::uint32_t* p, Ints v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
TERN_INLINE Ints nearest_ints(Vec v) { return _mm256_cvtps_epi32(v); }
TERN_INLINE Ints magnitude_bits(Vec v) {
  return _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff));
}
TERN_INLINE void store_codes(std::int8_t* q, Ints v) {
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(words, words));
}

TERN_INLINE Ints splat_ints(std::int32_t x) { return _mm256_set1_epi32(x); }
TERN_INLINE Vec to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
TERN_INLINE Ints bits(Vec v) { return _mm256_castps_si256(v); }
TERN_INLINE Vec from_bits(Ints v) { return _mm256_castsi256_ps(v); }
TERN_INLINE void pin(Ints& v) { __asm__("" : "+x"(v)); }

using Codes = __m256i;
using Quad = __m256i;
using Wide = __m256i;

inline constexpr int kVectorRows = 8;

TERN_INLINE Codes load_plane(const std::uint8_t* p, int plane, Packing) {
  const __m256i mask = _mm256_set1_epi8(3);
  const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  switch (plane) {
    case 0: return _mm256_and_si256(packed, mask);
    case 1: return _mm256_and_si256(_mm256_srli_epi16(packed, 2), mask);
    case 2: return _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask);
    default: return _mm256_and_si256(_mm256_srli_epi16(packed, 6), mask);
  }
}
TERN_INLINE Quad broadcast_quad(const std::int8_t* q) {
  std::int32_t four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}
TERN_INLINE Codes load_values(const std::int8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
TERN_INLINE Wide wide_zero() { return _mm256_setzero_si256(); }
TERN_INLINE Vec scaled_difference(Wide acc, std::int32_t sum, float factor) {
  return mul(_mm256_cvtepi32_ps(_mm256_sub_epi32(acc, _mm256_set1_epi32(sum))), splat(factor));
}
TERN_INLINE void forget(Codes& v) { __asm__("" : "+x"(v)); }
TERN_INLINE void consume(__m256i v) { __asm__ volatile("" : : "x"(v)); }
