// A ternary matrix of any type: what the backend packs and the self-proof looks at.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "core/result.h"
#include "format/tensor.h"
#include "format/ternary/i2_s.h"
#include "format/ternary/iq_bn.h"
#include "format/ternary/tl.h"
#include "format/ternary/tq.h"

namespace tern::format {

// i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn and iq2_bn.
bool is_ternary(TensorType type);

// A borrowed matrix with one scale, by which the layer multiplies. Any number of threads may read
// it.
class TernaryMatrix {
 public:
  // Errors name the tensor: kUnsupported for another type or rank, for a tiling that is not known,
  // and for more than one scale: one beside a matrix counts where its own is exactly 1. kMalformed
  // as the types' own bind() says. Reads all scales of the types that have many.
  static Result<TernaryMatrix> bind(const Tensor& tensor);

  TensorType type() const { return type_; }
  std::uint64_t rows() const;
  std::uint64_t columns() const;
  float scale() const { return scale_; }

  // Writes count*columns() trits to `trits`, row after row. The rows exist; `trits` has room. What
  // find_invalid finds gives numbers outside of -1 to 1, or wrong ones.
  void decode_rows(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const;

  // How often -1, 0, +1 and code 3 occur in these rows.
  std::array<std::uint64_t, 4> count_codes(std::uint64_t first, std::uint64_t count) const;

  // The position (row*columns() + column) of a value in these rows whose code means nothing.
  std::optional<std::uint64_t> find_invalid(std::uint64_t first, std::uint64_t count) const;

 private:
  using View = std::variant<I2sMatrix, TqMatrix, IqBnMatrix, TlMatrix>;
  static Result<View> bind_view(const Tensor& tensor);
  TernaryMatrix(TensorType type, View view, float scale)
      : type_(type), view_(view), scale_(scale) {}

  TensorType type_;
  View view_;
  float scale_;
};

// The bytes of a matrix of i2_s, tq1_0 or tq2_0, whose trits follow each other in any parts, for
// who streams it (TernaryEncoder does it for all types). `count` trits, a multiple of 256, or, at
// the end of an i2_s matrix, of 128; every trit -1, 0 or +1; the scale is one that f16 holds
// exactly. Appends to `out`.
void encode_trits(TensorType type, const std::int8_t* trits, std::uint64_t count, float scale,
                  std::vector<std::byte>& out);
// What follows the last trits of the matrix: nothing but for i2_s.
void end_trits(TensorType type, float scale, std::vector<std::byte>& out);

}  // namespace tern::format
