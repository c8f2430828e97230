// I2_S, the ternary format of the published BitNet files: two bits a weight and one f32 scale, by
// which the layer multiplies, for the whole matrix. Pure functions and a borrowed view; trits
// survive exactly in both directions.
//
// The matrix is flattened in row order and cut into blocks of 128 values = 32 bytes, so a row whose
// length is not a multiple of 128 straddles blocks. Byte b of a block holds the values b, 32+b,
// 64+b and 96+b in bits 7:6, 5:4, 3:2 and 1:0; codes 0, 1, 2 mean -1, 0, +1 and code 3 means
// nothing. After elements/4 bytes come 32 tail bytes; the first four are the scale.
// Source: quantize_i2_s of microsoft/BitNet, src/ggml-bitnet-mad.cpp, x86 with ACT_PARALLEL. (Its
// Arm build writes blocks of 64, its build without ACT_PARALLEL four rows a byte, both under the
// same type id: nothing in the bytes says so, hence the model's self-proof.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"

namespace tern::format {

inline constexpr std::uint64_t kI2sBlockElements = 128;
inline constexpr std::uint64_t kI2sBlockBytes = 32;
inline constexpr std::uint64_t kI2sTailBytes = 32;

// The bytes of a matrix. `elements` is a multiple of kI2sBlockElements.
constexpr std::uint64_t i2_s_bytes(std::uint64_t elements) {
  return elements / kI2sBlockElements * kI2sBlockBytes + kI2sTailBytes;
}

// A borrowed matrix of `rows` x `columns`, row order. Any number of threads may read it.
class I2sMatrix {
 public:
  // Errors: kMalformed when rows*columns is not a positive multiple of 128, when `bytes` is not
  // exactly i2_s_bytes(rows*columns) long, or when the scale is negative or not finite.
  static Result<I2sMatrix> bind(std::span<const std::byte> bytes, std::uint64_t rows,
                                std::uint64_t columns);

  std::uint64_t rows() const { return rows_; }
  std::uint64_t columns() const { return columns_; }
  float scale() const { return scale_; }

  // Writes count*columns() trits to `trits`, row after row. The rows exist; `trits` has room.
  // Code 3 gives +2: callers refuse it with find_invalid first.
  void decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const;

  // How often each code occurs in these rows.
  std::array<std::uint64_t, 4> count_codes(std::uint64_t first, std::uint64_t count) const;

  // The position (row*columns() + column) of the first code 3 in these rows.
  std::optional<std::uint64_t> find_invalid(std::uint64_t first, std::uint64_t count) const;

 private:
  I2sMatrix(const std::byte* codes, std::uint64_t rows, std::uint64_t columns, float scale)
      : codes_(codes), rows_(rows), columns_(columns), scale_(scale) {}

  const std::byte* codes_;
  std::uint64_t rows_;
  std::uint64_t columns_;
  float scale_;
};

// A matrix in parts, for who streams it: `blocks` whole blocks, 32 bytes of codes for each 128
// trits, every trit -1, 0 or +1; and, behind the last block, the tail.
void encode_i2_s_blocks(const std::int8_t* trits, std::uint64_t blocks, std::byte* codes);
std::array<std::byte, kI2sTailBytes> i2_s_tail(float scale);

// The bytes of a matrix in row order. Errors: kUsage when the number of trits is not a positive
// multiple of 128, when one is not -1, 0 or +1, or when the scale is negative or not finite.
Result<std::vector<std::byte>> encode_i2_s(std::span<const std::int8_t> trits, float scale);

}  // namespace tern::format
