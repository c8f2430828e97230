// TL1 and TL2, the layouts of bitnet.cpp for its look-up kernels: two or three weights an index, in
// tiles. Pure functions and a borrowed view; trits survive exactly in both directions.
//
// A matrix is cut into strips of `bm` rows, a strip into tiles of `bk` columns, a tile into blocks
// of `bmm` rows; tiles of a strip and blocks of a tile follow each other.
//
// TL1: two neighbours a, b have the index 3*a + b + 4 in four bits, and a byte two indices of a
// row, the first in the high bits. A block goes on in groups of 256 / bmm columns, 64 bytes each:
// for every 16 rows the first four columns, a byte a row, then the next four. Behind the codes of
// all are 32 tail bytes, the first four an f32 scale, by which the layer multiplies.
//
// TL2: the columns up to the last whole `bk` have an index |9*a + 3*b + c| of three neighbours in
// four bits and a sign (1: all three are negated) apart; what is left of the columns is pairs with
// the index of TL1. A byte has two indices of a row, the first in the high bits. A block of 32 rows
// is groups of 32 bytes, a byte a row: those of rows 0 to 7, 16 to 23, 8 to 15, 24 to 31. First
// come the triples of the whole matrix; then its signs, for each block and 24 columns 16 words of
// 16 bits: word w has rows w and 16 + w, triple t of eight in bits 15 - 2t and 14 - 2t; then the
// pairs, in tiles of 32 columns; zeros up to the size that a matrix of that shape has whatever its
// bk, as if its last 256 columns were pairs, and up to a multiple of 32; and the tail, as in TL1.
//
// Source: microsoft/BitNet at commit 16da220, utils/convert-hf-to-gguf-bitnet.py (process_tl1,
// preprocess_weights_tl2), utils/codegen_tl1.py, codegen_tl2.py (where the scale is read, the
// kernels' order), docs/codegen.md; its fork of llama.cpp, ggml_nbytes in ggml/src/ggml.c and
// write_ti_data_to_file in gguf-py (the scale follows the codes and has no entry of its own).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"
#include "format/ternary/tl_tiling.h"

namespace tern::format {

enum class TlLayout : std::uint8_t { kTl1, kTl2 };

inline constexpr std::uint64_t kTlTailBytes = 32;
inline constexpr std::uint64_t kTlRows = 32;     // rows are a multiple
inline constexpr std::uint64_t kTlColumns = 32;  // columns, too
inline constexpr std::uint64_t kTl2LeastColumns = 256;
inline constexpr std::uint64_t kTlMostColumns = 1u << 24;  // and rows: sizes stay far from 64 bits

// Whether a matrix of that shape can be TL1 or TL2 at all. Errors: kUnsupported.
Result<void> check_tl_shape(TlLayout layout, std::uint64_t rows, std::uint64_t columns);

// The bytes of a matrix whose shape passed that.
std::uint64_t tl_bytes(TlLayout layout, std::uint64_t rows, std::uint64_t columns);

// Whether the tiling fits shape and layout. Errors: kUnsupported, naming the number at fault.
Result<void> check_tl_tiling(TlLayout layout, std::uint64_t rows, std::uint64_t columns,
                             const TlTiling& tiling);

// The tiling to write with where nothing else says: bm the largest multiple of 32 up to 256 that
// divides the rows; bk 128, 64 or 32 for TL1, the largest that divides the columns, and 96 for TL2;
// bmm 32. The shape passed check_tl_shape.
TlTiling canonical_tl_tiling(TlLayout layout, std::uint64_t rows, std::uint64_t columns);

// Bytes and where they begin, from the first byte of the matrix.
struct TlRun {
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;
};

// The codes of `count` rows from `first`, whole strips both; every trit -1, 0 or +1. TL2 has up to
// three runs.
std::vector<TlRun> encode_tl_rows(TlLayout layout, std::uint64_t rows, std::uint64_t columns,
                                  const TlTiling& tiling, std::uint64_t first, std::uint64_t count,
                                  const std::int8_t* trits);
// What follows the last code: padding and the tail.
TlRun tl_tail(TlLayout layout, std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling,
              float scale);

// A borrowed matrix of `rows` x `columns`. Any number of threads may read it.
class TlMatrix {
 public:
  // Errors: those of the checks above; kMalformed when `bytes` has another length, or when the
  // scale is negative or not finite.
  static Result<TlMatrix> bind(TlLayout layout, std::span<const std::byte> bytes,
                               std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling);

  TlLayout layout() const { return layout_; }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t columns() const { return columns_; }
  float scale() const { return scale_; }

  // As those of I2sMatrix. An index that means nothing, and a sign of no weight, give +2 for each
  // of its values.
  void decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const;
  std::array<std::uint64_t, 4> count_codes(std::uint64_t first, std::uint64_t count) const;
  std::optional<std::uint64_t> find_invalid(std::uint64_t first, std::uint64_t count) const;

 private:
  TlMatrix(TlLayout layout, const std::byte* data, std::uint64_t rows, std::uint64_t columns,
           const TlTiling& tiling, float scale)
      : layout_(layout),
        data_(data),
        rows_(rows),
        columns_(columns),
        tiling_(tiling),
        scale_(scale) {}

  TlLayout layout_;
  const std::byte* data_;
  std::uint64_t rows_;
  std::uint64_t columns_;
  TlTiling tiling_;
  float scale_;
};

}  // namespace tern::format
