// The kernels of the head on every tier: rows of q8_0 and q6_k blocks, and the scan of its int8
// copy, bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "conformance/tiers.h"
#include "conformance/values.h"
#include "core/float16.h"

namespace tern::kernels {
namespace {

class HeadTier : public TierTest {};

// Random blocks, every bit of them, with factors that are numbers.
std::vector<std::uint8_t> random_blocks(std::size_t count, std::size_t bytes, std::size_t factor_at,
                                        std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<std::uint8_t> blocks(count * bytes);
  for (auto& byte : blocks) byte = static_cast<std::uint8_t>(generator());
  for (std::size_t b = 0; b < count; ++b) {
    // From 2^-24, a subnormal, upwards.
    const float magnitude = std::ldexp(1.0f + static_cast<float>(b % 7) / 8.0f,
                                       static_cast<int>(generator() % 28) - 24);
    const std::uint16_t factor = f32_to_f16(b % 2 == 0 ? magnitude : -magnitude);
    std::memcpy(&blocks[b * bytes + factor_at], &factor, sizeof factor);
  }
  return blocks;
}

TEST_P(HeadTier, DotRowsOfQ8Blocks) {
  for (const std::size_t n : {32u, 64u, 96u, 128u, 2560u, 8640u}) {
    for (const std::size_t rows : {1u, 3u, 4u, 9u}) {
      const auto x = normals(n, 1);
      const auto w = random_blocks(n / 32 * rows, 34, 0, static_cast<std::uint32_t>(n + rows));
      std::vector<float> expected(rows + 1, -7.0f), found(rows + 1, -7.0f);
      scalar().dot_rows_q8_0(x.data(), w.data(), n, rows, expected.data());
      tier().dot_rows_q8_0(x.data(), w.data(), n, rows, found.data());
      EXPECT_TRUE(same_bits(expected, found)) << n << " x " << rows;
    }
  }
}

TEST_P(HeadTier, DotRowsOfQ6Blocks) {
  for (const std::size_t n : {256u, 512u, 768u, 2560u, 8704u}) {
    for (const std::size_t rows : {1u, 3u, 4u, 9u}) {
      const auto x = normals(n, 2);
      const auto w = random_blocks(n / 256 * rows, 210, 208, static_cast<std::uint32_t>(n + rows));
      std::vector<float> expected(rows + 1, -7.0f), found(rows + 1, -7.0f);
      scalar().dot_rows_q6_k(x.data(), w.data(), n, rows, expected.data());
      tier().dot_rows_q6_k(x.data(), w.data(), n, rows, found.data());
      EXPECT_TRUE(same_bits(expected, found)) << n << " x " << rows;
    }
  }
}

// A matrix of codes and rows of digits, from functions of their places.
struct Scan {
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  std::vector<std::int8_t> digits;
  std::vector<DigitScale> of;
  ScanTiles tiles;

  DigitRows rows_of_digits() const { return {digits.data(), of.data(), of.size()}; }

