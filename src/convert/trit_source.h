// The trits of a linear in a GGUF file, whatever type it has, in tiles of rows. Immutable once
// open; any number of threads may read different tiles.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "arch/decoder_config.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/ternary_matrix.h"

namespace tern::convert {

// The linears of a model, in the order of the file. Errors: kMalformed where one is missing.
Result<std::vector<const format::Tensor*>> linears_of(const format::GgufFile& file,
                                                      const arch::DecoderConfig& config);

class TritSource {
 public:
  // A ternary matrix, or f32, f16 or bf16 of which all are 0 or of one magnitude: that is the
  // scale. Borrows the file. Errors name file and tensor: kUnsupported for another type, kMalformed
  // for floats that are all zero or not finite, and those of TernaryMatrix::bind.
  static Result<TritSource> open(const format::GgufFile& file, const format::Tensor& tensor);

  std::uint64_t rows() const { return tensor_->rows(); }
  std::uint64_t columns() const { return tensor_->columns(); }
  float scale() const { return scale_; }

  // Tiles of about a megabyte of trits, each a multiple of `step` rows.
  std::uint64_t tiles(std::uint64_t step) const;
  std::pair<std::uint64_t, std::uint64_t> tile(std::uint64_t index, std::uint64_t step) const;

  // Makes `trits` the rows' own, each -1, 0 or +1. Errors: kMalformed for codes that mean nothing;
  // kUnsupported for floats that are not ternary.
  Result<void> read(std::uint64_t first, std::uint64_t count,
                    std::vector<std::int8_t>& trits) const;

 private:
  TritSource(const format::GgufFile& file, const format::Tensor& tensor)
      : file_(&file), tensor_(&tensor) {}
  Error fault(ErrorCode code, const std::string& message) const;
  Result<void> find_magnitude();
  Result<void> read_floats(std::uint64_t first, std::uint64_t count, std::int8_t* trits) const;
  std::uint64_t tile_rows(std::uint64_t step) const;

  const format::GgufFile* file_;
  const format::Tensor* tensor_;
  std::optional<format::TernaryMatrix> matrix_;  // none: floats
  float scale_ = 0.0f;
  std::uint32_t magnitude_ = 0;  // of floats, as bits
};

}  // namespace tern::convert
