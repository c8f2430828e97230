// The fixed functions against libm in long double, at their cut-offs, and as bits: the committed
// hash is what every compiler, optimisation level and processor must give.
#include "core/fixed_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "core/fixed_math_body.h"
#include "core/sha256.h"

namespace tern {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr long double kPi = 3.14159265358979323846264338327950288L;

// How far `found` is from `exact`, in units in the last place of `exact` as a double.
double ulps(double found, long double exact) {
  const int exponent = std::max(std::ilogb(static_cast<double>(exact)), -1022);
  return static_cast<double>(std::fabs(found - exact) / std::ldexp(1.0L, exponent - 52));
}

// Where long double is no wider than double, libm itself is the reference, with an ulp of its own.
constexpr double kReferenceUlps = std::numeric_limits<long double>::digits > 53 ? 0.0 : 1.0;

// `count` values in [low, high) that are the same everywhere: no distribution of the library.
std::vector<double> uniform(std::size_t count, double low, double high) {
  std::mt19937_64 generator(count);
  std::vector<double> x(count);
  for (double& v : x) v = low + (high - low) * (static_cast<double>(generator() >> 11) * 0x1p-53);
  return x;
}

// With the processor's fused multiply-adds and with libm's, as this file is compiled.
TEST(FixedMath, SameBitsHoweverMultiplyAddsAreFused) {
  const auto bits = [](double x) { return std::bit_cast<std::uint64_t>(x); };
  for (const double x : uniform(50000, -750.0, 710.0)) {
    ASSERT_EQ(bits(fixed_exp(x)), bits(fixed_math::exp(x))) << x;
    ASSERT_EQ(bits(fixed_log(std::fabs(x))), bits(fixed_math::log(std::fabs(x)))) << x;
  }
  for (const double x : uniform(50000, 0.0, 0x1p31)) {
    ASSERT_EQ(bits(fixed_sincos(x).sin), bits(fixed_math::sincos(x).sin)) << x;
    ASSERT_EQ(bits(fixed_sincos(x).cos), bits(fixed_math::sincos(x).cos)) << x;
  }
}

// Of every length, from anywhere in memory, with values that underflow, masks and the largest.
TEST(FixedExpSum, IsEightSumsInTheirOrder) {
  std::vector<float> x;
  for (const double v : uniform(300, -760.0, 0.0)) x.push_back(static_cast<float>(v));
  for (const double v : uniform(300, -3.0, 0.0)) x.push_back(static_cast<float>(v));
  x[17] = x[310] = -static_cast<float>(kInfinity);
  x[40] = x[320] = 0.0f;
  for (std::size_t first : {0u, 1u, 299u}) {
    for (std::size_t count = 0; count <= x.size() - first; ++count) {
      const auto part = std::span(x).subspan(first, count);
      std::array<double, 8> sums{};
      for (std::size_t i = 0; i < count; ++i) {
        sums[i < count / 8 * 8 ? i % 8 : 0] += fixed_exp(static_cast<double>(part[i]) - 3.25);
      }
      double sum = 0.0;
      for (const double each : sums) sum += each;
      ASSERT_EQ(fixed_exp_sum(part, 3.25f), sum) << first << ", " << count;
    }
  }
  x[5] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(fixed_exp_sum(x, 0.0f)));
}

// Alone, since beside larger ones the last bits of small ones are lost.
TEST(FixedExpSum, TakesExponentialsOfEverySize) {
  const float end = std::nextafter(-745.0f, -746.0f);
  for (const float v : {0.0f, -0.1f, -1.5f, -700.0f, -708.5f, -730.3f, -744.9f, -745.0f, end}) {
    double sum = 0.0;
    for (int i = 0; i < 8; ++i) sum += fixed_exp(static_cast<double>(v));
    EXPECT_EQ(fixed_exp_sum(std::vector<float>(8, v), 0.0f), sum) << v;
  }
}

