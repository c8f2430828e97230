#include "format/ternary/iq_bn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/float16.h"

namespace tern::format {
namespace {

constexpr auto kOne = IqBnLayout::kIq1Bn;
constexpr auto kTwo = IqBnLayout::kIq2Bn;
constexpr IqBnLayout kLayouts[] = {kOne, kTwo};

std::vector<std::int8_t> random_trits(std::size_t count) {
  std::mt19937 generator(3);
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) trit = static_cast<std::int8_t>(static_cast<int>(generator() % 3) - 1);
  return trits;
}

std::vector<std::byte> encoded(IqBnLayout layout, const std::vector<std::int8_t>& trits,
                               std::uint64_t columns, float scale) {
  const std::uint64_t row_bytes = iq_bn_row_bytes(layout, columns);
  std::vector<std::byte> bytes(trits.size() / columns * row_bytes);
  for (std::uint64_t row = 0; row < trits.size() / columns; ++row) {
    encode_iq_bn_row(layout, trits.data() + row * columns, columns, scale,
                     bytes.data() + row * row_bytes);
  }
  return bytes;
}

void set_scale(IqBnLayout layout, std::vector<std::byte>& bytes, std::uint64_t at, float scale) {
  const std::uint16_t half = f32_to_f16(scale);
  if (layout == kOne) {
    std::memcpy(bytes.data() + at, &half, 2);
  } else {
    std::memcpy(bytes.data() + at, &scale, 4);
  }
}

IqBnMatrix bound(IqBnLayout layout, const std::vector<std::byte>& bytes, std::uint64_t rows,
                 std::uint64_t columns) {
  auto matrix = IqBnMatrix::bind(layout, bytes, rows, columns);
  EXPECT_TRUE(matrix.ok()) << matrix.error().to_string();
  return *matrix;
}

void expect_error(const auto& result, ErrorCode code, std::string_view fragment) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code);
  EXPECT_NE(result.error().message.find(fragment), std::string::npos) << result.error().message;
}

// The layouts, written out by hand.
TEST(IqBn, PlacesEachValue) {
  std::vector<std::int8_t> trits(64, -1);
  trits[1] = 1;   // IQ2_BN: byte 1, bits 1:0.  IQ1_BN: byte 0, second digit: 2 * 3
  trits[37] = 0;  // IQ2_BN: byte 5, bits 5:4.  IQ1_BN: group 2, byte 3*2 + 1, first digit: 1
  trits[63] = 1;  // IQ2_BN: byte 15, bits 7:6. IQ1_BN: byte 12, fourth digit: 2 * 27
  const auto two = encoded(kTwo, trits, 64, 0.5f);
  ASSERT_EQ(two.size(), 20u);
  const auto one = encoded(kOne, trits, 64, 0.5f);
  ASSERT_EQ(one.size(), 15u);
  float scale = 0;
  std::memcpy(&scale, two.data(), sizeof scale);
  EXPECT_EQ(scale, 0.5f);
  std::uint16_t half = 0;
  std::memcpy(&half, one.data(), sizeof half);
  EXPECT_EQ(half, 0x3800);
  for (std::size_t i = 0; i < 16; ++i) {
    const unsigned expected = i == 1 ? 2 : i == 5 ? 1 << 4 : i == 15 ? 2 << 6 : 0;
    EXPECT_EQ(two[4 + i], static_cast<std::byte>(expected)) << i;
  }
  // 6, 1 and 54 as ceil(v * 256 / 243).
  for (std::size_t i = 0; i < 13; ++i) {
    const unsigned expected = i == 0 ? 7 : i == 7 ? 2 : i == 12 ? 57 : 0;
    EXPECT_EQ(one[2 + i], static_cast<std::byte>(expected)) << i;
  }
}

TEST(IqBn, TritsComeBack) {
  const auto trits = random_trits(5 * 192);
  std::array<std::uint64_t, 4> counts{};
  for (std::size_t i = 192; i < trits.size() - 192; ++i) {
    ++counts[static_cast<std::size_t>(trits[i] + 1)];
  }
  for (const IqBnLayout layout : kLayouts) {
    const auto bytes = encoded(layout, trits, 192, 0.25f);
    const IqBnMatrix matrix = bound(layout, bytes, 5, 192);
    EXPECT_EQ(matrix.layout(), layout);
    EXPECT_EQ(matrix.rows(), 5u);
    EXPECT_EQ(matrix.columns(), 192u);
    EXPECT_EQ(matrix.scale(), 0.25f);
    std::vector<std::int8_t> decoded(3 * 192);
    matrix.decode_rows(1, 3, decoded.data());
    EXPECT_TRUE(std::ranges::equal(decoded, std::span(trits).subspan(192, 3 * 192)));
    EXPECT_EQ(matrix.count_codes(1, 3), counts);
    EXPECT_EQ(matrix.find_invalid(0, 5), std::nullopt);
  }
}

