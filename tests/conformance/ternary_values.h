// Ternary matrices and quantised activations for the tests of conformance.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/packing.h"

namespace tern::kernels {

// Trits, packed as TernaryTiles lays them out.
struct Weights {
  std::vector<std::uint8_t> codes;
  TernaryTiles tiles;
};

// Random trits, or all the same code.
inline Weights random_weights(std::size_t rows, std::size_t columns, Packing packing,
                              std::uint32_t seed, int fixed = -1) {
  constexpr unsigned kFactors[2][5] = {{1, 4, 16, 64, 0}, {84, 28, 9, 3, 1}};
  std::mt19937 generator(seed);
  const std::size_t tiles = tiles_of(columns, packing);
  const std::size_t width = columns_of_tile(packing);
  const std::size_t padded_rows = (rows + kTileRows - 1) / kTileRows * kTileRows;
  Weights w;
  w.codes.assign(packed_bytes(rows, columns, packing), 0);
  for (std::size_t r = 0; r < padded_rows; ++r) {
    for (std::size_t c = 0; c < tiles * width; ++c) {
      const auto random =
          static_cast<unsigned>(fixed >= 0 ? static_cast<unsigned long>(fixed) : generator() % 3u);
      const unsigned code = r < rows && c < columns ? random : 1u;
      std::uint8_t& byte =
          w.codes[(r / kTileRows * tiles + c / width) * kTileBytes + r % kTileRows * 4 + c % 4];
      const unsigned factor = kFactors[static_cast<std::size_t>(packing)][c % width / 4];
      byte = static_cast<std::uint8_t>(byte + code * factor);
    }
  }
  w.tiles = TernaryTiles{w.codes.data(), tiles, 0.0371f, packing};
  return w;
}

struct Activations {
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;
  QuantizedRows rows;
};

inline Activations quantized(const KernelTable& table, const std::vector<float>& x,
                             std::size_t columns) {
  const std::size_t tokens = x.size() / columns;
  const std::size_t stride = padded_columns(columns);
  Activations a{std::vector<std::int8_t>(tokens * stride, 99),
                std::vector<float>(tokens),
                std::vector<std::int32_t>(tokens),
                {}};
  for (std::size_t t = 0; t < tokens; ++t) {
    EXPECT_TRUE(table.quantize(x.data() + t * columns, columns, stride,
                               a.values.data() + t * stride, &a.scales[t], &a.sums[t]));
  }
  a.rows = QuantizedRows{a.values.data(), stride, a.scales.data(), a.sums.data()};
  return a;
}

}  // namespace tern::kernels
