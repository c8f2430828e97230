// The bounds of a scan: never too small, and not larger than they must be.
#include "backend/cpu/head_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/tuning.h"
#include "backend/tensors.h"
#include "core/fp_env.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using test::must;
using test::normals;

// One row of weights and its scan by x.
struct Scanned {
  double exact;  // the product in f64, in which it is exact to 2^-53
  float logit;   // by the sum rule
  float scanned;
  float high;   // scanned by the high digit alone
  float upper;  // bound of the logit, and that by the high digit alone
  float high_upper;
  double by_residual;  // the parts of the bound
  double by_norm;
  double bound() const { return by_residual + by_norm; }
  double off() const { return std::fabs(static_cast<double>(logit) - scanned); }
};

Scanned scan(const std::vector<float>& w, const std::vector<float>& x) {
  const ScopedFpEnv fp_env;
  const auto tensor = test::make_floats("output.weight", {w.size(), 1}, w);
  ThreadPool pool(1);
  Arena arena;
  const HeadCopy copy =
      must(make_head_copy(kernels::scalar_table(), tensor.tensor, arena, pool, nullptr));
  std::vector<std::int8_t> digits(2 * (x.size() + 3));
  const ScanQuery query = make_scan_query(x.data(), x.size(), digits.data(), kernels::kDigitBytes);
  EXPECT_TRUE(query.bounded);
  Scanned s{};
  for (std::size_t i = 0; i < w.size(); ++i) s.exact += static_cast<double>(w[i]) * x[i];
  kernels::scalar_table().dot_rows_f32(x.data(), w.data(), w.size(), 1, &s.logit);
  const kernels::DigitRows row{digits.data(), &query.digits, 1};
  kernels::scalar_table().scan_rows(copy.tiles, 1, row, &s.scanned);
  s.by_residual = static_cast<double>(copy.residuals[0]) * query.both.of_residual;
  s.by_norm = static_cast<double>(copy.norms[0]) * query.both.of_norm + query.both.constant;
  float high = 0.0f;
  float* const to = &high;
  kernels::scalar_table().scan_high(copy.tiles, 1, row, &to);
  s.high = (high * 256.0f) * (copy.tiles.scales[0] * query.digits.scale);
  s.upper = s.scanned + off_by(query.both, copy.residuals[0], copy.norms[0]);
  s.high_upper = s.high + off_by(query.high, copy.residuals[0], copy.norms[0]);
  EXPECT_GE(s.high_upper, s.upper);
  return s;
}

// w less its own rounding to int8, as the copy makes it.
std::vector<float> residual_of(const std::vector<float>& w) {
  float largest = 0.0f;
  for (const float v : w) largest = std::max(largest, std::fabs(v));
  std::vector<float> residual(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) {
    residual[i] = w[i] - largest / 127.0f * std::rint(w[i] * (127.0f / largest));
  }
  return residual;
}

TEST(HeadCopy, BoundsHoldOnRandomRows) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    const std::size_t n = 1 + seed * 37 % 700;
    const Scanned s = scan(normals(n, 2 * seed), normals(n, 2 * seed + 1));
    ASSERT_LE(s.off(), s.bound()) << n;
  }
}

// x along the residual of the rounded weights: the worst that can happen does, so a bound that was
// a hundredth smaller would be wrong.
TEST(HeadCopy, TheBoundOfTheResidualIsReached) {
  for (const std::size_t n : {7u, 2560u}) {
    const auto w = normals(n, 1);
    const Scanned s = scan(w, residual_of(w));
    EXPECT_LE(s.off(), s.bound()) << n;
    EXPECT_GT(s.off(), 0.99 * s.bound()) << n;
  }
}

