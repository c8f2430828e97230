// The second half of GgufParser: the tensor entries and the layout of the data they point to.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "format/float_blocks.h"
#include "format/gguf/gguf_errors.h"
#include "format/gguf/gguf_parser.h"
#include "format/gguf/gguf_text.h"
#include "format/ternary/i2_s.h"
#include "format/ternary/iq_bn.h"
#include "format/ternary/tl.h"
#include "format/ternary_matrix.h"

namespace tern::format {

// Sets `name` as soon as it is known to be presentable, so that an error can name it.
Result<void> GgufParser::parse_tensor(std::string_view& name) {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(name, parse_tensor_name());
  if (!file_.tensor_index_.emplace(name, file_.tensors_.size()).second) {
    return malformed(at, "the tensor occurs twice; expected each name once");
  }
  Tensor tensor;
  tensor.name = name;
  TERN_TRY(parse_shape(tensor));
  TERN_ASSIGN(tensor.type, parse_tensor_type());
  Placement placement;
  TERN_ASSIGN(placement.bytes, tensor_bytes(tensor));
  TERN_ASSIGN(placement.offset, parse_tensor_offset());
  file_.tensors_.push_back(std::move(tensor));
  placements_.push_back(placement);
  return {};
}

Result<std::string_view> GgufParser::parse_tensor_name() {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const auto length, reader_.read<std::uint64_t>("a tensor name's length"));
  if (length == 0) return malformed(at, "the tensor name is empty");
  if (length > kGgufMaxTensorNameBytes) {
    return malformed(at, "expected a tensor name of at most {} bytes, found {}",
                     kGgufMaxTensorNameBytes, length);
  }
  TERN_ASSIGN(const auto bytes, reader_.take(length, "a tensor name's text"));
  if (!is_utf8(text_of(bytes))) {
    return malformed(at, "the tensor name {} is not valid UTF-8", in_quotes(text_of(bytes)));
  }
  return text_of(bytes);
}

Result<void> GgufParser::parse_shape(Tensor& tensor) {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(tensor.rank, reader_.read<std::uint32_t>("the rank"));
  if (tensor.rank < 1 || tensor.rank > tensor.shape.size()) {
    return malformed(at, "expected a rank of 1 to {}, found {}", tensor.shape.size(), tensor.rank);
  }
  std::uint64_t elements = 1;
  for (std::uint32_t i = 0; i < tensor.rank; ++i) {
    TERN_ASSIGN(tensor.shape[i], reader_.read<std::uint64_t>("the shape"));
    if (tensor.shape[i] == 0) {
      return malformed(at, "expected a positive size of dimension {}, found 0", i);
    }
    if (__builtin_mul_overflow(elements, tensor.shape[i], &elements)) {
      return malformed(at, "the number of elements does not fit into 64 bits (dimension {} is {})",
                       i, tensor.shape[i]);
    }
  }
  return {};
}

Result<TensorType> GgufParser::parse_tensor_type() {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const auto id, reader_.read<std::uint32_t>("the tensor type"));
  if (const auto type = tensor_type(id)) return *type;
  const std::string_view foreign = foreign_tensor_type(id);
  if (foreign.empty()) return unsupported(at, "the tensor type {} is unknown to Tern", id);
  return unsupported(
      at,
      "the tensor type {} ({}) is not implemented; expected f32, f16, bf16, q4_0, "
      "q8_0, q6_k, i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn or iq2_bn; convert the model again to "
      "one of these (of iq2_bn_r4, its iq2_bn before it was repacked)",
      foreign, id);
}

// Of a type whose scale is no block's.
Result<std::uint64_t> GgufParser::whole_matrix_bytes(const Tensor& tensor) const {
  const std::uint64_t at = reader_.offset() - sizeof(std::uint32_t);
  const std::string_view type = name(tensor.type);
  if (tensor.rank != 2) {
    return malformed(at, "expected a matrix (rank 2) of {}, found rank {}", type, tensor.rank);
  }
  if (tensor.type == TensorType::kI2_S) {
    if (tensor.elements() % kI2sBlockElements != 0) {
      return malformed(at, "expected a multiple of {} i2_s elements, found {} x {}",
                       kI2sBlockElements, tensor.rows(), tensor.columns());
    }
    return i2_s_bytes(tensor.elements());
  }
  if (tensor.type == TensorType::kTL1 || tensor.type == TensorType::kTL2) {
    const TlLayout layout = tensor.type == TensorType::kTL1 ? TlLayout::kTl1 : TlLayout::kTl2;
    const auto fits = check_tl_shape(layout, tensor.rows(), tensor.columns());
    if (!fits) return malformed(at, "{}", fits.error().message);
    return tl_bytes(layout, tensor.rows(), tensor.columns());
  }
  if (tensor.columns() % kIqBnBlockElements != 0) {
    return malformed(at, "expected rows of a multiple of {} elements for {}, found {}",
                     kIqBnBlockElements, type, tensor.columns());
  }
  const IqBnLayout layout =
      tensor.type == TensorType::kIQ1_BN ? IqBnLayout::kIq1Bn : IqBnLayout::kIq2Bn;
  return tensor.rows() * iq_bn_row_bytes(layout, tensor.columns());  // less than its elements
}

