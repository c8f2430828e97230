// The second half of GgufParser: the tensor entries and the layout of the data they point to.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "format/float_blocks.h"
#include "format/gguf/gguf_errors.h"
#include "format/gguf/gguf_parser.h"
#include "format/gguf/gguf_text.h"
#include "format/ternary/i2_s.h"

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
  return unsupported(at,
                     "the tensor type {} ({}) is not implemented; expected f32, f16, bf16, q4_0, "
                     "q8_0, q6_k, i2_s, tq1_0 or tq2_0",
                     foreign, id);
}

Result<std::uint64_t> GgufParser::tensor_bytes(const Tensor& tensor) const {
  const std::uint64_t at = reader_.offset() - sizeof(std::uint32_t);  // the type decides the size
  if (tensor.type == TensorType::kI2_S) {
    if (tensor.rank != 2) {
      return malformed(at, "expected a matrix (rank 2) of i2_s, found rank {}", tensor.rank);
    }
    if (tensor.elements() % kI2sBlockElements != 0) {
      return malformed(at, "expected a multiple of {} i2_s elements, found {} x {}",
                       kI2sBlockElements, tensor.rows(), tensor.columns());
    }
    return i2_s_bytes(tensor.elements());
  }
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
  return check_overlaps();
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
  }
  return {};
}

}  // namespace tern::format