// Weights that int8 holds, and an x that lies as far beside its digits as it can, always to the
// side of the weight's sign.
TEST(HeadCopy, TheBoundOfTheDigitsIsReached) {
  constexpr std::size_t kColumns = 1024;
  std::vector<float> w(kColumns), x(kColumns);
  std::mt19937 generator(2);
  for (std::size_t i = 0; i < kColumns; ++i) {
    w[i] = generator() % 2 == 0 ? 127.0f : -127.0f;
    const auto q = static_cast<float>(static_cast<int>(generator() % 60000) - 30000);
    x[i] = q + (w[i] > 0 ? 0.49f : -0.49f);
  }
  x[0] = 32639.0f;  // digits are x itself, rounded
  const Scanned s = scan(w, x);
  EXPECT_LE(s.off(), s.bound());
  EXPECT_GT(s.off(), 0.85 * s.bound());  // the rest is rounding that did not add up
}

// Low digits along the weights: all that the scan by the high ones leaves out is missing.
TEST(HeadCopy, TheBoundOfTheHighDigitsIsReached) {
  constexpr std::size_t kColumns = 1024;
  std::vector<float> w(kColumns), x(kColumns);
  std::mt19937 generator(5);
  for (std::size_t i = 0; i < kColumns; ++i) {
    const float sign = generator() % 2 == 0 ? 1.0f : -1.0f;
    w[i] = 127.0f * sign;
    x[i] = 256.0f * static_cast<float>(static_cast<int>(generator() % 200) - 100) + 127.0f * sign;
  }
  w[0] = 127.0f;
  x[0] = 32639.0f;
  const Scanned s = scan(w, x);
  const float dropped = 127.0f * 127.0f * kColumns;
  EXPECT_EQ(s.scanned - s.high, dropped);
  EXPECT_LT(s.high_upper - s.upper, 0.01f * dropped);
}

// Weights and activations that the copy and the digits hold exactly: what is left is the rounding
// of the sum rule. Each lane reaches 2^27, and loses whole every product of 7 that follows.
TEST(HeadCopy, TheBoundOfTheSumRuleIsReached) {
  constexpr std::size_t kColumns = 131072, kLarge = 33 * 64;
  std::vector<float> w(kColumns), x(kColumns);
  for (std::size_t i = 0; i < kColumns; ++i) {
    w[i] = i < kLarge ? 127.0f : 1.0f;
    x[i] = i < kLarge ? 32639.0f : 7.0f;
  }
  const Scanned s = scan(w, x);
  EXPECT_NEAR(s.exact - s.logit, 7.0 * (kColumns - kLarge), 2048.0);  // the large ones round, too
  EXPECT_NEAR(s.exact, s.scanned, 2048.0);
  EXPECT_LE(s.off(), s.bound());
  EXPECT_GT(s.off(), 0.7 * s.bound());
}

TEST(HeadCopy, TinyAndZeroRowsAreBounded) {
  for (const float magnitude : {0.0f, 1e-45f, 1e-40f, 1e-33f, 1e-20f, 1e15f}) {
    for (const float activation : {0.0f, 1e-45f, 1e-38f, 1.0f, 1e15f}) {
      auto w = normals(300, 3);
      auto x = normals(300, 4);
      for (float& v : w) v *= magnitude;
      for (float& v : x) v *= activation;
      const Scanned s = scan(w, x);
      ASSERT_LE(s.off(), s.bound()) << magnitude << ", " << activation;
    }
  }
}

// Powers of two are the largest of a row, and the next one is rounded to zeros.
TEST(HeadCopy, RowsAreRoundedToZerosBelowALeastMaximum) {
  for (const float largest : {0x1p-100f, std::nextafter(0x1p-100f, 0.0f)}) {
    const auto tensor = test::make_floats("output.weight", {2, 1}, {largest, -largest / 2});
    ThreadPool pool(1);
    Arena arena;
    const HeadCopy copy =
        must(make_head_copy(kernels::scalar_table(), tensor.tensor, arena, pool, nullptr));
    EXPECT_EQ(copy.tiles.scales[0] > 0.0f, largest == 0x1p-100f);
    EXPECT_EQ(copy.residuals[0] == copy.norms[0], largest != 0x1p-100f);
  }
}

