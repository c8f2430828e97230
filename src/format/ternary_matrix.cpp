#include "format/ternary_matrix.h"

#include <string>
#include <utility>

#include "core/float16.h"

namespace tern::format {
namespace {

TqLayout layout_of(TensorType type) {
  return type == TensorType::kTQ1_0 ? TqLayout::kTq1_0 : TqLayout::kTq2_0;
}

}  // namespace

bool is_ternary(TensorType type) {
  return type == TensorType::kI2_S || type == TensorType::kTQ1_0 || type == TensorType::kTQ2_0;
}

Result<TernaryMatrix> TernaryMatrix::bind(const Tensor& tensor) {
  if (!is_ternary(tensor.type) || tensor.rank != 2) {
    return Error{ErrorCode::kUnsupported,
                 "expected a matrix of type i2_s, tq1_0 or tq2_0, found rank " +
                     std::to_string(tensor.rank) + " of type " + std::string(name(tensor.type)),
                 tensor.name};
  }
  if (tensor.type == TensorType::kI2_S) {
    auto matrix = I2sMatrix::bind(tensor.data, tensor.rows(), tensor.columns());
    if (!matrix) return in_context(tensor.name, std::move(matrix.error()));
    return TernaryMatrix(tensor.type, *matrix);
  }
  auto matrix =
      TqMatrix::bind(layout_of(tensor.type), tensor.data, tensor.rows(), tensor.columns());
  if (!matrix) return in_context(tensor.name, std::move(matrix.error()));
  return TernaryMatrix(tensor.type, *matrix);
}

std::uint64_t TernaryMatrix::rows() const {
  return std::visit([](const auto& view) { return view.rows(); }, view_);
}

std::uint64_t TernaryMatrix::columns() const {
  return std::visit([](const auto& view) { return view.columns(); }, view_);
}

float TernaryMatrix::scale() const {
  return std::visit([](const auto& view) { return view.scale(); }, view_);
}

void TernaryMatrix::decode_rows(std::uint64_t first, std::uint64_t count,
                                std::int8_t* trits) const {
  std::visit([&](const auto& view) { view.decode_rows(first, count, trits); }, view_);
}

std::array<std::uint64_t, 4> TernaryMatrix::count_codes(std::uint64_t first,
                                                        std::uint64_t count) const {
  return std::visit([&](const auto& view) { return view.count_codes(first, count); }, view_);
}

std::optional<std::uint64_t> TernaryMatrix::find_invalid(std::uint64_t first,
                                                         std::uint64_t count) const {
  return std::visit([&](const auto& view) { return view.find_invalid(first, count); }, view_);
}

void encode_trits(TensorType type, const std::int8_t* trits, std::uint64_t count, float scale,
                  std::vector<std::byte>& out) {
  const std::size_t start = out.size();
  if (type == TensorType::kI2_S) {
    const std::uint64_t blocks = count / kI2sBlockElements;
    out.resize(start + blocks * kI2sBlockBytes);
    encode_i2_s_blocks(trits, blocks, out.data() + start);
    return;
  }
  const std::uint64_t blocks = count / kTqBlockElements;
  out.resize(start + blocks * tq_block_bytes(layout_of(type)));
  encode_tq_blocks(layout_of(type), trits, blocks, f32_to_f16(scale), out.data() + start);
}

void end_trits(TensorType type, float scale, std::vector<std::byte>& out) {
  if (type != TensorType::kI2_S) return;
  const auto tail = i2_s_tail(scale);
  out.insert(out.end(), tail.begin(), tail.end());
}

}  // namespace tern::format
