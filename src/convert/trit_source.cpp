#include "convert/trit_source.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "arch/gguf_dialect.h"
#include "convert/float_bits.h"
#include "convert/tensor_job.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_text.h"

namespace tern::convert {
namespace {

using format::SafetensorsType;
using format::Tensor;
using format::TensorType;

constexpr std::uint64_t kTileTrits = std::uint64_t{1} << 20;

std::optional<SafetensorsType> float_type(TensorType type) {
  switch (type) {
    case TensorType::kF32: return SafetensorsType::kF32;
    case TensorType::kF16: return SafetensorsType::kF16;
    case TensorType::kBF16: return SafetensorsType::kBF16;
    default: return std::nullopt;
  }
}

}  // namespace

Result<std::vector<const Tensor*>> linears_of(const format::GgufFile& file,
                                              const arch::DecoderConfig& config) {
  std::vector<const Tensor*> found;
  for (const std::string& name : arch::ternary_tensor_names(config)) {
    found.push_back(file.tensor(name));
    if (found.back() != nullptr) continue;
    return Error{ErrorCode::kMalformed, "the tensor is missing", file.source() + ": " + name};
  }
  std::ranges::sort(found);  // they lie in one array, in the order of the file
  return found;
}

Error TritSource::fault(ErrorCode code, const std::string& message) const {
  return Error{code, message, file_->source() + ": tensor " + format::in_quotes(tensor_->name)};
}

Result<TritSource> TritSource::open(const format::GgufFile& file, const Tensor& tensor) {
  TritSource source(file, tensor);
  if (format::is_ternary(tensor.type)) {
    auto matrix = format::TernaryMatrix::bind(tensor);
    if (!matrix) return in_context(file.source(), std::move(matrix.error()));
    source.matrix_ = *matrix;
    source.scale_ = matrix->scale();
    return source;
  }
  if (!float_type(tensor.type) || tensor.rank != 2) {
    return source.fault(ErrorCode::kUnsupported,
                        "expected a ternary matrix, or one of f32, f16 or bf16 that is ternary, "
                        "found rank " +
                            std::to_string(tensor.rank) + " of type " +
                            std::string(name(tensor.type)));
  }
  const std::string scale = scale_beside_name(tensor.name);
  if (file.tensor(scale) != nullptr) {
    return source.fault(ErrorCode::kUnsupported,
                        "the weights are floats, and " + format::in_quotes(scale) +
                            " beside them multiplies them once more; expected a ternary type");
  }
  TERN_TRY(source.find_magnitude());
  return source;
}

Result<void> TritSource::find_magnitude() {
  const SafetensorsType type = *float_type(tensor_->type);
  magnitude_ = first_magnitude(type, tensor_->data.data(), tensor_->elements());
  scale_ = magnitude_value(type, magnitude_);
  if (magnitude_ == 0) return fault(ErrorCode::kMalformed, "all weights are zero");
  if (!std::isfinite(scale_)) return fault(ErrorCode::kMalformed, "a weight is NaN or infinite");
  return {};
}

std::uint64_t TritSource::tile_rows(std::uint64_t step) const {
  return std::max<std::uint64_t>(1, kTileTrits / columns() / step) * step;
}

std::uint64_t TritSource::tiles(std::uint64_t step) const {
  return (rows() + tile_rows(step) - 1) / tile_rows(step);
}

std::pair<std::uint64_t, std::uint64_t> TritSource::tile(std::uint64_t index,
                                                         std::uint64_t step) const {
  const std::uint64_t first = index * tile_rows(step);
  return {first, std::min(tile_rows(step), rows() - first)};
}

Result<void> TritSource::read(std::uint64_t first, std::uint64_t count,
                              std::vector<std::int8_t>& trits) const {
  trits.resize(count * columns());
  if (!matrix_) return read_floats(first, count, trits.data());
  if (const auto at = matrix_->find_invalid(first, count)) {
    return fault(ErrorCode::kMalformed, "the code of element " + std::to_string(*at) +
                                            " means nothing: the bytes are not " +
                                            std::string(name(tensor_->type)) +
                                            " (another layout under the same type id, or damage)");
  }
  matrix_->decode_rows(first, count, trits.data());
  return {};
}

Result<void> TritSource::read_floats(std::uint64_t first, std::uint64_t count,
                                     std::int8_t* trits) const {
  const std::byte* from =
      tensor_->data.data() + first * format::row_bytes(tensor_->type, columns());
  if (trits_of(*float_type(tensor_->type), from, count * columns(), magnitude_, trits) == 0) {
    return {};
  }
  return fault(ErrorCode::kUnsupported,
               "expected the weights 0 and +-" + std::to_string(scale_) +
                   " alone, found others: the matrix is not ternary, or has more than one scale");
}

}  // namespace tern::convert
