#include "core/float16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace tern {
namespace {

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

// What a half means, by arithmetic in double, which holds every half exactly.
double meaning_of_f16(std::uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(F16, EveryHalfSurvives) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    const float value = f16_to_f32(half);
    if ((half & 0x7c00) != 0x7c00) {
      ASSERT_EQ(static_cast<double>(value), meaning_of_f16(half)) << std::hex << i;
      ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << std::hex << i;
      ASSERT_EQ(f32_to_f16(value), half) << std::hex << i;
    } else if ((half & 0x3ff) == 0) {
      ASSERT_EQ(bits_of(value), (half & 0x8000) != 0 ? 0xff800000u : 0x7f800000u);
      ASSERT_EQ(f32_to_f16(value), half);
    } else {
      ASSERT_TRUE(std::isnan(value)) << std::hex << i;
      ASSERT_EQ(f32_to_f16(value), half | 0x200) << std::hex << i;
    }
  }
}

// Between each pair of neighbouring halves: just below, at, and just above the middle.
TEST(F16, RoundsToNearestHalfToEven) {
  for (std::uint32_t i = 0; i < 0x7bff; ++i) {
    const auto lower = static_cast<std::uint16_t>(i);
    const auto upper = static_cast<std::uint16_t>(i + 1);
    const auto middle = static_cast<float>((meaning_of_f16(lower) + meaning_of_f16(upper)) / 2);
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 0)), lower) << i;
    ASSERT_EQ(f32_to_f16(middle), (i & 1) == 0 ? lower : upper) << i;
    ASSERT_EQ(f32_to_f16(std::nextafterf(middle, 1e9f)), upper) << i;
    ASSERT_EQ(f32_to_f16(-middle), ((i & 1) == 0 ? lower : upper) | 0x8000) << i;
  }
  EXPECT_EQ(f32_to_f16(65519.996f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(65536.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-3.4e38f), 0xfc00);
  EXPECT_EQ(f32_to_f16(1e-30f), 0);
  EXPECT_EQ(f32_to_f16(-1e-30f), 0x8000);
  EXPECT_EQ(f32_to_f16(std::bit_cast<float>(0x7f800001u)), 0x7e00);  // signalling
  EXPECT_EQ(f32_to_f16(std::bit_cast<float>(0xffffffffu)), 0xffff);
}

TEST(BF16, EveryValueSurvives) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto half = static_cast<std::uint16_t>(i);
    const float value = bf16_to_f32(half);
    ASSERT_EQ(bits_of(value), i << 16);
    const bool nan = std::isnan(value);
    ASSERT_EQ(f32_to_bf16(value), nan ? half | 0x40 : half) << std::hex << i;
  }
}

TEST(BF16, RoundsToNearestHalfToEven) {
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f807fffu)), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x00008001u)), 0x0001);  // subnormal
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(-std::numeric_limits<float>::max()), 0xff80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x7f800001u)), 0x7fc0);  // stays a NaN
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0xffbfffffu)), 0xffff);
}

}  // namespace
}  // namespace tern
