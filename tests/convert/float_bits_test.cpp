// Trits out of the bits of floats, against the published rule in plain floats.
#include "convert/float_bits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/float16.h"

namespace tern::convert {
namespace {

using format::SafetensorsType;

constexpr SafetensorsType kTypes[] = {SafetensorsType::kF32, SafetensorsType::kF16,
                                      SafetensorsType::kBF16};

std::vector<std::byte> stored(SafetensorsType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes;
  for (const float value : values) {
    if (type == SafetensorsType::kF32) {
      const auto raw = std::as_bytes(std::span(&value, 1));
      bytes.insert(bytes.end(), raw.begin(), raw.end());
      continue;
    }
    const std::uint16_t half =
        type == SafetensorsType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    const auto raw = std::as_bytes(std::span(&half, 1));
    bytes.insert(bytes.end(), raw.begin(), raw.end());
  }
  return bytes;
}

std::vector<float> random_values(std::size_t count) {
  std::mt19937 generator(11);
  std::normal_distribution<float> normal(0.0f, 0.03f);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  values[0] = 0.0f;
  values[1] = -0.0f;
  values[2] = 1e-7f;  // subnormal in f16
  return values;
}

TEST(FloatBits, SumsMagnitudesInEightLanes) {
  for (const SafetensorsType type : kTypes) {
    const std::size_t count = 1003;
    const auto bytes = stored(type, random_values(count));
    std::vector<float> wide(count);
    widen(type, bytes.data(), count, wide.data());
    double lanes[8] = {};
    for (std::size_t i = 0; i < count; ++i) lanes[i % 8] += std::fabs(double{wide[i]});
    const double expected = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
                            ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    EXPECT_EQ(sum_of_magnitudes(type, bytes.data(), count), expected);
  }
}

TEST(FloatBits, ASumWithAnInfinityIsNone) {
  for (const SafetensorsType type : kTypes) {
    for (const std::size_t at : {0u, 9u}) {
      for (const float bad : {std::numeric_limits<float>::infinity(),
                              -std::numeric_limits<float>::infinity(), std::nanf("")}) {
        std::vector<float> values(10, 1.0f);
        values[at] = bad;
        EXPECT_FALSE(std::isfinite(sum_of_magnitudes(type, stored(type, values).data(), 10)));
      }
    }
  }
}

TEST(FloatBits, TritsFollowThePublishedRule) {
  for (const SafetensorsType type : kTypes) {
    for (const float scale : {0.0237f, 0.03125f, 1e-5f, 3.0f}) {
      auto values = random_values(4096);
      for (std::size_t i = 0; i < 64; ++i) {  // about the border, and on it where it is a float
        values[100 + i] = 0.5f * scale * (1.0f + (static_cast<float>(i) - 32.0f) * 0x1p-22f);
      }
      const auto bytes = stored(type, values);
      widen(type, bytes.data(), values.size(), values.data());
      std::vector<std::int8_t> trits(values.size());
      trits_above(type, bytes.data(), values.size(), largest_zero(type, scale), trits.data());
      const float s = 1.0f / scale;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float expected = std::clamp(std::nearbyint(values[i] * s), -1.0f, 1.0f);
        ASSERT_EQ(static_cast<float>(trits[i]), expected) << values[i] << " at scale " << scale;
      }
    }
  }
}

TEST(FloatBits, FindsWhatIsNotTernary) {
  for (const SafetensorsType type : kTypes) {
    std::vector<float> values{0.0f, -0.0f, -0.25f, 0.25f, 0.0f, 0.25f};
    std::vector<std::int8_t> trits(values.size());
    auto bytes = stored(type, values);
    const std::uint32_t magnitude = first_magnitude(type, bytes.data(), values.size());
    EXPECT_EQ(magnitude_value(type, magnitude), 0.25f);
    EXPECT_EQ(first_magnitude(type, bytes.data(), 2), 0u);
    EXPECT_EQ(trits_of(type, bytes.data(), values.size(), magnitude, trits.data()), 0u);
    EXPECT_EQ(trits, (std::vector<std::int8_t>{0, 0, -1, 1, 0, 1}));
    values[3] = 0.5f;
    values[5] = -0.125f;
    bytes = stored(type, values);
    EXPECT_EQ(trits_of(type, bytes.data(), values.size(), magnitude, trits.data()), 2u);
  }
}

TEST(FloatBits, UnpacksQuarters) {
  const std::byte packed[] = {std::byte{0b00'01'10'00}, std::byte{0b10'00'01'01}};
  const std::vector<std::vector<std::int8_t>> expected{{-1, 0}, {1, 0}, {0, -1}, {-1, 1}};
  for (unsigned quarter = 0; quarter < 4; ++quarter) {
    std::vector<std::int8_t> trits(2);
    unpack_quarter(packed, 2, quarter, trits.data());
    EXPECT_EQ(trits, expected[quarter]) << quarter;
  }
  EXPECT_FALSE(has_code_3(packed));
  for (unsigned shift = 0; shift < 8; shift += 2) {
    const std::byte bad[] = {std::byte{0}, static_cast<std::byte>(3u << shift)};
    EXPECT_TRUE(has_code_3(bad)) << shift;
  }
  const std::byte neighbours[] = {std::byte{0b01'10'01'10}, std::byte{0b10'01'10'01}};
  EXPECT_FALSE(has_code_3(neighbours));
}

}  // namespace
}  // namespace tern::convert
