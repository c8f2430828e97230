// What fixed_math.h computes. Inlined, so that a function that may use fused multiply-adds has them
// as instructions where others call libm, whose are as exact.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "core/fixed_math.h"

#define TERN_INLINE [[gnu::always_inline]] inline

namespace tern::fixed_math {

inline constexpr double kLn2High =
    0x1.62e42fee00000p-1;  // 33 bits: n * kLn2High is exact for |n| < 2^20
inline constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
inline constexpr double kLog2E = 0x1.71547652b82fep+0;

// 2^n for -1022 <= n <= 1023.
TERN_INLINE double exp2_int(int n) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
}

// Taylor series, highest power first: 1/13! ... 1/2!. |r| <= ln(2)/2 leaves 4e-18.
inline constexpr std::array<double, 12> kExpTerms{
    1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
    1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
    1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        1.0 / 2.0};

TERN_INLINE double exp(double x) {
  if (x < -745.0) return 0.0;
  if (x > 709.78) return std::numeric_limits<double>::infinity();
  const double n = std::rint(x * kLog2E);
  const double r = std::fma(-n, kLn2Low, std::fma(-n, kLn2High, x));
  double p = kExpTerms[0];
  for (std::size_t i = 1; i < kExpTerms.size(); ++i) p = std::fma(p, r, kExpTerms[i]);
  p = std::fma(std::fma(p, r, 1.0), r, 1.0);
  const int whole = static_cast<int>(n);
  const int half = whole / 2;  // two steps keep both factors normal
  return p * exp2_int(half) * exp2_int(whole - half);
}

TERN_INLINE double log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact; m in [0.5, 1)
  if (m < 0x1.6a09e667f3bcdp-1) {       // sqrt(1/2)
    m *= 2.0;
    --exponent;
  }
  // log(m) = 2 atanh(z), z = (m - 1)/(m + 1), |z| <= 0.1716: 11 terms leave 1e-18.
  const double z = (m - 1.0) / (m + 1.0);
  const double w = z * z;
  double p = 1.0 / 23.0;
  for (int k = 21; k >= 3; k -= 2) p = std::fma(p, w, 1.0 / k);
  const double series = std::fma(2.0 * z * w, p, 2.0 * z);
  const double n = exponent;
  return std::fma(n, kLn2High, std::fma(n, kLn2Low, series));
}

TERN_INLINE SinCos sincos(double x) {
  // pi/2 in three parts of 33, 33 and 53 bits: the products with a quotient below 2^20 are exact,
  // and fma keeps what larger quotients would lose.
  constexpr double kHigh = 0x1.921fb54400000p+0;
  constexpr double kMiddle = 0x1.0b4611a600000p-34;
  constexpr double kLow = 0x1.3198a2e037073p-69;
  const double n = std::rint(x * 0x1.45f306dc9c883p-1);  // 2/pi
  const double r = std::fma(-n, kLow, std::fma(-n, kMiddle, std::fma(-n, kHigh, x)));
  const double w = r * r;
  // Taylor series to r^17 and r^16: |r| <= pi/4 leaves 2e-18 of the cosine.
  double sin_factorial = 355687428096000.0;  // 17!
  double cos_factorial = 20922789888000.0;   // 16!
  double s = 1.0 / sin_factorial;
  double c = 1.0 / cos_factorial;
  double sign = -1.0;
  for (int k = 15; k >= 1; k -= 2) {
    sin_factorial /= (k + 1) * (k + 2);  // k!, exact
    cos_factorial /= k * (k + 1);        // (k-1)!, exact
    s = std::fma(s, w, sign / sin_factorial);
    c = std::fma(c, w, sign / cos_factorial);
    sign = -sign;
  }
  s *= r;
  switch (static_cast<std::uint64_t>(n) & 3u) {
    case 0: return {s, c};
    case 1: return {c, -s};
    case 2: return {-s, -c};
    default: return {-c, s};
  }
}

}  // namespace tern::fixed_math

#undef TERN_INLINE
