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

using kernels::Packing;

// The trit of a matrix in tiles, read as kernel_table.h states the layout.
int trit_at(const kernels::TernaryTiles& w, std::size_t row, std::size_t column) {
  const std::size_t columns = w.packing == Packing::kFiveTrits ? 20 : 16;
  const std::size_t tile = row / 16 * w.tiles + column / columns;
  const std::uint8_t byte = w.codes[tile * 64 + row % 16 * 4 + column % 4];
  const std::size_t plane = column % columns / 4;
  if (w.packing == Packing::kTwoBits) return static_cast<int>((byte >> (plane * 2)) & 3u) - 1;
  const int pair = byte / 28;
  const int triple = byte % 28;
  const int codes[] = {pair / 3, pair % 3, triple / 9, triple / 3 % 3, triple % 3};
  return codes[plane] - 1;
}

Result<TernaryWeight> make(const format::Tensor& tensor, std::uint32_t threads = 1,
                           Packing packing = Packing::kTwoBits) {
  static Arena arena;  // the weights' memory
  ThreadPool pool(threads);
  return make_ternary_weight(tensor, packing, arena, pool);
}

// Every shape, rows and columns beyond the matrix included, whatever the number of threads.
TEST(TernaryWeight, IsPackedInTilesAndPaddedWithZeros) {
  for (const std::size_t columns : {32u, 56u, 96u, 112u, 160u, 200u, 256u, 8640u}) {
    for (const std::size_t rows : {16u, 48u, 80u}) {
      const auto trits = random_trits(rows * columns, static_cast<std::uint32_t>(columns));
      const auto owned = make_ternary("w", trits, columns, 0.25f);
      for (const Packing packing : {Packing::kTwoBits, Packing::kFiveTrits}) {
        const std::size_t width = packing == Packing::kTwoBits ? 16 : 20;
        for (const std::uint32_t threads : {1u, 3u}) {
          const TernaryWeight weight = must(make(owned.tensor, threads, packing));
          EXPECT_EQ(weight.tiles.tiles, (columns + width - 1) / width);
          EXPECT_EQ(weight.packed_bytes(), (rows + 15) / 16 * weight.tiles.tiles * 64);
          EXPECT_EQ(weight.rows, rows);
          EXPECT_EQ(weight.columns, columns);
          EXPECT_EQ(weight.tiles.scale, 0.25f);
          EXPECT_EQ(weight.tiles.packing, packing);
          for (std::size_t r = 0; r < (rows + 15) / 16 * 16; ++r) {
            for (std::size_t c = 0; c < weight.tiles.tiles * width; ++c) {
              const int expected = r < rows && c < columns ? trits[r * columns + c] : 0;
              ASSERT_EQ(trit_at(weight.tiles, r, c), expected) << columns << ": " << r << ", " << c;
            }
          }
        }
      }
    }
  }
}

// Whichever worker met it, and whatever the others met.
TEST(TernaryWeight, SaysTheFirstElementWithoutAMeaning) {
  constexpr std::size_t kColumns = 128, kRows = 80;
  auto owned = make_ternary("w", random_trits(kRows * kColumns, 9), kColumns, 1.0f);
  EXPECT_EQ(must(make(owned.tensor, 3)).invalid, std::nullopt);
  for (const std::size_t row : {79u, 33u, 32u, 1u}) {  // 32 bytes each; code 3 in the last places
    owned.bytes[row * 32 + 31] |= std::byte{3};
    for (const std::uint32_t threads : {1u, 2u, 3u}) {
      EXPECT_EQ(must(make(owned.tensor, threads)).invalid, row * kColumns + 127) << threads;
    }
  }
}

TEST(TernaryWeight, RowsBeyondTheMatrixAreZeros) {
  const auto trits = random_trits(std::size_t{128} * 21, 9);
  const auto owned = make_ternary("w", trits, 128, 1.0f);
  const TernaryWeight weight = must(make(owned.tensor, 2));
  for (std::size_t r = 0; r < 32; ++r) {
    for (std::size_t c = 0; c < 128; ++c) {
      ASSERT_EQ(trit_at(weight.tiles, r, c), r < 21 ? trits[r * 128 + c] : 0) << r << ", " << c;
    }
  }
}

TEST(TernaryWeight, FromSkipsGroupsOfRows) {
  const auto trits = random_trits(std::size_t{128} * 64, 3);
  const auto owned = make_ternary("w", trits, 128, 1.0f);
  const TernaryWeight weight = must(make(owned.tensor));
  const kernels::TernaryTiles last = weight.from(48, 1);
  EXPECT_EQ(last.scale, 1.0f);
  for (std::size_t c = 0; c < 128; ++c) {
    EXPECT_EQ(trit_at(last, 15, c), trits[std::size_t{63} * 128 + c]);
  }
}

void expect_refused(const Result<TernaryWeight>& weight, ErrorCode code,
                    const std::string& message) {
  ASSERT_FALSE(weight.ok());
  EXPECT_EQ(name(weight.error().code), name(code));
  EXPECT_EQ(weight.error().to_string(), message);
}

TEST(TernaryWeight, RefusesOtherTypesAndRanks) {
  const auto floats = make_floats("blk.0.attn_q.weight", {64, 2}, std::vector<float>(128));
  expect_refused(
      make(floats.tensor), ErrorCode::kUnsupported,
      "blk.0.attn_q.weight: expected a matrix of a ternary type (i2_s, tl1, tl2, tq1_0, tq2_0, "
      "iq1_bn, iq2_bn), found rank "
      "2 of type f32");
  auto ternary = make_ternary("w", random_trits(512, 1), 128, 1.0f);
  for (const std::uint32_t rank : {1u, 3u}) {
    ternary.tensor.rank = rank;
    expect_refused(make(ternary.tensor), ErrorCode::kUnsupported,
                   "w: expected a matrix of a ternary type (i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn, "
                   "iq2_bn), found rank " +
                       std::to_string(rank) + " of type i2_s");
  }
}

// 127 * 132104 is the last below 2^24.
TEST(TernaryWeight, RefusesSumsThatF32CannotHold) {
  auto wide = make_ternary("w", random_trits(128, 1), 128, 1.0f);
  wide.tensor.shape = {132105, 128, 1, 1};
  expect_refused(make(wide.tensor), ErrorCode::kUnsupported,
                 "w: expected at most 132104 columns (sums stay exact), found 132105");
  const auto widest = make_ternary("w", random_trits(std::size_t{132104} * 16, 1), 132104, 1.0f);
  EXPECT_TRUE(make(widest.tensor).ok());
}

TEST(TernaryWeight, RefusesBytesThatDoNotFit) {
  auto cut = make_ternary("w", random_trits(512, 1), 128, 1.0f);
  cut.tensor.data = cut.tensor.data.first(cut.tensor.data.size() - 1);
  const auto weight = make(cut.tensor);
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
