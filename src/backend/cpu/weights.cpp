#include "backend/cpu/weights.h"

#include <cstring>

#include "format/float_blocks.h"
#include "format/ternary/i2_s.h"

namespace tern::backend {
namespace {

using kernels::kBlockBytes;
using kernels::kBlockValues;

// |acc| <= 127 * columns stays exact in f32 below this.
constexpr std::uint64_t kMaxColumns = (1u << 24) / 127;

Error unsupported(const format::Tensor& tensor, std::string message) {
  return Error{ErrorCode::kUnsupported, std::move(message), tensor.name};
}

// Rows of I2_S bytes as padded rows of blocks.
Result<AlignedBuffer> repack(const format::I2sMatrix& matrix, std::size_t blocks) {
  const std::size_t row_bytes = blocks * kBlockBytes;
  TERN_ASSIGN(AlignedBuffer codes,
              AlignedBuffer::allocate(matrix.rows() * row_bytes, "repacked ternary weights"));
  std::vector<std::int8_t> trits(blocks * kBlockValues, 0);
  for (std::uint64_t r = 0; r < matrix.rows(); ++r) {
    matrix.decode_rows(r, 1, trits.data());
    auto* row = codes.as<std::uint8_t>(r * row_bytes);
    for (std::size_t c = 0; c < trits.size(); ++c) {
      const std::size_t within = c % kBlockValues;
      const auto code = static_cast<unsigned>(trits[c] + 1);
      row[c / kBlockValues * kBlockBytes + within % kBlockBytes] |=
          static_cast<std::uint8_t>(code << (6 - 2 * (within / kBlockBytes)));
    }
  }
  return codes;
}

}  // namespace

kernels::TernaryRows TernaryWeight::from(std::uint64_t first) const {
  kernels::TernaryRows part = rows;
  part.codes += first * rows.row_bytes;
  return part;
}

std::uint64_t allocated_bytes(const format::Tensor& tensor) {
  if (tensor.type == format::TensorType::kI2_S) {
    if (tensor.columns() % kBlockValues == 0) return 0;
    return tensor.rows() * ((tensor.columns() + kBlockValues - 1) / kBlockValues) * kBlockBytes;
  }
  return tensor.rank == 1 ? tensor.elements() * sizeof(float) : 0;
}

Result<TernaryWeight> make_ternary_weight(const format::Tensor& tensor) {
  if (tensor.type != format::TensorType::kI2_S || tensor.rank != 2) {
    return unsupported(tensor, "expected a matrix of type i2_s, found rank " +
                                   std::to_string(tensor.rank) + " of type " +
                                   std::string(name(tensor.type)));
  }
  if (tensor.columns() > kMaxColumns) {
    return unsupported(tensor, "expected at most " + std::to_string(kMaxColumns) +
                                   " columns (sums stay exact), found " +
                                   std::to_string(tensor.columns()));
  }
  TERN_ASSIGN(const format::I2sMatrix matrix,
              format::I2sMatrix::bind(tensor.data, tensor.rows(), tensor.columns()));
  const std::size_t blocks = (tensor.columns() + kBlockValues - 1) / kBlockValues;
  TernaryWeight weight{
      {nullptr, blocks * kBlockBytes, blocks, matrix.scale()}, tensor.rows(), tensor.columns(), {}};
  if (tensor.columns() % kBlockValues == 0) {
    weight.rows.codes = reinterpret_cast<const std::uint8_t*>(tensor.data.data());
  } else {
    TERN_ASSIGN(weight.repacked, repack(matrix, blocks));
    weight.rows.codes = weight.repacked.as<std::uint8_t>();
  }
  return weight;
}

Result<MatrixWeight> make_matrix_weight(const format::Tensor& tensor) {
  if (tensor.type == format::TensorType::kI2_S) {
    return unsupported(tensor, "expected a float matrix, found i2_s");
  }
  return MatrixWeight{tensor};
}

Result<VectorWeight> make_vector_weight(const format::Tensor& tensor) {
  if (tensor.rank != 1 || tensor.type == format::TensorType::kI2_S) {
    return unsupported(tensor, "expected a float vector, found rank " +
                                   std::to_string(tensor.rank) + " of type " +
                                   std::string(name(tensor.type)));
  }
  VectorWeight weight{std::vector<float>(tensor.elements())};
  format::dequantize_row(tensor.type, tensor.data.data(), weight.values.size(),
                         weight.values.data());
  return weight;
}

}  // namespace tern::backend
