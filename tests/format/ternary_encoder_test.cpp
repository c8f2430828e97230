// Every type holds the same trits, by a second decoder, whatever parts they come in.
#include "format/ternary_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

#include "format/second_decoder.h"
#include "format/ternary_matrix.h"

namespace tern::format {
namespace {

using enum TensorType;
constexpr TensorType kTypes[] = {kI2_S, kTL1, kTL2, kTQ1_0, kTQ2_0, kIQ1_BN, kIQ2_BN};

std::vector<std::int8_t> random_trits(std::size_t count) {
  std::mt19937 generator(7);
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) trit = static_cast<std::int8_t>(static_cast<int>(generator() % 3) - 1);
  return trits;
}

// Parts in descending order, so that a place that follows from the part before would show.
std::vector<std::byte> encoded(const TernaryEncoder& encoder, std::uint64_t rows,
                               std::uint64_t columns, const std::vector<std::int8_t>& trits) {
  std::vector<std::byte> bytes(encoder.bytes(), std::byte{0xee});
  std::vector<std::byte> scratch;
  std::uint64_t written = 0;
  const TernaryEncoder::Put put = [&](std::uint64_t at, std::span<const std::byte> part) {
    EXPECT_LE(at + part.size(), bytes.size());
    std::ranges::copy(part, bytes.begin() + static_cast<std::ptrdiff_t>(at));
    written += part.size();
    return Result<void>();
  };
  EXPECT_TRUE(encoder.finish(put).ok());
  EXPECT_EQ(rows % encoder.row_step(), 0u);
  for (std::uint64_t row = rows; row != 0;) {
    row -= encoder.row_step();
    EXPECT_TRUE(
        encoder.encode(row, encoder.row_step(), trits.data() + row * columns, scratch, put).ok());
  }
  EXPECT_EQ(written, bytes.size());  // each byte once
  return bytes;
}

struct Case {
  std::uint64_t rows;
  std::uint64_t columns;
  TlTiling tiling;
  std::vector<TensorType> types;
};

TEST(TernaryEncoder, EveryTypeHoldsTheSameTrits) {
  const Case cases[] = {
      {64, 768, {}, {kI2_S, kTL1, kTL2, kTQ1_0, kTQ2_0, kIQ1_BN, kIQ2_BN}},
      {4, 96, {}, {kI2_S}},
      {3, 64 * 5, {}, {kIQ1_BN, kIQ2_BN}},
      {192, 512, {64, 256, 64}, {kTL1}},
      {192, 512, {96, 32, 32}, {kTL1}},
      {192, 608, {96, 192, 32}, {kTL2}},
      {256, 384, {128, 96, 32}, {kTL2}},
      {96, 480, {32, 240, 32}, {kTL2}},
  };
  for (const Case& c : cases) {
    const auto trits = random_trits(c.rows * c.columns);
    for (const TensorType type : c.types) {
      SCOPED_TRACE(std::string(name(type)) + " " + std::to_string(c.rows));
      const auto encoder = TernaryEncoder::create(type, c.rows, c.columns, 0.125f, c.tiling);
      ASSERT_TRUE(encoder.ok()) << encoder.error().to_string();
      const auto bytes = encoded(*encoder, c.rows, c.columns, trits);
      const Tensor tensor{.name = "t.weight",
                          .type = type,
                          .shape = {c.columns, c.rows, 1, 1},
                          .rank = 2,
                          .data = bytes,
                          .tiling = encoder->tiling()};
      const auto matrix = TernaryMatrix::bind(tensor);
      ASSERT_TRUE(matrix.ok()) << matrix.error().to_string();
      EXPECT_EQ(matrix->scale(), 0.125f);
      EXPECT_EQ(matrix->find_invalid(0, c.rows), std::nullopt);
      std::vector<std::int8_t> decoded(trits.size());
      matrix->decode_rows(0, c.rows, decoded.data());
      EXPECT_EQ(decoded, trits);
      const auto second = test::second_values(tensor);
      EXPECT_TRUE(std::ranges::equal(second, trits, [](const auto& value, std::int8_t trit) {
        return value.valid && value.trit == trit;
      }));
    }
  }
}

TEST(TernaryEncoder, WhatATypeCannotHold) {
  const auto message = [](TensorType type, std::uint64_t rows, std::uint64_t columns, float scale) {
    const auto encoder = TernaryEncoder::create(type, rows, columns, scale);
    EXPECT_FALSE(encoder.ok());
    EXPECT_EQ(encoder.error().code, ErrorCode::kUnsupported);
    return encoder.error().message;
  };
  EXPECT_EQ(message(kI2_S, 3, 64, 1.0f),
            "i2_s holds multiples of 128 values, and this tensor has 192; choose another type");
  EXPECT_EQ(message(kTQ1_0, 2, 128, 1.0f),
            "tq1_0 holds multiples of 256 values, and this tensor has 128; choose another type");
  EXPECT_EQ(message(kIQ2_BN, 2, 96, 1.0f),
            "iq2_bn holds multiples of 64 values, and this tensor has 96; choose another type");
  EXPECT_EQ(message(kTL1, 40, 96, 1.0f),
            "tl1: expected rows and columns of positive multiples of 32, found 40 x 96");
  EXPECT_EQ(message(kF16, 2, 256, 1.0f), "f16: not a ternary matrix of 2 x 256");
  EXPECT_EQ(message(kI2_S, 0, 256, 1.0f), "i2_s: not a ternary matrix of 0 x 256");
  EXPECT_EQ(message(kI2_S, std::uint64_t{1} << 60, 256, 1.0f),
            "i2_s: not a ternary matrix of 1152921504606846976 x 256");
  EXPECT_EQ(message(kI2_S, 2, 256, -1.0f),
            "i2_s: expected a finite scale of at least 0, found -1.000000");
  for (const TensorType type : kTypes) {
    const bool f16 = type == kTQ1_0 || type == kTQ2_0 || type == kIQ1_BN;
    EXPECT_EQ(holds_scale(type, 0.1f), !f16);
    EXPECT_TRUE(holds_scale(type, 0.125f));
    EXPECT_EQ(TernaryEncoder::create(type, 32, 256, 0.1f).ok(), !f16);
    if (f16) {
      EXPECT_EQ(message(type, 32, 256, 0.1f),
                std::string(name(type)) +
                    " has f16 scales, which cannot hold the scale 0.100000 exactly");
    }
  }
}

TEST(TernaryEncoder, ATilingThatDoesNotFit) {
  const auto encoder = TernaryEncoder::create(kTL1, 64, 256, 1.0f, {64, 96, 32});
  ASSERT_FALSE(encoder.ok());
  EXPECT_NE(encoder.error().message.find("found 96"), std::string::npos);
}

}  // namespace
}  // namespace tern::format
