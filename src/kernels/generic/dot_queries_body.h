// Rows of float weights times several rows of activations, by the sum rule. Each pair has 64 sums
// of its own, so a tile of pairs takes two vectors of them at a time, and of the columns as many as
// stay in the nearest cache.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr std::size_t kPairColumns = 512;
inline constexpr std::size_t kPairRows = 8;
inline constexpr std::size_t kPairQueries = 12;
inline constexpr int kTileOfRows = 2;  // times three queries and two vectors: twelve registers
inline constexpr int kTileOfQueries = 3;
inline constexpr int kTileVectors = 2;
static_assert(kRegisters % kTileVectors == 0);

// The sums of a block of pairs.
struct PairSums {
  alignas(64) float lanes[kPairRows][kPairQueries][kSumLanes];
};

// Of a tile from `row` and `query` on: `groups` groups of 64 columns from `column` on.
template <int kRows, int kQueries>
TERN_INLINE void add_tile(const float* const* x, const float* w, std::size_t n, std::size_t row,
                          std::size_t query, std::size_t column, std::size_t groups,
                          PairSums& sums) {
  for (int first = 0; first < kRegisters; first += kTileVectors) {
    const std::size_t lane = static_cast<std::size_t>(first) * kLanes;
    Vec tile[kRows][kQueries][kTileVectors];
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 2
        for (int v = 0; v < kTileVectors; ++v) {
          tile[r][q][v] = load(&sums.lanes[row + r][query + q][lane + v * kLanes]);
        }
      }
    }
    for (std::size_t group = 0; group < groups; ++group) {
      const std::size_t at = column + group * kSumLanes + lane;
#pragma GCC unroll 2
      for (int v = 0; v < kTileVectors; ++v) {
        Vec xs[kQueries];
#pragma GCC unroll 3
        for (int q = 0; q < kQueries; ++q) xs[q] = load(x[query + q] + at + v * kLanes);
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r) {
          const Vec weights = load(w + (row + r) * n + at + v * kLanes);
#pragma GCC unroll 3
          for (int q = 0; q < kQueries; ++q) {
            tile[r][q][v] = fmadd(xs[q], weights, tile[r][q][v]);
          }
        }
      }
    }
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 3
      for (int q = 0; q < kQueries; ++q) {
#pragma GCC unroll 2
        for (int v = 0; v < kTileVectors; ++v) {
          store(&sums.lanes[row + r][query + q][lane + v * kLanes], tile[r][q][v]);
        }
      }
    }
  }
}

template <int kRows>
TERN_INLINE void add_rows(const float* const* x, std::size_t queries, const float* w, std::size_t n,
                          std::size_t row, std::size_t column, std::size_t groups, PairSums& sums) {
  std::size_t q = 0;
  for (; q + kTileOfQueries <= queries; q += kTileOfQueries) {
    add_tile<kRows, kTileOfQueries>(x, w, n, row, q, column, groups, sums);
  }
  for (; q < queries; ++q) add_tile<kRows, 1>(x, w, n, row, q, column, groups, sums);
}

// At most kPairRows rows and kPairQueries queries.
__attribute__((noinline)) void dot_pairs(const float* const* x, std::size_t queries, const float* w,
                                         std::size_t n, std::size_t rows, float* const* y) {
  PairSums sums;
  __builtin_memset(&sums, 0, sizeof sums);
  const std::size_t whole = n / kSumLanes * kSumLanes;
  for (std::size_t column = 0; column < whole; column += kPairColumns) {
    const std::size_t left = whole - column;
    const std::size_t groups = (left < kPairColumns ? left : kPairColumns) / kSumLanes;
    std::size_t r = 0;
    for (; r + kTileOfRows <= rows; r += kTileOfRows) {
      add_rows<kTileOfRows>(x, queries, w, n, r, column, groups, sums);
    }
    if (r < rows) add_rows<1>(x, queries, w, n, r, column, groups, sums);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t q = 0; q < queries; ++q) {
      Sum64 sum;
      for (int j = 0; j < kRegisters; ++j) sum.lanes[j] = load(&sums.lanes[r][q][j * kLanes]);
      y[q][r] = whole == n ? sum_total(sum)
                           : sum_total_with_tail(sum, x[q] + whole, w + r * n + whole, n - whole);
    }
  }
}

void dot_queries(const float* const* x, std::size_t queries, const float* w, std::size_t n,
                 std::size_t rows, float* const* y) {
  for (std::size_t row = 0; row < rows; row += kPairRows) {
    const std::size_t some = rows - row < kPairRows ? rows - row : kPairRows;
    for (std::size_t query = 0; query < queries; query += kPairQueries) {
      const std::size_t count = queries - query < kPairQueries ? queries - query : kPairQueries;
      float* to[kPairQueries];
      for (std::size_t q = 0; q < count; ++q) to[q] = y[query + q] + row;
      dot_pairs(x + query, count, w + row * n, n, some, to);
    }
  }
}
