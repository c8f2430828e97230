// IQ1_BN and IQ2_BN, the ternary formats of ik_llama.cpp: rows that begin with their scale, by
// which the layer multiplies, and go on in blocks of 64 values. Pure functions and a borrowed view;
// trits survive exactly in both directions.
//
// IQ2_BN: an f32, then 16 bytes a block. Byte j holds the values j, 16+j, 32+j and 48+j in bits
// 1:0, 3:2, 5:4 and 7:6; codes 0, 1, 2 mean -1, 0, +1 and code 3 means nothing. IQ1_BN: an f16,
// then 13 bytes a block. The bytes 3i to 3i+2 hold the values 16i to 16i+14, five a byte, the first
// the least significant digit in base 3; byte 12 holds the values 15, 31, 47 and 63 in the same
// way. A byte is ceil(v * 256 / 243) of the number v of its codes; no other byte means anything.
//
// A row whose scale is 0 is a row of zeros, whatever its codes: the quantiser writes +1 there.
// Source: ik_llama.cpp, ggml/src/ggml-common.h (block_iq1_bn, block_iq2_bn),
// ggml/src/iqk/iqk_quantize.cpp (IQ1BNQuantizer, dequantize_row_iq1_bn), ggml/src/ggml.c
// (row_meta_size), at commit 8337e4c.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/result.h"

namespace tern::format {

enum class IqBnLayout : std::uint8_t { kIq1Bn, kIq2Bn };

inline constexpr std::uint64_t kIqBnBlockElements = 64;

// The scale in front of a row, and a block.
constexpr std::uint64_t iq_bn_scale_bytes(IqBnLayout layout) {
  return layout == IqBnLayout::kIq1Bn ? 2 : 4;
}
constexpr std::uint64_t iq_bn_block_bytes(IqBnLayout layout) {
  return layout == IqBnLayout::kIq1Bn ? 13 : 16;
}
// `columns` is a multiple of kIqBnBlockElements.
constexpr std::uint64_t iq_bn_row_bytes(IqBnLayout layout, std::uint64_t columns) {
  return iq_bn_scale_bytes(layout) + columns / kIqBnBlockElements * iq_bn_block_bytes(layout);
}

// A row of whole blocks, every trit -1, 0 or +1; the scale is one that the layout's type holds.
void encode_iq_bn_row(IqBnLayout layout, const std::int8_t* trits, std::uint64_t columns,
                      float scale, std::byte* row);

// A borrowed matrix of `rows` x `columns` with one scale. Any number of threads may read it.
class IqBnMatrix {
 public:
  // Reads every row's scale. Errors: kMalformed when the columns are no positive multiple of 64,
  // when `bytes` has another length than the rows, or when a scale is negative or not finite.
  // kUnsupported when the scales of two rows differ, but for rows of zeros.
  static Result<IqBnMatrix> bind(IqBnLayout layout, std::span<const std::byte> bytes,
                                 std::uint64_t rows, std::uint64_t columns);

  IqBnLayout layout() const { return layout_; }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t columns() const { return columns_; }
  float scale() const { return scale_; }

  // As those of I2sMatrix: what means nothing gives +2.
  void decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const;
  std::array<std::uint64_t, 4> count_codes(std::uint64_t first, std::uint64_t count) const;

  // The position (row*columns() + column) of the first value in these rows whose code means
  // nothing.
  std::optional<std::uint64_t> find_invalid(std::uint64_t first, std::uint64_t count) const;

 private:
  IqBnMatrix(IqBnLayout layout, const std::byte* data, std::uint64_t rows, std::uint64_t columns)
      : layout_(layout), data_(data), rows_(rows), columns_(columns) {}

  const std::byte* row(std::uint64_t index) const {
    return data_ + index * iq_bn_row_bytes(layout_, columns_);
  }
  Result<void> read_scale();

  IqBnLayout layout_;
  const std::byte* data_;
  std::uint64_t rows_;
  std::uint64_t columns_;
  float scale_ = 0.0f;
};

}  // namespace tern::format
