// The scan of an int8 matrix with two digits of activations: both at once for one row of them, or
// the high ones of several rows, and the low ones where they matter. Each lane of an accumulator is
// a row of the matrix.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kScanVectorsPerGroup = static_cast<int>(kTileRows) / kVectorRows;
inline constexpr int kScanVectors = kScanGroups * kScanVectorsPerGroup;
inline constexpr std::size_t kScanVectorBytes = kVectorRows * kScanColumns;
static_assert(kVectorRows == kLanes);

// f32 of a sum of products, of which the codes' offset is taken off. Both may have wrapped around;
// their difference fits.
TERN_INLINE Vec scan_sum(Wide total, std::int32_t digit_sum) {
  const auto offset =
      static_cast<std::int32_t>(kByteOffset * static_cast<std::uint32_t>(digit_sum));
  return scaled_difference(total, offset, 1.0f);
}

// What both digits make together; `high` is the sum of the high one in f32.
TERN_INLINE Vec scan_value(const ScanTiles& w, const DigitScale& x, std::size_t row, Vec high,
                           Wide low) {
  const Vec sum = fmadd(high, splat(256.0f), scan_sum(low, x.low_sum));
  return mul(sum, mul(load(w.scales + row), splat(x.scale)));
}

// Those of a vector of rows from `row` on that there are.
TERN_INLINE Vec load_rows(const float* s, std::size_t row, std::size_t rows) {
  if (row + kLanes <= rows) return load(s + row);
  float lanes[kLanes] = {};
  for (std::size_t r = row; r < rows; ++r) lanes[r - row] = s[r];
  return load(lanes);
}

TERN_INLINE void store_rows(float* s, std::size_t row, std::size_t rows, Vec values) {
  if (row + kLanes <= rows) {
    store(s + row, values);
    return;
  }
  float lanes[kLanes];
  store(lanes, values);
  for (std::size_t r = row; r < rows; ++r) s[r] = lanes[r - row];
}

// One row of digits over `groups` groups of rows, `step` apart: as many streams through memory.
TERN_INLINE void scan_block(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                            std::size_t group, std::size_t step, int groups, bool second_cache,
                            float* s) {
  const int vectors = groups * kScanVectorsPerGroup;
  const std::uint8_t* codes[kScanVectors];
  ByteSums high[kScanVectors];
  ByteSums low[kScanVectors];
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const std::size_t of = group + static_cast<std::size_t>(v / kScanVectorsPerGroup) * step;
    codes[v] =
        w.codes + of * w.tiles * kScanTileBytes + v % kScanVectorsPerGroup * kScanVectorBytes;
    high[v] = byte_sums_zero();
    low[v] = byte_sums_zero();
  }
  for (std::size_t tile = 0; tile < w.tiles; ++tile) {
    const DigitQuad high_quad = digit_quad(x.digits + tile * kDigitBytes);
    const DigitQuad low_quad = digit_quad(x.digits + tile * kDigitBytes + kScanColumns);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      const std::uint8_t* at = codes[v] + tile * kScanTileBytes;
      if (v % kScanVectorsPerGroup == 0) fetch_weights(at + kPrefetchBytes, second_cache);
      const Bytes bytes = load_bytes(at);
      high[v] = multiply_bytes(high[v], bytes, high_quad);
      low[v] = multiply_bytes(low[v], bytes, low_quad);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const std::size_t of = group + static_cast<std::size_t>(v / kScanVectorsPerGroup) * step;
    const std::size_t row = of * kTileRows + v % kScanVectorsPerGroup * kVectorRows;
    const Vec high_sum = scan_sum(byte_total(high[v]), x.of->high_sum);
    store_rows(s, row, rows, scan_value(w, *x.of, row, high_sum, byte_total(low[v])));
  }
}

template <bool kSecond>
TERN_INLINE void scan_rows_into(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                                float* s) {
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  const std::size_t step = groups / kScanGroups;
  for (std::size_t g = 0; g < step; ++g) scan_block(w, rows, x, g, step, kScanGroups, kSecond, s);
  for (std::size_t g = step * kScanGroups; g < groups; ++g) {
    scan_block(w, rows, x, g, 1, 1, kSecond, s);
  }
}

void scan_rows(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* s) {
  w.second_cache ? scan_rows_into<true>(w, rows, x, s) : scan_rows_into<false>(w, rows, x, s);
}

