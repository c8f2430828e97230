// Writes a ternary matrix of any type in parts, rows in any order: for who streams it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/result.h"
#include "format/tensor.h"

namespace tern::format {

// Whether the type's scales are f16: of tq1_0, tq2_0 and iq1_bn. Those of the others are f32.
bool has_f16_scales(TensorType type);
// Whether the type holds the scale exactly.
bool holds_scale(TensorType type, float scale);

// Immutable once made; any number of threads may encode different rows.
class TernaryEncoder {
 public:
  // Errors: kUnsupported, naming the type, for a shape or a scale that it cannot hold, and for a
  // tiling of tl1 or tl2 that does not fit (where none is known, the canonical one is taken).
  static Result<TernaryEncoder> create(TensorType type, std::uint64_t rows, std::uint64_t columns,
                                       float scale, const TlTiling& tiling = {});

  std::uint64_t bytes() const { return bytes_; }  // of the matrix
  // Parts begin and end at multiples of it; the rows are one.
  std::uint64_t row_step() const { return row_step_; }
  const TlTiling& tiling() const { return tiling_; }

  // Takes bytes and where they begin, from the first byte of the matrix.
  using Put = std::function<Result<void>(std::uint64_t offset, std::span<const std::byte> bytes)>;
  // `count` rows from `first`, every trit -1, 0 or +1. `scratch` keeps memory from call to call.
  Result<void> encode(std::uint64_t first, std::uint64_t count, const std::int8_t* trits,
                      std::vector<std::byte>& scratch, const Put& put) const;
  // What belongs to no row, once.
  Result<void> finish(const Put& put) const;

 private:
  TernaryEncoder(TensorType type, std::uint64_t rows, std::uint64_t columns, float scale,
                 const TlTiling& tiling)
      : type_(type), rows_(rows), columns_(columns), scale_(scale), tiling_(tiling) {}
  Result<void> measure();

  TensorType type_;
  std::uint64_t rows_;
  std::uint64_t columns_;
  float scale_;
  TlTiling tiling_;
  std::uint64_t bytes_ = 0;
  std::uint64_t row_step_ = 1;
};

}  // namespace tern::format