TEST(FixedExp, IsWithinTwoUlps) {
  double worst = 0.0;
  for (const double x : uniform(100000, -708.0, 709.7)) {
    worst = std::max(worst, ulps(fixed_exp(x), std::exp(static_cast<long double>(x))));
  }
  for (const double x : uniform(100000, -1.0, 1.0)) {
    worst = std::max(worst, ulps(fixed_exp(x), std::exp(static_cast<long double>(x))));
  }
  EXPECT_LT(worst, 2.0 + kReferenceUlps);
}

TEST(FixedExp, KeepsSubnormalResults) {
  for (const double x : uniform(10000, -745.0, -708.0)) {
    ASSERT_LT(ulps(fixed_exp(x), std::exp(static_cast<long double>(x))), 2.0 + kReferenceUlps) << x;
  }
  EXPECT_GT(fixed_exp(-745.0), 0.0);
}

TEST(FixedExp, Specials) {
  EXPECT_EQ(fixed_exp(0.0), 1.0);
  EXPECT_EQ(fixed_exp(-0.0), 1.0);
  EXPECT_EQ(fixed_exp(std::nextafter(-745.0, -kInfinity)), 0.0);
  EXPECT_EQ(fixed_exp(-kInfinity), 0.0);
  EXPECT_LT(fixed_exp(709.78), kInfinity);
  EXPECT_EQ(fixed_exp(std::nextafter(709.78, kInfinity)), kInfinity);
  EXPECT_EQ(fixed_exp(kInfinity), kInfinity);
}

TEST(FixedLog, IsWithinTwoUlps) {
  double worst = 0.0;
  const auto measure = [&](double x) {
    worst = std::max(worst, ulps(fixed_log(x), std::log(static_cast<long double>(x))));
  };
  for (const double x : uniform(100000, 0.25, 4.0)) measure(x);  // both sides of 1
  for (const double x : uniform(10000, 1.0 - 1e-6, 1.0 + 1e-6)) measure(x);
  for (const double e : uniform(100000, -1021.0, 1023.0)) measure(std::exp2(e));
  EXPECT_LT(worst, 2.5 + kReferenceUlps);
}

// Where the mantissa is the bound itself it is not doubled, and another bit would come of that.
TEST(FixedLog, TheBoundOfTheMantissa) {
  EXPECT_EQ(fixed_log(0x1.6a09e667f3bcdp-1), -0x1.62e42fefa39eep-2);
  EXPECT_EQ(fixed_log(0x1.6a09e667f3bcdp+0), 0x1.62e42fefa39fp-2);
}

TEST(FixedLog, Specials) {
  EXPECT_EQ(fixed_log(1.0), 0.0);
  EXPECT_FALSE(std::signbit(fixed_log(1.0)));
  for (const double x : {5e-324, 0x1p-1022, std::numeric_limits<double>::max(),
                         std::nextafter(1.0, 0.0), std::nextafter(1.0, 2.0)}) {
    EXPECT_LT(ulps(fixed_log(x), std::log(static_cast<long double>(x))), 2.0 + kReferenceUlps) << x;
  }
}

// The rounding of the logarithm is multiplied by the size of the exponent that goes into exp.
TEST(FixedPow, IsAsExactAsItsLogarithm) {
  for (const double base : {0.5, 2.0, 10000.0, 500000.0, 1000042.0, 1e12}) {
    for (const double exponent : uniform(5000, -1.0, 1.0)) {
      const long double exact =
          std::pow(static_cast<long double>(base), static_cast<long double>(exponent));
      const double allowed = 3.0 + 3.0 * std::fabs(exponent * std::log(base));
      ASSERT_LT(ulps(fixed_pow(base, exponent), exact), allowed) << base << " ^ " << exponent;
    }
    EXPECT_EQ(fixed_pow(base, 0.0), 1.0);
  }
}