// One of the digits of kQueries rows of them, from q on, over kGroups groups of rows of the matrix:
// values[q][r] becomes the sum of the high ones, or, of low ones, what that sum makes with theirs.
// Of the groups where `fetch` says so, the one that is kGroups further on is asked for, into the
// second cache: all blocks of digits share that, as all but the first of them find their groups
// near. A function of its own: GCC would make one loop of several.
template <int kGroups, int kQueries, bool kLow>
__attribute__((noinline)) void scan_groups(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                                           std::size_t q, std::size_t group, const bool* fetch,
                                           float* const* values) {
  constexpr int kVectors = kGroups * kScanVectorsPerGroup;
  ByteSums sums[kQueries][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kQueries; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[i][v] = byte_sums_zero();
  }
  const std::size_t group_bytes = w.tiles * kScanTileBytes;
  const std::uint8_t* codes = w.codes + group * group_bytes;
  const std::int8_t* digits = x.digits + q * kDigitBytes + (kLow ? kScanColumns : 0);
  const std::size_t stride = x.rows * kDigitBytes;
  for (std::size_t tile = 0; tile < w.tiles; ++tile, codes += kScanTileBytes, digits += stride) {
    Bytes bytes[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const int g = v / kScanVectorsPerGroup;
      const std::uint8_t* at = codes + static_cast<std::size_t>(g) * group_bytes;
      bytes[v] = load_bytes(at + v % kScanVectorsPerGroup * kScanVectorBytes);
      if (!kLow && v % kScanVectorsPerGroup == 0 && fetch[g]) {
        __builtin_prefetch(at + kGroups * group_bytes, 0, 2);
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kQueries; ++i) {
      const DigitQuad quad = digit_quad(digits + i * kDigitBytes);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[i][v] = multiply_bytes(sums[i][v], bytes[v], quad);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kQueries; ++i) {
    const DigitScale& of = x.of[q + static_cast<std::size_t>(i)];
    float* const to = values[q + static_cast<std::size_t>(i)];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t row = group * kTileRows + static_cast<std::size_t>(v) * kVectorRows;
      const Wide sum = byte_total(sums[i][v]);
      store_rows(to, row, rows,
                 kLow ? scan_value(w, of, row, load_rows(to, row, rows), sum)
                      : scan_sum(sum, of.high_sum));
    }
  }
}

template <int kGroups, bool kLow, int kQueries = kScanQueries>
TERN_INLINE void scan_groups_by(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                                std::size_t q, std::size_t count, std::size_t group,
                                const bool* fetch, float* const* values) {
  if constexpr (kQueries > 1) {
    if (count < kQueries) {
      scan_groups_by<kGroups, kLow, kQueries - 1>(w, rows, x, q, count, group, fetch, values);
      return;
    }
  }
  scan_groups<kGroups, kQueries, kLow>(w, rows, x, q, group, fetch, values);
}

// `count` rows of digits from `first` on, in blocks about equally large, over some groups.
template <int kGroups, bool kLow>
TERN_INLINE void scan_blocks(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                             std::size_t first, std::size_t count, std::size_t group,
                             float* const* values) {
  const std::size_t blocks = (count + kScanQueries - 1) / kScanQueries;
  for (std::size_t block = 0; block < blocks; ++block) {
    bool fetch[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) fetch[g] = g % blocks == block;
    const std::size_t q = count * block / blocks;
    const std::size_t end = count * (block + 1) / blocks;
    scan_groups_by<kGroups, kLow>(w, rows, x, first + q, end - q, group, fetch, values);
  }
}

template <bool kLow>
TERN_INLINE void scan_digits(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                             std::size_t first, std::size_t count, float* const* values) {
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  std::size_t group = 0;
  for (; group + kScanBlockGroups <= groups; group += kScanBlockGroups) {
    scan_blocks<kScanBlockGroups, kLow>(w, rows, x, first, count, group, values);
  }
  for (; group < groups; ++group) scan_blocks<1, kLow>(w, rows, x, first, count, group, values);
}

void scan_high(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* const* high) {
  scan_digits<false>(w, rows, x, 0, x.rows, high);
}

void scan_low(const ScanTiles& w, std::size_t rows, const DigitRows& x, std::size_t first,
              std::size_t count, float* const* values) {
  scan_digits<true>(w, rows, x, first, count, values);
}

void high_bounds(const ScanTiles& w, const ScanErrors& errors, std::size_t rows, const float* high,
                 float scale, const ScanBound& bound, float* upper) {
  for (std::size_t r = 0; r < rows; r += kLanes) {
    const Vec values =
        mul(mul(load_rows(high, r, rows), splat(256.0f)), mul(load(w.scales + r), splat(scale)));
    const Vec off = add(mul(load(errors.residuals + r), splat(bound.of_residual)),
                        mul(load(errors.norms + r), splat(bound.of_norm)));
    store_rows(upper, r, rows, add(values, add(off, splat(bound.constant))));
  }
}
