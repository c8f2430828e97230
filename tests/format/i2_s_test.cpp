#include "format/ternary/i2_s.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace tern::format {
namespace {

std::vector<std::int8_t> random_trits(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) trit = static_cast<std::int8_t>(static_cast<int>(generator() % 3) - 1);
  return trits;
}

I2sMatrix bound(const std::vector<std::byte>& bytes, std::uint64_t rows, std::uint64_t columns) {
  auto matrix = I2sMatrix::bind(bytes, rows, columns);
  EXPECT_TRUE(matrix.ok()) << matrix.error().to_string();
  return *matrix;
}

// The layout, written out by hand: one block whose only non-zero trits are known.
TEST(I2s, PlacesEachValueAtItsBits) {
  std::vector<std::int8_t> trits(128, -1);  // code 0
  trits[0] = 1;                             // byte 0, bits 7:6
  trits[32] = 0;                            // byte 0, bits 5:4
  trits[65] = 1;                            // byte 1, bits 3:2
  trits[127] = 1;                           // byte 31, bits 1:0
  const auto bytes = encode_i2_s(trits, 0.5f);
  ASSERT_TRUE(bytes.ok());
  ASSERT_EQ(bytes->size(), 64u);
  EXPECT_EQ((*bytes)[0], std::byte{0b10'01'00'00});
  EXPECT_EQ((*bytes)[1], std::byte{0b00'00'10'00});
  EXPECT_EQ((*bytes)[31], std::byte{0b00'00'00'10});
  for (std::size_t i = 2; i < 31; ++i) EXPECT_EQ((*bytes)[i], std::byte{0}) << i;
  const float scale = 0.5f;
  EXPECT_EQ(std::memcmp(bytes->data() + 32, &scale, 4), 0);
  for (std::size_t i = 36; i < 64; ++i) EXPECT_EQ((*bytes)[i], std::byte{0}) << i;
}

TEST(I2s, TritsSurviveWhenRowsStraddleBlocks) {
  // 8640 = 67.5 blocks a row; 100 = no row starts on a block but every 32nd.
  for (const auto& [rows, columns] :
       {std::pair{4, 8640}, {32, 100}, {128, 1}, {1, 128}, {3, 256}}) {
    const auto trits = random_trits(static_cast<std::size_t>(rows * columns), 7);
    const auto bytes = encode_i2_s(trits, 0.04f);
    ASSERT_TRUE(bytes.ok());
    const I2sMatrix matrix = bound(*bytes, rows, columns);
    EXPECT_EQ(matrix.scale(), 0.04f);
    EXPECT_EQ(matrix.rows(), static_cast<std::uint64_t>(rows));
    EXPECT_EQ(matrix.columns(), static_cast<std::uint64_t>(columns));
    for (int first = 0; first < rows; ++first) {
      for (const int count : {1, 2, rows - first}) {
        if (first + count > rows) continue;
        std::vector<std::int8_t> decoded(static_cast<std::size_t>(count * columns), 99);
        matrix.decode_rows(first, count, decoded.data());
        const auto expected = std::span(trits).subspan(first * columns, count * columns);
        ASSERT_TRUE(std::ranges::equal(decoded, expected))
            << rows << 'x' << columns << " rows " << first << '+' << count;
      }
    }
  }
}

TEST(I2s, CountsCodesOfAnyRows) {
  const auto trits = random_trits(32 * 100, 11);
  auto bytes = encode_i2_s(trits, 1.0f);
  ASSERT_TRUE(bytes.ok());
  const I2sMatrix matrix = bound(*bytes, 32, 100);
  for (const auto& [first, count] : {std::pair{0, 32}, {0, 1}, {3, 5}, {31, 1}, {5, 0}}) {
    std::array<std::uint64_t, 4> expected{};
    for (const auto trit : std::span(trits).subspan(first * 100, count * 100)) {
      ++expected[static_cast<std::size_t>(trit + 1)];
    }
    EXPECT_EQ(matrix.count_codes(first, count), expected) << first << '+' << count;
  }
  std::ranges::fill(std::span(*bytes).first(800), std::byte{0xff});
  EXPECT_EQ(matrix.count_codes(0, 32), (std::array<std::uint64_t, 4>{0, 0, 0, 3200}));
}

TEST(I2s, FindsTheFirstCode3) {
  const auto clean = encode_i2_s(random_trits(32 * 100, 5), 1.0f);
  ASSERT_TRUE(clean.ok());
  EXPECT_EQ(bound(*clean, 32, 100).find_invalid(0, 32), std::nullopt);
  // Positions in the first, a middle and the last block, in each of the four groups.
  for (const std::uint64_t position : {0, 31, 32, 95, 127, 128, 1599, 1667, 3199}) {
    auto bytes = *clean;
    const std::uint64_t in_block = position % 128;
    bytes[position / 128 * 32 + in_block % 32] |=
        static_cast<std::byte>(3u << (6 - 2 * (in_block / 32)));
    const I2sMatrix matrix = bound(bytes, 32, 100);
    EXPECT_EQ(matrix.find_invalid(0, 32), position);
    EXPECT_EQ(matrix.find_invalid(position / 100, 1), position);
    EXPECT_EQ(matrix.find_invalid(0, position / 100), std::nullopt);
    EXPECT_EQ(matrix.find_invalid(position / 100 + 1, 31 - position / 100), std::nullopt);
    EXPECT_EQ(matrix.count_codes(0, 32)[3], 1u);
  }
}

TEST(I2s, NamesTheFirstOfTwoCode3) {
  auto bytes = encode_i2_s(random_trits(256, 5), 1.0f);
  ASSERT_TRUE(bytes.ok());
  // In byte order the one at 100 (byte 4) stands before the one at 40 (byte 8).
  (*bytes)[4] |= std::byte{0b00'00'00'11};
  (*bytes)[8] |= std::byte{0b00'11'00'00};
  // And one more in the next block, and one at a ragged end.
  (*bytes)[33] |= std::byte{0b11'00'00'00};
  EXPECT_EQ(bound(*bytes, 2, 128).find_invalid(0, 2), 40u);
  EXPECT_EQ(bound(*bytes, 2, 128).find_invalid(1, 1), 129u);
  EXPECT_EQ(bound(*bytes, 4, 64).find_invalid(0, 3), 40u);
  EXPECT_EQ(bound(*bytes, 4, 64).find_invalid(1, 2), 100u);
}

void expect_error(const auto& result, ErrorCode code, std::string_view fragment) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, code);
  EXPECT_NE(result.error().message.find(fragment), std::string::npos) << result.error().message;
}

TEST(I2s, BindRefusesWhatDoesNotFit) {
  auto bytes = *encode_i2_s(random_trits(256, 3), 1.0f);
  constexpr auto kMalformed = ErrorCode::kMalformed;
  expect_error(I2sMatrix::bind(bytes, 2, 100), kMalformed, "found 2 rows of 100");
  expect_error(I2sMatrix::bind(bytes, 0, 128), kMalformed, "found 0 rows of 128");
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
  expect_error(I2sMatrix::bind(bytes, kHuge, 256), kMalformed, "found 9223372036854775808 rows");
  // 2^64 + 128 elements: cut to 64 bits they would fit the bytes.
  expect_error(I2sMatrix::bind(std::span(bytes).first(64), (std::uint64_t{1} << 57) + 1, 128),
               kMalformed, "found 144115188075855873 rows of 128");
  expect_error(I2sMatrix::bind(std::span(bytes).first(95), 2, 128), kMalformed,
               "expected 96 bytes for 256 elements, found 95");
  expect_error(I2sMatrix::bind(bytes, 1, 128), kMalformed, "expected 64 bytes");
  for (const float scale : {-1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    std::memcpy(bytes.data() + 64, &scale, sizeof scale);
    expect_error(I2sMatrix::bind(bytes, 2, 128), kMalformed, "expected a finite scale");
  }
  const float zero = 0;
  std::memcpy(bytes.data() + 64, &zero, sizeof zero);
  EXPECT_TRUE(I2sMatrix::bind(bytes, 2, 128).ok());
}

TEST(I2s, EncodeRefusesWhatItCannotHold) {
  constexpr auto kUsage = ErrorCode::kUsage;
  std::vector<std::int8_t> trits(128, 0);
  expect_error(encode_i2_s(std::span(trits).first(127), 1.0f), kUsage, "found 127");
  expect_error(encode_i2_s({}, 1.0f), kUsage, "positive multiple of 128 trits, found 0");
  expect_error(encode_i2_s(trits, -0.5f), kUsage, "expected a finite scale");
  trits[77] = 2;
  expect_error(encode_i2_s(trits, 1.0f), kUsage, "found 2 at position 77");
  trits[77] = -2;
  expect_error(encode_i2_s(trits, 1.0f), kUsage, "found -2 at position 77");
}

}  // namespace
}  // namespace tern::format