// Angles of the size that positions make: position times a frequency of at most 1 radian.
TEST(FixedSinCos, IsWithinThreeUlpsUpToLargePositions) {
  if (std::numeric_limits<long double>::digits <= 53) {
    GTEST_SKIP() << "long double is no wider than double here: libm is no reference";
  }
  for (const double range : {0.8, 7.0, 4096.0, 0x1p20, 0x1p31}) {
    double worst = 0.0;
    for (const double x : uniform(50000, 0.0, range)) {
      const SinCos found = fixed_sincos(x);
      worst = std::max(worst, ulps(found.sin, std::sin(static_cast<long double>(x))));
      worst = std::max(worst, ulps(found.cos, std::cos(static_cast<long double>(x))));
    }
    EXPECT_LT(worst, 3.0) << "up to " << range;
  }
}

TEST(FixedSinCos, WholePositions) {
  for (std::uint32_t position = 0; position <= 1u << 20; position += 1 + position / 64) {
    const SinCos found = fixed_sincos(position);
    const auto exact = static_cast<long double>(position);
    ASSERT_NEAR(found.sin, static_cast<double>(std::sin(exact)), 3e-16) << position;
    ASSERT_NEAR(found.cos, static_cast<double>(std::cos(exact)), 3e-16) << position;
  }
}

// Where the result nearly vanishes, its relative accuracy shows each part of pi/2.
TEST(FixedSinCos, IsExactNearMultiplesOfHalfPi) {
  if (std::numeric_limits<long double>::digits <= 53) {
    GTEST_SKIP() << "long double is no wider than double here: libm is no reference";
  }
  for (std::uint32_t n = 1; n <= 650000; n += 1 + n / 8) {
    const auto x = static_cast<double>(n * kPi / 2);
    const SinCos found = fixed_sincos(x);
    const bool sine_vanishes = n % 2 == 0;
    const double small = sine_vanishes ? found.sin : found.cos;
    const auto wide = static_cast<long double>(x);
    ASSERT_LT(ulps(small, sine_vanishes ? std::sin(wide) : std::cos(wide)), 2.0) << n;
  }
}

TEST(FixedSinCos, Quadrants) {
  EXPECT_EQ(fixed_sincos(0.0).sin, 0.0);
  EXPECT_EQ(fixed_sincos(0.0).cos, 1.0);
  const double step = static_cast<double>(kPi / 2);
  const double signs[4][2] = {{1, 1}, {1, -1}, {-1, -1}, {-1, 1}};
  for (int n = 0; n < 8; ++n) {
    const SinCos found = fixed_sincos(n * step + 0.7);
    EXPECT_EQ(std::copysign(1.0, found.sin), signs[n % 4][0]) << n;
    EXPECT_EQ(std::copysign(1.0, found.cos), signs[n % 4][1]) << n;
    EXPECT_NEAR(found.sin * found.sin + found.cos * found.cos, 1.0, 1e-15);
  }
}

TEST(FixedMath, GivesTheCommittedBits) {
  std::vector<std::uint64_t> bits;
  const auto keep = [&](double value) { bits.push_back(std::bit_cast<std::uint64_t>(value)); };
  for (const double x : uniform(2500, -745.0, 709.0)) keep(fixed_exp(x));
  for (const double x : uniform(2500, 1e-3, 1e6)) keep(fixed_log(x));
  for (const double x : uniform(2500, -2.0, 2.0)) keep(fixed_pow(500000.0, x));
  for (const double x : uniform(1250, 0.0, 0x1p20)) {
    keep(fixed_sincos(x).sin);
    keep(fixed_sincos(x).cos);
  }
  ASSERT_EQ(bits.size(), 10000u);
  Sha256 hash;
  for (const std::uint64_t value : bits) {  // little endian whatever the machine
    std::byte bytes[8];
    for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(value >> (8 * i));
    hash.update(bytes);
  }
  EXPECT_EQ(hash.finish(), "7c94f19da21d45cac4f5ed0b901c8b443cc30e146fe5652b5cd1bdfc553e44de");
}

}  // namespace
}  // namespace tern
