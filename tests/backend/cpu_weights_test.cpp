#include <gtest/gtest.h>

#include <limits>

#include "backend/cpu/weights.h"
#include "backend/tensors.h"
#include "core/float16.h"

namespace tern::backend {
namespace {

using format::TensorType;
using test::make_floats;
using test::make_tensor;
using test::make_ternary;
using test::must;
using test::random_trits;

// The trit of a row of blocks, read as kernel_table.h states the layout.
int trit_at(const kernels::TernaryRows& rows, std::size_t row, std::size_t column) {
  const std::size_t byte = column / 128 * 32 + column % 32;
  const unsigned shift = 6 - 2 * static_cast<unsigned>(column % 128 / 32);
  return static_cast<int>((rows.codes[row * rows.row_bytes + byte] >> shift) & 3u) - 1;
}

TEST(TernaryWeight, WholeBlocksAreBorrowed) {
  const auto trits = random_trits(256 * 5, 1);
  const auto owned = make_ternary("w", trits, 256, 0.5f);
  const TernaryWeight weight = must(make_ternary_weight(owned.tensor));
  EXPECT_EQ(static_cast<const void*>(weight.rows.codes), owned.tensor.data.data());
  EXPECT_EQ(weight.repacked.size(), 0u);
  EXPECT_EQ(weight.rows.blocks, 2u);
  EXPECT_EQ(weight.rows.row_bytes, 64u);
  EXPECT_EQ(weight.rows.scale, 0.5f);
  EXPECT_EQ(weight.row_count, 5u);
  EXPECT_EQ(weight.columns, 256u);
  for (std::size_t r = 0; r < 5; ++r) {
    for (std::size_t c = 0; c < 256; ++c) {
      ASSERT_EQ(trit_at(weight.rows, r, c), trits[r * 256 + c]) << r << ", " << c;
    }
  }
}

TEST(TernaryWeight, OtherWidthsAreRepackedAndPaddedWithZeros) {
  for (const std::size_t columns : {32u, 96u, 160u, 200u, 8640u}) {
    const std::size_t rows = 16;  // rows * columns is whole blocks of the file
    const auto trits = random_trits(rows * columns, static_cast<std::uint32_t>(columns));
    const auto owned = make_ternary("w", trits, columns, 0.25f);
    const TernaryWeight weight = must(make_ternary_weight(owned.tensor));
    EXPECT_EQ(static_cast<const void*>(weight.rows.codes), weight.repacked.data());
    EXPECT_EQ(weight.rows.blocks, (columns + 127) / 128);
    EXPECT_EQ(weight.rows.row_bytes, weight.rows.blocks * 32);
    EXPECT_EQ(weight.row_count, rows);
    EXPECT_EQ(weight.columns, columns);
    EXPECT_EQ(weight.rows.scale, 0.25f);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < weight.rows.blocks * 128; ++c) {
        const int expected = c < columns ? trits[r * columns + c] : 0;
        ASSERT_EQ(trit_at(weight.rows, r, c), expected) << columns << ": " << r << ", " << c;
      }
    }
  }
}

TEST(TernaryWeight, FromSkipsRows) {
  const auto trits = random_trits(128 * 4, 3);
  const auto owned = make_ternary("w", trits, 128, 1.0f);
  const TernaryWeight weight = must(make_ternary_weight(owned.tensor));
  const kernels::TernaryRows last = weight.from(3);
  EXPECT_EQ(last.codes, weight.rows.codes + 3 * 32);
  EXPECT_EQ(last.scale, 1.0f);
  for (std::size_t c = 0; c < 128; ++c) EXPECT_EQ(trit_at(last, 0, c), trits[3 * 128 + c]);
}

void expect_refused(const Result<TernaryWeight>& weight, ErrorCode code,
                    const std::string& message) {
  ASSERT_FALSE(weight.ok());
  EXPECT_EQ(name(weight.error().code), name(code));
  EXPECT_EQ(weight.error().to_string(), message);
}

TEST(TernaryWeight, RefusesOtherTypesAndRanks) {
  const auto floats = make_floats("blk.0.attn_q.weight", {64, 2}, std::vector<float>(128));
  expect_refused(make_ternary_weight(floats.tensor), ErrorCode::kUnsupported,
                 "blk.0.attn_q.weight: expected a matrix of type i2_s, found rank 2 of type f32");
  auto ternary = make_ternary("w", random_trits(512, 1), 128, 1.0f);
  for (const std::uint32_t rank : {1u, 3u}) {
    ternary.tensor.rank = rank;
    expect_refused(
        make_ternary_weight(ternary.tensor), ErrorCode::kUnsupported,
        "w: expected a matrix of type i2_s, found rank " + std::to_string(rank) + " of type i2_s");
  }
}

// 127 * 132104 is the last below 2^24.
TEST(TernaryWeight, RefusesSumsThatF32CannotHold) {
  auto wide = make_ternary("w", random_trits(128, 1), 128, 1.0f);
  wide.tensor.shape = {132105, 128, 1, 1};
  expect_refused(make_ternary_weight(wide.tensor), ErrorCode::kUnsupported,
                 "w: expected at most 132104 columns (sums stay exact), found 132105");
  const auto widest = make_ternary("w", random_trits(std::size_t{132104} * 16, 1), 132104, 1.0f);
  EXPECT_TRUE(make_ternary_weight(widest.tensor).ok());
}

TEST(TernaryWeight, RefusesBytesThatDoNotFit) {
  auto cut = make_ternary("w", random_trits(512, 1), 128, 1.0f);
  cut.tensor.data = cut.tensor.data.first(cut.tensor.data.size() - 1);
  const auto weight = make_ternary_weight(cut.tensor);
  ASSERT_FALSE(weight.ok());
  EXPECT_EQ(weight.error().code, ErrorCode::kMalformed);
}

TEST(MatrixWeight, KeepsTheFilesBytesAndRefusesTrits) {
  const auto floats = make_floats("m", {4, 2}, std::vector<float>(8));
  const MatrixWeight weight = must(make_matrix_weight(floats.tensor));
  EXPECT_EQ(weight.tensor.data.data(), floats.bytes.data());
  const auto ternary = make_ternary("token_embd.weight", random_trits(256, 1), 128, 1.0f);
  const auto refused = make_matrix_weight(ternary.tensor);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused.error().to_string(), "token_embd.weight: expected a float matrix, found i2_s");
}

TEST(VectorWeight, IsWidenedToF32) {
  const std::vector<float> values{1.0f, -2.5f, 0.0f, 65504.0f};
  const auto floats = make_floats("v", {4}, values);
  EXPECT_EQ(must(make_vector_weight(floats.tensor)).values, values);
  std::vector<std::byte> halves(8);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half = f32_to_f16(values[i]);
    std::memcpy(halves.data() + 2 * i, &half, 2);
  }
  const auto f16 = make_tensor("v", TensorType::kF16, {4}, halves);
  EXPECT_EQ(must(make_vector_weight(f16.tensor)).values, values);
}

TEST(VectorWeight, RefusesMatricesAndTrits) {
  const auto matrix = make_floats("output_norm.weight", {4, 2}, std::vector<float>(8));
  const auto refused = make_vector_weight(matrix.tensor);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(refused.error().to_string(),
            "output_norm.weight: expected a float vector, found rank 2 of type f32");
  auto trits = make_ternary("n", random_trits(128, 1), 128, 1.0f);
  trits.tensor.rank = 1;
  EXPECT_FALSE(make_vector_weight(trits.tensor).ok());
}

}  // namespace
}  // namespace tern::backend