TEST(HeadCopy, ARowOfZerosIsNotOffAtAll) {
  const auto tensor = test::make_floats("output.weight", {12, 1}, std::vector<float>(12));
  ThreadPool pool(1);
  Arena arena;
  const HeadCopy copy =
      must(make_head_copy(kernels::scalar_table(), tensor.tensor, arena, pool, nullptr));
  EXPECT_EQ(copy.residuals[0], 0.0f);
  EXPECT_EQ(copy.norms[0], 0.0f);
}

// The factors A and B of docs/numbers.md, computed anew from the digits: never below, and above by
// less than a rounding to f32.
TEST(HeadCopy, TheFactorsOfTheBoundAreThoseOfTheDefinition) {
  const auto norm = [](const auto& values) {
    long double sum = 0.0L;
    for (const auto value : values) sum += static_cast<long double>(value) * value;
    return std::sqrt(sum);
  };
  for (const std::size_t n : {1u, 640u, 131072u}) {
    for (const float others : {1.0f, 0.003f}) {  // beside a first one that is large
      auto x = normals(n, 71);
      for (float& v : x) v *= others;
      x[0] = 4.0f;
      std::vector<std::int8_t> digits(2 * (n + 3));
      const ScanQuery query = make_scan_query(x.data(), n, digits.data(), kernels::kDigitBytes);
      const long double d = query.digits.scale;
      std::vector<double> high(n), low(n), q(n), off(n);
      for (std::size_t i = 0; i < n; ++i) {
        high[i] = digits[i / 4 * kernels::kDigitBytes + i % 4];
        low[i] = digits[i / 4 * kernels::kDigitBytes + 4 + i % 4];
        q[i] = 256.0 * high[i] + low[i];
        off[i] = static_cast<double>(x[i] - d * q[i]);
      }
      const long double u = 0x1p-24L, steps = static_cast<long double>((n + 63) / 64 + 6);
      const long double split = 8 * u * d * (256 * norm(high) + norm(low));
      const long double gamma = steps * u / (1 - steps * u);
      const long double a = (1 + 16 * u) * (d * norm(q) + split);
      const long double b = (1 + 16 * u) * (norm(off) + gamma * norm(x) + split);
      const long double more = d * norm(low) + split;
      const long double high_a = (1 + 16 * u) * (query.both.of_residual + more);
      const long double high_b = (1 + 16 * u) * (query.both.of_norm + more);
      EXPECT_GE(query.high.of_residual, high_a) << n;
      EXPECT_LE(query.high.of_residual, high_a * (1 + 4 * u)) << n;
      EXPECT_GE(query.high.of_norm, high_b) << n;
      EXPECT_LE(query.high.of_norm, high_b * (1 + 4 * u)) << n;
      EXPECT_GE(query.both.of_residual, a) << n;
      EXPECT_LE(query.both.of_residual, a * (1 + 4 * u)) << n;
      EXPECT_GE(query.both.of_norm, b) << n;
      EXPECT_LE(query.both.of_norm, b * (1 + 4 * u)) << n;
    }
  }
}

TEST(HeadCopy, SaysWhatItAllocates) {
  const auto tensor = test::make_floats("output.weight", {101, 33}, std::vector<float>(101 * 33));
  // 48 rows of 26 tiles of 4 columns, and three floats a row.
  EXPECT_EQ(head_copy_bytes(tensor.tensor), 48u * (26 * 4 + 12));
  ThreadPool pool(3);
  Arena arena;
  const HeadCopy copy =
      must(make_head_copy(kernels::scalar_table(), tensor.tensor, arena, pool, nullptr));
  EXPECT_EQ(copy.bytes, head_copy_bytes(tensor.tensor));
  const auto whole = test::make_floats("output.weight", {100, 32}, std::vector<float>(100 * 32));
  EXPECT_EQ(head_copy_bytes(whole.tensor), 32u * (25 * 4 + 12));
}