  // What the table makes of it, of several rows of digits in steps; behind each row of results
  // stands a -7 that it must leave.
  std::vector<std::vector<float>> scan(const KernelTable& table, std::size_t rows) const {
    auto found = high(table, rows);
    if (of.size() == 1) {
      table.scan_rows(tiles, rows, rows_of_digits(), found[0].data());
      ScanTiles elsewhere = tiles;  // asked for into the other cache: the same
      elsewhere.second_cache = !tiles.second_cache;
      std::vector<float> same(rows + 1, -7.0f);
      table.scan_rows(elsewhere, rows, rows_of_digits(), same.data());
      EXPECT_TRUE(same_bits(found[0], same));
      return found;
    }
    std::vector<float*> to;
    for (auto& values : found) to.push_back(values.data());
    const std::size_t some = of.size() / 3;  // the first by itself, then these, then the rest
    table.scan_low(tiles, rows, rows_of_digits(), 0, 1, to.data());
    table.scan_low(tiles, rows, rows_of_digits(), 1, some, to.data());
    table.scan_low(tiles, rows, rows_of_digits(), 1 + some, of.size() - 1 - some, to.data());
    return found;
  }
  std::vector<std::vector<float>> high(const KernelTable& table, std::size_t rows) const {
    std::vector<std::vector<float>> found(of.size(), std::vector<float>(rows + 1, -7.0f));
    std::vector<float*> to;
    for (auto& values : found) to.push_back(values.data());
    table.scan_high(tiles, rows, rows_of_digits(), to.data());
    return found;
  }
};

template <typename Code, typename Digit>
Scan make_scan(std::size_t rows, std::size_t columns, std::size_t queries, Code code, Digit digit) {
  const std::size_t tiles = (columns + kScanColumns - 1) / kScanColumns;
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  Scan scan;
  scan.codes.assign(groups * tiles * kScanTileBytes, 128);
  scan.scales.assign(groups * kTileRows, 0.0f);
  scan.digits.assign(tiles * queries * kDigitBytes, 0);
  for (std::size_t q = 0; q < queries; ++q) {
    scan.of.push_back({0.0123f * static_cast<float>(q + 1), 0, 0});
    for (std::size_t c = 0; c < columns; ++c) {
      std::int8_t* const at =
          &scan.digits[(c / kScanColumns * queries + q) * kDigitBytes + c % kScanColumns];
      scan.of[q].high_sum += at[0] = static_cast<std::int8_t>(digit(c, true));
      scan.of[q].low_sum += at[kScanColumns] = static_cast<std::int8_t>(digit(c, false));
    }
  }
  for (std::size_t r = 0; r < rows; ++r) {
    scan.scales[r] = 0.001f * static_cast<float>(r % 31 + 1);
    for (std::size_t c = 0; c < columns; ++c) {
      const std::size_t tile = r / kTileRows * tiles + c / kScanColumns;
      scan.codes[tile * kScanTileBytes + r % kTileRows * kScanColumns + c % kScanColumns] =
          static_cast<std::uint8_t>(128 + code(r, c));
    }
  }
  scan.tiles = {scan.codes.data(), tiles, scan.scales.data()};
  return scan;
}

TEST_P(HeadTier, ScanRows) {
  std::mt19937 generator(3);
  const auto code = [&](std::size_t, std::size_t) {
    return static_cast<int>(generator() % 255) - 127;
  };
  const auto digit = [&](std::size_t, bool high) {
    return high ? static_cast<int>(generator() % 255) - 127
                : static_cast<int>(generator() % 256) - 128;
  };
  for (const std::size_t columns : {1u, 3u, 4u, 5u, 100u, 2560u, 8640u}) {
    for (const std::size_t rows : {1u, 15u, 16u, 17u, 31u, 64u, 75u, 150u}) {
      for (std::size_t queries = 1; queries <= 18; ++queries) {
        if (queries > 1 && columns > 2560) continue;
        const Scan scan = make_scan(rows, columns, queries, code, digit);
        const auto expected = scan.scan(scalar(), rows);
        const auto found = scan.scan(tier(), rows);
        const auto expected_high = scan.high(scalar(), rows);
        const auto found_high = scan.high(tier(), rows);
        for (std::size_t q = 0; q < queries; ++q) {
          ASSERT_TRUE(same_bits(expected[q], found[q]) &&
                      same_bits(expected_high[q], found_high[q]))
              << columns << " x " << rows << ", row " << q << " of " << queries;
        }
      }
    }
  }
}

// Memory that ends with the last row: a look behind it is seen.
TEST_P(HeadTier, ScanLowStaysWithinItsRows) {
  const auto code = [](std::size_t r, std::size_t c) { return static_cast<int>(r * 3 + c) - 40; };
  const auto digit = [](std::size_t c, bool high) { return static_cast<int>(c) - (high ? 9 : 4); };
  for (const std::size_t rows : {1u, 15u, 17u, 31u}) {
    const Scan scan = make_scan(rows, 20, 3, code, digit);
    const auto expected = scan.scan(scalar(), rows);
    auto found = scan.high(tier(), rows);
    std::vector<float*> to;
    for (auto& values : found) {
      values.pop_back();
      values.shrink_to_fit();
      to.push_back(values.data());
    }
    tier().scan_low(scan.tiles, rows, scan.rows_of_digits(), 0, 3, to.data());
    for (std::size_t q = 0; q < found.size(); ++q) {
      const std::vector<float> whole(expected[q].begin(), expected[q].end() - 1);
      ASSERT_TRUE(same_bits(whole, found[q])) << rows << " rows, query " << q;
    }
  }
}

// Bounds of few rows and many, every term of them of its own size: each order of adding differs.
TEST_P(HeadTier, HighBounds) {
  for (const std::size_t rows : {1u, 3u, 15u, 16u, 17u, 31u, 512u}) {
    const std::size_t padded = (rows + kTileRows - 1) / kTileRows * kTileRows;
    const auto high = normals(rows, 4), scales = normals(padded, 5);
    const auto residuals = normals(padded, 6), norms = normals(padded, 7);
    const ScanTiles tiles{nullptr, 0, scales.data()};
    const ScanErrors errors{residuals.data(), norms.data()};
    const ScanBound bound{0.37f, 1.3f, 0.011f};
    std::vector<float> expected(rows + 1, -7.0f), found(rows + 1, -7.0f);
    scalar().high_bounds(tiles, errors, rows, high.data(), 0.0123f, bound, expected.data());
    tier().high_bounds(tiles, errors, rows, high.data(), 0.0123f, bound, found.data());
    EXPECT_TRUE(same_bits(expected, found)) << rows;
    for (std::size_t r = 0; r < rows; ++r) {
      const double exact = double{high[r]} * 256 * scales[r] * 0.0123f +
                           double{residuals[r]} * 0.37f + double{norms[r]} * 1.3f + 0.011f;
      ASSERT_NEAR(found[r], exact, 1e-4) << rows << " rows, row " << r;
    }
    EXPECT_EQ(found[rows], -7.0f);
  }
}

// The largest sums that can occur, of either sign, in either digit: exact in 32 bits.
TEST_P(HeadTier, ScanRowsDoesNotOverflow) {
  constexpr std::size_t kColumns = 131072, kRows = 17;
  for (const int w : {127, -127}) {
    for (const int high : {127, -127}) {
      for (const int low : {127, -128}) {
        // Both sums are small numbers times 2^17: every step but the scales is exact.
        const float sum = static_cast<float>(w * high) * 256.0f + static_cast<float>(w * low);
        for (const std::size_t queries : {1u, 2u}) {
          const Scan scan = make_scan(
              kRows, kColumns, queries, [&](std::size_t, std::size_t) { return w; },
              [&](std::size_t, bool is_high) { return is_high ? high : low; });
          const auto found = scan.scan(tier(), kRows);
          for (std::size_t r = 0; r < kRows; ++r) {
            const float unit = scan.scales[r] * scan.of[queries - 1].scale;
            ASSERT_EQ(found[queries - 1][r], sum * 131072.0f * unit);
          }
        }
      }
    }
  }
}

// Every f16 that is a number, infinities included, and every length of what is left over.
TEST_P(HeadTier, WidensEveryF16) {
  std::vector<std::uint16_t> halves;
  for (std::uint32_t h = 0; h < 0x10000; ++h) {
    if ((h & 0x7fffu) <= 0x7c00u) halves.push_back(static_cast<std::uint16_t>(h));
  }
  for (std::size_t n = halves.size(); n > halves.size() - 20; --n) {
    std::vector<float> expected(n + 1, -7.0f), found(n + 1, -7.0f);
    scalar().widen_f16(halves.data(), n, expected.data());
    tier().widen_f16(halves.data(), n, found.data());
    ASSERT_TRUE(same_bits(expected, found)) << n;
  }
}

constexpr std::size_t kRowLengths[] = {1,  2,  3,  4,  5,  7,  8,   9,    12,
                                       15, 16, 17, 23, 24, 31, 100, 2560, 2573};

bool same_bits(double a, double b) { return std::memcmp(&a, &b, sizeof a) == 0; }

TEST_P(HeadTier, RowSquares) {
  for (const std::size_t n : kRowLengths) {
    auto x = normals(n, static_cast<std::uint32_t>(n));
    for (const float last : {x[n - 1], -9.0f, 1e30f, std::numeric_limits<float>::infinity(),
                             std::numeric_limits<float>::quiet_NaN()}) {
      x[n - 1] = last;
      float expected_largest = -7.0f, found_largest = -7.0f;
      const double expected = scalar().row_squares(x.data(), n, &expected_largest);
      const double found = tier().row_squares(x.data(), n, &found_largest);
      EXPECT_TRUE(same_bits(expected, found) || (expected != expected && found != found)) << n;
      EXPECT_EQ(std::memcmp(&expected_largest, &found_largest, sizeof(float)), 0) << n;
    }
  }
}

// The definition beside doubles: the sum itself is close, and the largest is the largest.
TEST_P(HeadTier, RowSquaresAreTheSumOfSquares) {
  const auto x = normals(2573, 1);
  long double sum = 0.0L;
  float most = 0.0f;
  for (const float v : x) {
    sum += static_cast<long double>(v) * v;
    most = std::max(most, std::fabs(v));
  }
  float largest = 0.0f;
  const auto found = static_cast<long double>(tier().row_squares(x.data(), x.size(), &largest));
  EXPECT_NEAR(static_cast<double>(found / sum), 1.0, 0x1p-40);
  EXPECT_EQ(largest, most);
}

// Codes lie in their tiles and nothing else is written; halves round to even.
TEST_P(HeadTier, RoundRow) {
  for (const std::size_t n : kRowLengths) {
    auto x = normals(n, static_cast<std::uint32_t>(3 * n));
    for (std::size_t i = 0; i < n; i += 5) x[i] = 0.5f * static_cast<float>(i % 11) - 2.5f;
    const std::size_t bytes = (n + kScanColumns - 1) / kScanColumns * kScanTileBytes;
    for (const float to_code : {1.0f, 13.7f, 25.0f, 0.0f}) {
      const float scale = to_code == 0.0f ? 0.0f : 1.0f / to_code;
      std::vector<std::uint8_t> expected(bytes, 7), found(bytes, 7);
      const double expected_off =
          scalar().round_row(x.data(), n, to_code, scale, expected.data() + kScanColumns);
      const double found_off =
          tier().round_row(x.data(), n, to_code, scale, found.data() + kScanColumns);
      EXPECT_TRUE(same_bits(expected_off, found_off)) << n << " by " << to_code;
      EXPECT_EQ(expected, found) << n << " by " << to_code;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, HeadTier, ::testing::ValuesIn(tested_tables()), tier_test_name);

}  // namespace
}  // namespace tern::kernels