Result<std::uint64_t> GgufParser::tensor_bytes(const Tensor& tensor) const {
  const std::uint64_t at = reader_.offset() - sizeof(std::uint32_t);  // the type decides the size
  if (block_elements(tensor.type) == 0) return whole_matrix_bytes(tensor);
  const std::uint64_t block = block_elements(tensor.type);
  if (tensor.columns() % block != 0) {
    return malformed(at, "expected rows of a multiple of {} elements for {}, found {}", block,
                     name(tensor.type), tensor.columns());
  }
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(tensor.elements() / block, block_bytes(tensor.type), &bytes)) {
    return malformed(at, "the size of {} elements of {} does not fit into 64 bits",
                     tensor.elements(), name(tensor.type));
  }
  return bytes;
}

Result<std::uint64_t> GgufParser::parse_tensor_offset() {
  const std::uint64_t at = reader_.offset();
  TERN_ASSIGN(const auto offset, reader_.read<std::uint64_t>("the data offset"));
  if (offset % file_.alignment_ != 0) {
    return malformed(at, "expected a data offset that is a multiple of {}, found {}",
                     file_.alignment_, offset);
  }
  return offset;
}

Result<void> GgufParser::place_tensors() {
  const std::uint64_t ragged = reader_.offset() % file_.alignment_;
  const std::uint64_t padding = ragged == 0 ? 0 : file_.alignment_ - ragged;
  const std::uint64_t start = reader_.offset() + padding;
  const std::uint64_t size = reader_.remaining() - std::min(padding, reader_.remaining());
  for (std::size_t i = 0; i < placements_.size(); ++i) {
    Tensor& tensor = file_.tensors_[i];
    const auto [offset, bytes] = placements_[i];
    const std::string where = fmt::format("tensor {}", in_quotes(tensor.name));
    if (offset > size) {
      return in_context(where, malformed(start,
                                         "the data section has {} bytes, but the tensor "
                                         "starts at {} of it; the file is cut or damaged",
                                         size, offset));
    }
    if (bytes > size - offset) {
      return in_context(where, malformed(start,
                                         "the data section has {} bytes, but the tensor's {} "
                                         "bytes from {} of it end behind it; the file is cut",
                                         size, bytes, offset));
    }
    tensor.data = file_.bytes_.subspan(start + offset, bytes);
  }
  TERN_TRY(check_overlaps());
  return attach_scales();
}

Result<void> GgufParser::check_overlaps() const {
  std::vector<std::size_t> order(placements_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return placements_[i].offset; });
  for (std::size_t k = 1; k < order.size(); ++k) {
    const Placement& before = placements_[order[k - 1]];
    const Placement& here = placements_[order[k]];
    if (before.offset + before.bytes > here.offset) {
      return in_context(fmt::format("tensor {}", in_quotes(file_.tensors_[order[k]].name)),
                        malformed(reader_.offset(),
                                  "the data overlaps that of tensor {}: it starts at {} of the "
                                  "data section, the other ends at {}",
                                  in_quotes(file_.tensors_[order[k - 1]].name), here.offset,
                                  before.offset + before.bytes));
    }
    TERN_TRY(check_gap(order[k - 1], here.offset));
  }
  return {};
}

// The ids of tl1 and tl2 have other meanings elsewhere, with more bytes a value: they would leave a
// gap before the next tensor.
Result<void> GgufParser::check_gap(std::size_t index, std::uint64_t next) const {
  const Tensor& tensor = file_.tensors_[index];
  if (tensor.type != TensorType::kTL1 && tensor.type != TensorType::kTL2) return {};
  const std::uint64_t end = placements_[index].offset + placements_[index].bytes;
  if (next - end < file_.alignment_) return {};
  return in_context(
      fmt::format("tensor {}", in_quotes(tensor.name)),
      malformed(reader_.offset(),
                "the data of {} ends at {} of the data section, and the next tensor starts at {}: "
                "the type id {} means another type in this file (39 is mxfp4 in llama.cpp)",
                name(tensor.type), end, next, static_cast<std::uint32_t>(tensor.type)));
}

// NAME.scale multiplies the ternary NAME.weight.
Result<void> GgufParser::attach_scales() {
  constexpr std::string_view kWeight = ".weight";
  for (Tensor& tensor : file_.tensors_) {
    if (!is_ternary(tensor.type) || !tensor.name.ends_with(kWeight)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kWeight.size()) + ".scale";
    const Tensor* beside = file_.tensor(name);
    if (beside == nullptr) continue;
    float scale = 0.0f;
    if (beside->type != TensorType::kF32 || beside->elements() != 1) {
      return Error{
          ErrorCode::kUnsupported,
          fmt::format("expected one f32, the scale of {}, found {} of {}", in_quotes(tensor.name),
                      beside->elements(), format::name(beside->type)),
          fmt::format("tensor {}", in_quotes(name))};
    }
    std::memcpy(&scale, beside->data.data(), sizeof scale);
    if (!std::isfinite(scale) || scale < 0) {
      return Error{ErrorCode::kMalformed,
                   fmt::format("expected a finite scale of at least 0, found {}", scale),
                   fmt::format("tensor {}", in_quotes(name))};
    }
    tensor.scale_beside = scale;
  }
  return {};
}

}  // namespace tern::format
