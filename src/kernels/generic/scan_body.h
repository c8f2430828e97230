// The scan of an int8 matrix with two digits of activations. Each lane of an accumulator is a row,
// and every byte of the matrix is read once for both digits.
#pragma once

#include "kernels/generic/float_body.h"

inline constexpr int kScanVectorsPerGroup = static_cast<int>(kTileRows) / kVectorRows;
inline constexpr int kScanVectors = kScanGroups * kScanVectorsPerGroup;
inline constexpr std::size_t kScanVectorBytes = kVectorRows * kScanColumns;

// f32 of a sum of products, of which the codes' offset is taken off. Both may have wrapped around;
// their difference fits.
TERN_INLINE Vec scan_sum(const ByteSums& sums, std::int32_t digit_sum) {
  const auto offset =
      static_cast<std::int32_t>(kByteOffset * static_cast<std::uint32_t>(digit_sum));
  return scaled_difference(byte_total(sums), offset, 1.0f);
}

TERN_INLINE void store_scan(const ScanTiles& w, const DigitScale& x, std::size_t row,
                            std::size_t rows, const ByteSums& high, const ByteSums& low, float* s) {
  const Vec sum = fmadd(scan_sum(high, x.high_sum), splat(256.0f), scan_sum(low, x.low_sum));
  const Vec values = mul(sum, mul(load(w.scales + row), splat(x.scale)));
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
                            std::size_t group, std::size_t step, int groups, float* s) {
  static_assert(kVectorRows == kLanes);
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
      if (v % kScanVectorsPerGroup == 0) fetch_weights(at + kPrefetchBytes);
      const Bytes bytes = load_bytes(at);
      high[v] = multiply_bytes(high[v], bytes, high_quad);
      low[v] = multiply_bytes(low[v], bytes, low_quad);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) {
    const std::size_t of = group + static_cast<std::size_t>(v / kScanVectorsPerGroup) * step;
    const std::size_t row = of * kTileRows + v % kScanVectorsPerGroup * kVectorRows;
    if (row < rows) store_scan(w, *x.of, row, rows, high[v], low[v], s);
  }
}

// `count` rows of digits, from q on, over one group of rows: each byte of the matrix is read once
// for all of them.
TERN_INLINE void scan_group(const ScanTiles& w, std::size_t rows, const DigitRows& x, std::size_t q,
                            int count, bool fetch, std::size_t group, float* const* s) {
  ByteSums high[kScanQueries][kScanVectorsPerGroup];
  ByteSums low[kScanQueries][kScanVectorsPerGroup];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kScanVectorsPerGroup; ++v) high[i][v] = low[i][v] = byte_sums_zero();
  }
  const std::uint8_t* codes = w.codes + group * w.tiles * kScanTileBytes;
  const std::int8_t* digits = x.digits + q * kDigitBytes;
  const std::size_t stride = x.rows * kDigitBytes;
  for (std::size_t tile = 0; tile < w.tiles; ++tile, codes += kScanTileBytes, digits += stride) {
    if (fetch) fetch_weights(codes + kPrefetchBytes);
#pragma GCC unroll 8
    for (int v = 0; v < kScanVectorsPerGroup; ++v) {
      const Bytes bytes = load_bytes(codes + v * kScanVectorBytes);
#pragma GCC unroll 8
      for (int i = 0; i < count; ++i) {
        const std::int8_t* at = digits + static_cast<std::size_t>(i) * kDigitBytes;
        high[i][v] = multiply_bytes(high[i][v], bytes, digit_quad(at));
        low[i][v] = multiply_bytes(low[i][v], bytes, digit_quad(at + kScanColumns));
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < kScanVectorsPerGroup; ++v) {
      const std::size_t row = group * kTileRows + static_cast<std::size_t>(v) * kVectorRows;
      const std::size_t of = q + static_cast<std::size_t>(i);
      if (row < rows) store_scan(w, x.of[of], row, rows, high[i][v], low[i][v], s[of]);
    }
  }
}

// Several rows of digits: the group that the first of them fetched is near for the others.
TERN_INLINE void scan_for_all(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                              float* const* s) {
  for (std::size_t group = 0; group * kTileRows < rows; ++group) {
    std::size_t q = 0;
    for (; q + kScanQueries <= x.rows; q += kScanQueries) {
      scan_group(w, rows, x, q, kScanQueries, q == 0, group, s);
    }
    if (kScanQueries > 4) {
      for (; q + 4 <= x.rows; q += 4) scan_group(w, rows, x, q, 4, q == 0, group, s);
    }
    if (kScanQueries > 2) {
      for (; q + 2 <= x.rows; q += 2) scan_group(w, rows, x, q, 2, q == 0, group, s);
    }
    for (; q < x.rows; ++q) scan_group(w, rows, x, q, 1, q == 0, group, s);
  }
}

void scan_rows(const ScanTiles& w, std::size_t rows, const DigitRows& x, float* const* s) {
  if (x.rows > 1) return scan_for_all(w, rows, x, s);
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  const std::size_t step = groups / kScanGroups;
  for (std::size_t g = 0; g < step; ++g) scan_block(w, rows, x, g, step, kScanGroups, *s);
  for (std::size_t g = step * kScanGroups; g < groups; ++g) scan_block(w, rows, x, g, 1, 1, *s);
}
