// Rows of the tile registers. Included inside an anonymous namespace behind TERN_INLINE.
#pragma once

// So many have sums and activations; or, of two tiles of tokens, the first one's, and those of the
// second one, whose sums are from first_sums on, have second_rows. A product takes as many rows of
// activations as it has of sums.
struct TmmShape {
  std::size_t rows;
  std::size_t second_rows = rows;
  int first_sums = kTmmSums;
};

TERN_INLINE std::size_t rows_of(const TmmShape& shape, int tmm) {
  if (tmm >= kFirstCodes) return kTmmRows;
  const bool first = tmm < kTmmSums ? tmm < shape.first_sums : tmm == kTmmSums;
  return first ? shape.rows : shape.second_rows;
}