TEST(HeadCopy, ThereIsNoneOfTritsOrOfTooManyColumns) {
  format::Tensor tensor;
  tensor.type = format::TensorType::kF16;
  tensor.rank = 2;
  tensor.shape = {1u << 17, 16, 1, 1};
  EXPECT_GT(head_copy_bytes(tensor), 0u);
  tensor.shape[0] += 1;
  EXPECT_EQ(head_copy_bytes(tensor), 0u);
  tensor.shape[0] = 128;
  tensor.type = format::TensorType::kI2_S;
  EXPECT_EQ(head_copy_bytes(tensor), 0u);
}

// Rows and columns beyond the matrix are zeros, so that a copy has the same bytes each time.
TEST(HeadCopy, WhatLiesBeyondTheMatrixIsZero) {
  constexpr std::size_t kColumns = 10, kRows = 33;
  const auto tensor = test::make_floats("output.weight", {kColumns, kRows},
                                        std::vector<float>(kColumns * kRows, 1.0f));
  ThreadPool pool(2);
  Arena arena;
  const HeadCopy copy =
      must(make_head_copy(kernels::scalar_table(), tensor.tensor, arena, pool, nullptr));
  for (std::size_t row = 0; row < 48; ++row) {
    const bool inside = row < kRows;
    EXPECT_EQ(copy.tiles.scales[row] != 0.0f, inside) << row;
    EXPECT_EQ(copy.residuals[row] != 0.0f, inside) << row;
    EXPECT_EQ(copy.norms[row] != 0.0f, inside) << row;
    for (std::size_t column = 0; column < 12; ++column) {
      const std::size_t at = (row / 16 * 3 + column / 4) * 64 + row % 16 * 4 + column % 4;
      const int of_padding = inside ? 128 : 0;  // a code of zero, or no code
      EXPECT_EQ(copy.tiles.codes[at], inside && column < kColumns ? 255 : of_padding) << at;
    }
  }
}

// Where rows lie is not all that a part of them must be told.
TEST(HeadCopy, PartsAreReadAsTheWhole) {
  const auto tensor = test::make_floats("output.weight", {8, 40}, normals(8 * 40, 1));
  ThreadPool pool(1);
  Arena arena;
  HeadCopy copy =
      must(make_head_copy(kernels::scalar_table(), tensor.tensor, arena, pool, nullptr));
  EXPECT_EQ(copy.tiles.second_cache, default_plan(kernels::scalar_table()).read.second_cache);
  for (const bool second_cache : {false, true}) {
    copy.tiles.second_cache = second_cache;
    const kernels::ScanTiles part = copy.from(16);
    EXPECT_EQ(part.codes, copy.tiles.codes + copy.tiles.tiles * kernels::kScanTileBytes);
    EXPECT_EQ(part.scales, copy.tiles.scales + 16);
    EXPECT_EQ(part.tiles, copy.tiles.tiles);
    EXPECT_EQ(part.second_cache, second_cache);
  }
}

// 2^17 columns are the most whose sums stay exact.
TEST(HeadCopy, OfTooManyColumnsIsRefused) {
  CpuBackend backend(kernels::scalar_table(), 1);
  for (const std::size_t columns : {std::size_t{131072}, std::size_t{131073}}) {
    const auto wide = test::make_floats("output.weight", {columns, 1}, std::vector<float>(columns));
    const auto outcome = backend.copy_head(must(backend.load_matrix(wide.tensor)));
    ASSERT_EQ(outcome.ok(), columns == 131072);
    EXPECT_EQ(backend.head_copy_bytes(wide.tensor) == 0, !outcome.ok());
    if (outcome.ok()) continue;
    EXPECT_EQ(outcome.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(outcome.error().to_string(),
              "output.weight: this matrix has no int8 copy: it has too many columns");
  }
}

TEST(HeadCopy, LargeAndInvalidInputIsNotBounded) {
  for (const float bad : {1e19f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(8, 1.0f);
    x[5] = bad;
    std::vector<std::int8_t> digits(16, 1);
    EXPECT_FALSE(make_scan_query(x.data(), x.size(), digits.data(), kernels::kDigitBytes).bounded)
        << bad;
    EXPECT_EQ(digits, std::vector<std::int8_t>(16)) << bad;
  }
}

}  // namespace
}  // namespace tern::backend
