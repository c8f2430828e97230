// TQ1_0 and TQ2_0, ggml's ternary formats: blocks of 256 values of a row, each with an f16 scale at
// its end, by which the layer multiplies. Pure functions and a borrowed view; trits survive exactly
// in both directions.
//
// TQ2_0, 66 bytes: value 128*g + 32*l + m of a block is in bits 2l+1:2l of byte 32*g + m; codes 0,
// 1, 2 mean -1, 0, +1 and code 3 means nothing. TQ1_0, 54 bytes: five trits a byte. The bytes 0 to
// 31 hold the values m + 32n, n = 0 to 4; the bytes 32 to 47 the values 160 + m + 16n; the bytes 48
// to 51 the values 240 + m + 4n, n = 0 to 3. A byte is ceil(v * 256 / 243) where v has the codes as
// digits in base 3, the first the most significant (the last four bytes have a fifth digit 0); no
// other byte means anything. Source: block_tq1_0, block_tq2_0 and their quantisation of ggml
// (ggml-common.h, ggml-quants.c).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/result.h"

namespace tern::format {

enum class TqLayout : std::uint8_t { kTQ1_0, kTQ2_0 };

inline constexpr std::uint64_t kTqBlockElements = 256;

constexpr std::uint64_t tq_block_bytes(TqLayout layout) {
  return layout == TqLayout::kTQ1_0 ? 54 : 66;
}

// The f16 at the end of a block, as bits.
std::uint16_t tq_block_scale(TqLayout layout, const std::byte* block);

// 256 trits. Code 3 gives +2, a byte of TQ1_0 that means nothing the trits of the next lower one
// that does.
void decode_tq_block(TqLayout layout, const std::byte* block, std::int8_t* trits);

// Whole blocks, every trit -1, 0 or +1; `scale` as the bits of an f16.
void encode_tq_blocks(TqLayout layout, const std::int8_t* trits, std::uint64_t blocks,
                      std::uint16_t scale, std::byte* out);

// A borrowed matrix of `rows` x `columns` with one scale. Any number of threads may read it.
class TqMatrix {
 public:
  // Reads every scale. Errors: kMalformed when the columns are no positive multiple of 256, when
  // `bytes` has another length than the blocks, or when a scale is negative or not finite.
  // kUnsupported when the scales of two blocks differ; a block of zeros may have the scale 0.
  static Result<TqMatrix> bind(TqLayout layout, std::span<const std::byte> bytes,
                               std::uint64_t rows, std::uint64_t columns);

  TqLayout layout() const { return layout_; }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t columns() const { return columns_; }
  float scale() const { return scale_; }

  // As those of I2sMatrix; decode_tq_block says what codes without a meaning give.
  void decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const;
  std::array<std::uint64_t, 4> count_codes(std::uint64_t first, std::uint64_t count) const;

  // The position (row*columns() + column) of the first value in these rows, in the order of the
  // blocks, whose code means nothing.
  std::optional<std::uint64_t> find_invalid(std::uint64_t first, std::uint64_t count) const;

 private:
  TqMatrix(TqLayout layout, const std::byte* blocks, std::uint64_t rows, std::uint64_t columns)
      : layout_(layout), blocks_(blocks), rows_(rows), columns_(columns) {}

  const std::byte* block(std::uint64_t index) const {
    return blocks_ + index * tq_block_bytes(layout_);
  }
  std::uint64_t blocks_in(std::uint64_t rows) const { return rows * (columns_ / kTqBlockElements); }
  Result<void> read_scale();

  TqLayout layout_;
  const std::byte* blocks_;
  std::uint64_t rows_;
  std::uint64_t columns_;
  float scale_ = 0.0f;
};

}  // namespace tern::format
