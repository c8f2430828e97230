// The AVX2 vector vocabulary of generic/body.h. Included inside an anonymous namespace.

inline constexpr int kLanes = 8;
using Vec = __m256;

TERN_INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
TERN_INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
TERN_INLINE Vec splat(float x) { return _mm256_set1_ps(x); }
TERN_INLINE Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
TERN_INLINE Vec sub(Vec a, Vec b) { return _mm256_sub_ps(a, b); }
TERN_INLINE Vec mul(Vec a, Vec b) { return _mm256_mul_ps(a, b); }
TERN_INLINE Vec div(Vec a, Vec b) { return _mm256_div_ps(a, b); }
TERN_INLINE Vec fmadd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
TERN_INLINE Vec negate(Vec a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
TERN_INLINE Vec rint(Vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// a < b ? x : y
TERN_INLINE Vec where_less(Vec a, Vec b, Vec x, Vec y) {
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

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

TERN_INLINE float f16_value(std::uint16_t half) { return _cvtsh_ss(half); }
TERN_INLINE float bf16_value(std::uint16_t brain) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(brain) << 16)));
}

TERN_INLINE float fma1(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TERN_INLINE float sqrt1(float a) { return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(a))); }
