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

TERN_INLINE void store_scan(const ScanTiles& w, const DigitRow& x, std::size_t row,
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

// `groups` groups of rows, `step` apart: as many streams through memory.
TERN_INLINE void scan_block(const ScanTiles& w, std::size_t rows, const DigitRow& x,
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
    const DigitQuad high_quad = digit_quad(x.high + tile * kScanColumns);
    const DigitQuad low_quad = digit_quad(x.low + tile * kScanColumns);
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
    if (row < rows) store_scan(w, x, row, rows, high[v], low[v], s);
  }
}

void scan_rows(const ScanTiles& w, std::size_t rows, const DigitRow& x, float* s) {
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  const std::size_t step = groups / kScanGroups;
  for (std::size_t g = 0; g < step; ++g) scan_block(w, rows, x, g, step, kScanGroups, s);
  for (std::size_t g = step * kScanGroups; g < groups; ++g) scan_block(w, rows, x, g, 1, 1, s);
}