// ik_llama.cpp writes such rows with +1 everywhere.
TEST(IqBn, ARowWithTheScale0IsZeros) {
  const std::vector<std::int8_t> trits(3 * 64, 1);
  for (const IqBnLayout layout : kLayouts) {
    auto bytes = encoded(layout, trits, 64, 0.5f);
    set_scale(layout, bytes, iq_bn_row_bytes(layout, 64), -0.0f);
    const IqBnMatrix matrix = bound(layout, bytes, 3, 64);
    EXPECT_EQ(matrix.scale(), 0.5f);
    std::vector<std::int8_t> decoded(trits.size());
    matrix.decode_rows(0, 3, decoded.data());
    for (std::size_t i = 0; i < decoded.size(); ++i) EXPECT_EQ(decoded[i], i / 64 == 1 ? 0 : 1);
    EXPECT_EQ(matrix.count_codes(0, 3), (std::array<std::uint64_t, 4>{0, 64, 128, 0}));
    set_scale(layout, bytes, 0, 0.0f);
    set_scale(layout, bytes, 2 * iq_bn_row_bytes(layout, 64), 0.0f);
    EXPECT_EQ(bound(layout, bytes, 3, 64).scale(), 0.0f);
  }
}

TEST(IqBn, FindsCodesWithoutAMeaning) {
  const auto trits = random_trits(3 * 128);
  auto two = encoded(kTwo, trits, 128, 0.5f);
  two[36 + 4 + 16 + 3] |= std::byte{0b00'11'00'00};  // row 1, block 1: value 32 + 3
  const IqBnMatrix matrix = bound(kTwo, two, 3, 128);
  EXPECT_EQ(matrix.find_invalid(0, 3), 128u + 64 + 35);
  EXPECT_EQ(matrix.find_invalid(0, 1), std::nullopt);
  EXPECT_EQ(matrix.find_invalid(2, 1), std::nullopt);
  EXPECT_EQ(matrix.count_codes(0, 3)[3], 1u);
  set_scale(kTwo, two, 36, 0.0f);  // zeros or not, it is damage
  EXPECT_EQ(bound(kTwo, two, 3, 128).find_invalid(0, 3), 128u + 64 + 35);
  EXPECT_EQ(bound(kTwo, two, 3, 128).count_codes(1, 1)[3], 1u);

  const auto clean = encoded(kOne, trits, 128, 0.5f);
  const std::size_t block = 28 + 2 + 13;  // row 1, block 1
  auto one = clean;
  one[block + 4] = std::byte{0x01};  // between 0 and the byte 2 of the number 1
  EXPECT_EQ(bound(kOne, one, 3, 128).find_invalid(0, 3), 128u + 64 + 16 + 5);
  EXPECT_EQ(bound(kOne, one, 3, 128).count_codes(0, 3)[3], 5u);
  one = clean;
  one[block + 12] = std::byte{86};  // the number 81, which has a fifth digit
  EXPECT_EQ(bound(kOne, one, 3, 128).find_invalid(0, 3), 128u + 64 + 15);
  one[block + 12] = std::byte{85};  // and 80, which has none
  EXPECT_EQ(bound(kOne, one, 3, 128).find_invalid(0, 3), std::nullopt);
  one[block + 12] = std::byte{0x01};
  EXPECT_EQ(bound(kOne, one, 3, 128).find_invalid(0, 3), 128u + 64 + 15);
}

TEST(IqBn, BindRefusesWhatDoesNotFit) {
  constexpr auto kMalformed = ErrorCode::kMalformed;
  for (const IqBnLayout layout : kLayouts) {
    const auto bytes = encoded(layout, random_trits(256), 128, 0.5f);
    const auto bind = [&](std::uint64_t rows, std::uint64_t columns) {
      return IqBnMatrix::bind(layout, bytes, rows, columns);
    };
    expect_error(bind(2, 100), kMalformed, "found 2 rows of 100");
    expect_error(bind(0, 128), kMalformed, "found 0 rows of 128");
    expect_error(bind(std::uint64_t{1} << 60, 128), kMalformed, "found 1152921504606846976 rows");
    const std::string row = std::to_string(iq_bn_row_bytes(layout, 128));
    expect_error(bind(3, 128), kMalformed, "expected 3 rows of " + row + " bytes, found ");
    expect_error(IqBnMatrix::bind(layout, std::span(bytes).first(bytes.size() - 1), 2, 128),
                 kMalformed, "expected 2 rows of " + row + " bytes");
  }
}

TEST(IqBn, BindRefusesScales) {
  for (const IqBnLayout layout : kLayouts) {
    const auto with = [&](float scale) {
      auto bytes = encoded(layout, random_trits(256), 128, 0.5f);
      set_scale(layout, bytes, iq_bn_row_bytes(layout, 128), scale);
      return IqBnMatrix::bind(layout, bytes, 2, 128);
    };
    expect_error(
        with(0.25f), ErrorCode::kUnsupported,
        "expected one scale for the matrix, found 0.500000 in row 0 and 0.250000 in row 1");
    for (const float scale : {-0.5f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
      expect_error(with(scale), ErrorCode::kMalformed,
                   "expected a finite scale of at least 0 in row 1, found ");
    }
    EXPECT_TRUE(with(0.5f).ok());
  }
}

}  // namespace
}  // namespace tern::format
