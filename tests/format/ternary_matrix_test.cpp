// One interface for all ternary types: the same trits come out of each.
#include "format/ternary_matrix.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace tern::format {
namespace {

constexpr TensorType kTypes[] = {TensorType::kI2_S, TensorType::kTQ1_0, TensorType::kTQ2_0};

std::vector<std::int8_t> random_trits(std::size_t count) {
  std::mt19937 generator(5);
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) trit = static_cast<std::int8_t>(static_cast<int>(generator() % 3) - 1);
  return trits;
}

Tensor tensor(TensorType type, const std::vector<std::byte>& bytes, std::uint64_t columns,
              std::uint64_t rows) {
  return {.name = "t", .type = type, .shape = {columns, rows, 1, 1}, .rank = 2, .data = bytes};
}

TEST(TernaryMatrix, EveryTypeHoldsTheSameTrits) {
  const auto trits = random_trits(3 * 512);
  std::array<std::uint64_t, 4> counts{};
  for (const auto trit : trits) ++counts[static_cast<std::size_t>(trit + 1)];
  for (const TensorType type : kTypes) {
    std::vector<std::byte> bytes;
    encode_trits(type, trits.data(), 512, 0.125f, bytes);  // in parts, as a stream
    encode_trits(type, trits.data() + 512, 1024, 0.125f, bytes);
    end_trits(type, 0.125f, bytes);
    const auto matrix = TernaryMatrix::bind(tensor(type, bytes, 512, 3));
    ASSERT_TRUE(matrix.ok()) << matrix.error().to_string();
    EXPECT_EQ(matrix->type(), type);
    EXPECT_EQ(matrix->rows(), 3u);
    EXPECT_EQ(matrix->columns(), 512u);
    EXPECT_EQ(matrix->scale(), 0.125f);
    EXPECT_EQ(matrix->count_codes(0, 3), counts);
    EXPECT_EQ(matrix->find_invalid(0, 3), std::nullopt);
    std::vector<std::int8_t> decoded(2 * 512);
    matrix->decode_rows(1, 2, decoded.data());
    EXPECT_TRUE(std::ranges::equal(decoded, std::span(trits).subspan(512)));
    // Code 3; of TQ1_0 a byte between those of two numbers.
    bytes[1] = type == TensorType::kTQ1_0 ? std::byte{0x01} : std::byte{0xff};
    const auto damaged = TernaryMatrix::bind(tensor(type, bytes, 512, 3));
    ASSERT_TRUE(damaged.ok());
    EXPECT_EQ(damaged->find_invalid(0, 3), 1u) << name(type);
  }
}

TEST(TernaryMatrix, KnowsWhichTypesAreTernary) {
  for (const TensorType type : kTypes) EXPECT_TRUE(is_ternary(type));
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16,
                                TensorType::kQ4_0, TensorType::kQ8_0, TensorType::kQ6_K}) {
    EXPECT_FALSE(is_ternary(type));
    const std::vector<std::byte> bytes(4096);
    const auto matrix = TernaryMatrix::bind(tensor(type, bytes, 256, 1));
    ASSERT_FALSE(matrix.ok());
    EXPECT_EQ(matrix.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(
        matrix.error().to_string(),
        "t: expected a matrix of a ternary type (i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn, iq2_bn), "
        "found rank 2 of type " +
            std::string(name(type)));
  }
}

TEST(TernaryMatrix, ErrorsNameTheTensor) {
  const std::vector<std::byte> bytes(50);
  for (const TensorType type : kTypes) {
    const auto matrix = TernaryMatrix::bind(tensor(type, bytes, 256, 1));
    ASSERT_FALSE(matrix.ok());
    EXPECT_EQ(matrix.error().context, "t");
    EXPECT_NE(matrix.error().message.find(name(type)), std::string::npos);
    Tensor vector = tensor(type, bytes, 256, 1);
    vector.rank = 1;
    EXPECT_EQ(TernaryMatrix::bind(vector).error().message,
              "expected a matrix of a ternary type (i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn, iq2_bn), "
              "found rank 1 of type " +
                  std::string(name(type)));
  }
}

}  // namespace
}  // namespace tern::format
