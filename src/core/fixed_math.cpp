#include "core/fixed_math.h"

#include <array>

#include "core/fixed_math_body.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tern {
namespace {

constexpr std::size_t kSums = 8;

double total(const std::array<double, kSums>& sums) {
  double sum = 0.0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

#if defined(__x86_64__)

namespace {

[[gnu::target("fma")]] double exp_by_fma(double x) { return fixed_math::exp(x); }
[[gnu::target("fma")]] double log_by_fma(double x) { return fixed_math::log(x); }
[[gnu::target("fma")]] SinCos sincos_by_fma(double x) { return fixed_math::sincos(x); }

bool has_fma() { return __builtin_cpu_supports("fma") != 0; }

// 2^n as fixed_math::exp2_int has it.
[[gnu::target("avx2,fma")]] __m256d exp2_of(__m128i n) {
  const __m256i biased = _mm256_add_epi64(_mm256_cvtepi32_epi64(n), _mm256_set1_epi64x(1023));
  return _mm256_castsi256_pd(_mm256_slli_epi64(biased, 52));
}

// The steps of fixed_math::exp for four x <= 0; a NaN stays one.
[[gnu::target("avx2,fma")]] __m256d exp_of(__m256d x) {
  const __m256d least = _mm256_set1_pd(-745.0);
  const __m256d within = _mm256_max_pd(least, x);
  const __m256d n = _mm256_round_pd(_mm256_mul_pd(within, _mm256_set1_pd(fixed_math::kLog2E)),
                                    _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256d r =
      _mm256_fnmadd_pd(n, _mm256_set1_pd(fixed_math::kLn2Low),
                       _mm256_fnmadd_pd(n, _mm256_set1_pd(fixed_math::kLn2High), within));
  __m256d p = _mm256_set1_pd(fixed_math::kExpTerms[0]);
  for (std::size_t i = 1; i < fixed_math::kExpTerms.size(); ++i) {
    p = _mm256_fmadd_pd(p, r, _mm256_set1_pd(fixed_math::kExpTerms[i]));
  }
  const __m256d one = _mm256_set1_pd(1.0);
  p = _mm256_fmadd_pd(_mm256_fmadd_pd(p, r, one), r, one);
  const __m128i whole = _mm256_cvtpd_epi32(n);
  const __m128i half = _mm_srai_epi32(_mm_sub_epi32(whole, _mm_srai_epi32(whole, 31)), 1);
  const __m256d found =
      _mm256_mul_pd(_mm256_mul_pd(p, exp2_of(half)), exp2_of(_mm_sub_epi32(whole, half)));
  return _mm256_andnot_pd(_mm256_cmp_pd(x, least, _CMP_LT_OQ), found);
}

[[gnu::target("avx2,fma")]] double exp_sum_by_avx2(std::span<const float> x, float largest) {
  const __m256d shift = _mm256_set1_pd(largest);
  __m256d low = _mm256_setzero_pd();
  __m256d high = _mm256_setzero_pd();
  const auto add = [&](__m256d sum, const float* at) __attribute__((target("avx2,fma"))) {
    return _mm256_add_pd(sum, exp_of(_mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(at)), shift)));
  };
  std::size_t i = 0;
  for (; i + kSums <= x.size(); i += kSums) {
    low = add(low, &x[i]);
    high = add(high, &x[i + 4]);
  }
  std::array<double, kSums> sums{};
  _mm256_storeu_pd(&sums[0], low);
  _mm256_storeu_pd(&sums[4], high);
  for (; i < x.size(); ++i) sums[0] += exp_by_fma(static_cast<double>(x[i]) - largest);
  return total(sums);
}

}  // namespace

double fixed_exp(double x) { return has_fma() ? exp_by_fma(x) : fixed_math::exp(x); }
double fixed_log(double x) { return has_fma() ? log_by_fma(x) : fixed_math::log(x); }
SinCos fixed_sincos(double x) { return has_fma() ? sincos_by_fma(x) : fixed_math::sincos(x); }

#else  // fused multiply-adds are part of the processor's base

double fixed_exp(double x) { return fixed_math::exp(x); }
double fixed_log(double x) { return fixed_math::log(x); }
SinCos fixed_sincos(double x) { return fixed_math::sincos(x); }

#endif

double fixed_exp_sum(std::span<const float> x, float largest) {
#if defined(__x86_64__)
  if (has_fma() && __builtin_cpu_supports("avx2") != 0) return exp_sum_by_avx2(x, largest);
#endif
  std::array<double, kSums> sums{};
  const std::size_t whole = x.size() / kSums * kSums;
  for (std::size_t i = 0; i < x.size(); ++i) {
    sums[i < whole ? i % kSums : 0] += fixed_exp(static_cast<double>(x[i]) - largest);
  }
  return total(sums);
}

double fixed_pow(double base, double exponent) { return fixed_exp(exponent * fixed_log(base)); }

}  // namespace tern
