#include "format/ternary_matrix.h"

#include <string>
#include <utility>

#include "core/float16.h"

namespace tern::format {
namespace {

TqLayout layout_of(TensorType type) {
  return type == TensorType::kTQ1_0 ? TqLayout::kTQ1_0 : TqLayout::kTQ2_0;
}

}  // namespace

bool is_ternary(TensorType type) {
  switch (type) {
    case TensorType::kI2_S:
    case TensorType::kTL1:
    case TensorType::kTL2:
    case TensorType::kTQ1_0:
    case TensorType::kTQ2_0:
    case TensorType::kIQ1_BN:
    case TensorType::kIQ2_BN: return true;
    default: return false;
  }
}

Result<TernaryMatrix::View> TernaryMatrix::bind_view(const Tensor& tensor) {
  const auto view = [](auto matrix) -> Result<View> {
    if (!matrix) return std::move(matrix.error());
    return View(*matrix);
  };
  const std::uint64_t rows = tensor.rows();
  const std::uint64_t columns = tensor.columns();
  switch (tensor.type) {
    case TensorType::kI2_S: return view(I2sMatrix::bind(tensor.data, rows, columns));
    case TensorType::kTL1:
      return view(TlMatrix::bind(TlLayout::kTl1, tensor.data, rows, columns, tensor.tiling));
    case TensorType::kTL2:
      return view(TlMatrix::bind(TlLayout::kTl2, tensor.data, rows, columns, tensor.tiling));
    case TensorType::kIQ1_BN:
      return view(IqBnMatrix::bind(IqBnLayout::kIq1Bn, tensor.data, rows, columns));
    case TensorType::kIQ2_BN:
      return view(IqBnMatrix::bind(IqBnLayout::kIq2Bn, tensor.data, rows, columns));
    default: return view(TqMatrix::bind(layout_of(tensor.type), tensor.data, rows, columns));
  }
}

Result<TernaryMatrix> TernaryMatrix::bind(const Tensor& tensor) {
  if (!is_ternary(tensor.type) || tensor.rank != 2) {
    return Error{ErrorCode::kUnsupported,
                 "expected a matrix of a ternary type (i2_s, tl1, tl2, tq1_0, tq2_0, iq1_bn, "
                 "iq2_bn), found rank " +
                     std::to_string(tensor.rank) + " of type " + std::string(name(tensor.type)),
                 tensor.name};
  }
  auto view = bind_view(tensor);
  if (!view) return in_context(tensor.name, std::move(view.error()));
  float scale = std::visit([](const auto& matrix) { return matrix.scale(); }, *view);
  if (tensor.scale_beside) {
    if (scale != 1.0f) {
      return Error{ErrorCode::kUnsupported,
                   "the matrix carries the scale " + std::to_string(scale) +
                       ", and a second one stands beside it, in " +
                       tensor.name.substr(0, tensor.name.rfind('.')) +
                       ".scale: which of them counts is ambiguous unless its own is 1; convert the "
                       "model again",
                   tensor.name};
    }
    scale = *tensor.scale_beside;
  }
  return TernaryMatrix(tensor.type, *view, scale);
}

std::uint64_t TernaryMatrix::rows() const {
  return std::visit([](const auto& view) { return view.rows(); }, view_);
}

std::uint64_t TernaryMatrix::columns() const {
  return std::visit([](const auto& view) { return view.columns(); }, view_);
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
