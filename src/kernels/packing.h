// Sizes that follow from how trits are packed. Not for tiers: they include no shared function.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"

namespace tern::kernels {

constexpr std::uint64_t columns_of_tile(Packing packing) {
  return packing == Packing::kFiveTrits ? kFiveTritColumns : kTwoBitColumns;
}

// Tiles of a group of rows with so many columns.
constexpr std::uint64_t tiles_of(std::uint64_t columns, Packing packing) {
  return (columns + columns_of_tile(packing) - 1) / columns_of_tile(packing);
}

constexpr std::uint64_t packed_bytes(std::uint64_t rows, std::uint64_t columns, Packing packing) {
  return (rows + kTileRows - 1) / kTileRows * tiles_of(columns, packing) * kTileBytes;
}

// Values of a quantised row, zeros included: whole tiles of any packing, in whole lines.
constexpr std::uint64_t padded_columns(std::uint64_t columns) {
  constexpr std::uint64_t kLine = 64;
  const std::uint64_t tiles = std::max(tiles_of(columns, Packing::kTwoBits) * kTwoBitColumns,
                                       tiles_of(columns, Packing::kFiveTrits) * kFiveTritColumns);
  return (tiles + kLine - 1) / kLine * kLine;
}

}  // namespace tern::kernels
