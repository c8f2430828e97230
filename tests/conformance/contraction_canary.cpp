// Compiled with a tier's flags; see contraction_test.cpp. Only intrinsics are included, so that no
// shared inline function gets these flags.
#include <immintrin.h>

float plain_multiply_add(float a, float b, float c) { return a * b + c; }

float vector_multiply_add(float a, float b, float c) {
  const __m256 product = _mm256_mul_ps(_mm256_set1_ps(a), _mm256_set1_ps(b));
  return _mm256_cvtss_f32(_mm256_add_ps(product, _mm256_set1_ps(c)));
}

float fused_multiply_add(float a, float b, float c) {
  return _mm256_cvtss_f32(_mm256_fmadd_ps(_mm256_set1_ps(a), _mm256_set1_ps(b), _mm256_set1_ps(c)));
}
