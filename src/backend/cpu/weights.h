// Weights as the CPU tiers read them.
#pragma once

#include <variant>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/result.h"
#include "format/tensor.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

// A ternary matrix as rows of whole 128-blocks. Where the columns are a multiple of 128, an I2_S
// file already has that layout and its bytes are borrowed; else the rows are repacked with padding.
struct TernaryWeight {
  kernels::TernaryRows rows;
  std::uint64_t row_count;
  std::uint64_t columns;
  AlignedBuffer repacked;  // empty where the file's bytes are borrowed

  // Rows from `first` on.
  kernels::TernaryRows from(std::uint64_t first) const;
};

// A float matrix in the file's own blocks.
struct MatrixWeight {
  format::Tensor tensor;
};

struct VectorWeight {
  std::vector<float> values;
};

using Weight = std::variant<TernaryWeight, MatrixWeight, VectorWeight>;

// Bytes that the functions below allocate for the tensor.
std::uint64_t allocated_bytes(const format::Tensor& tensor);

// Errors: kUnsupported for another type or shape, kOutOfMemory.
Result<TernaryWeight> make_ternary_weight(const format::Tensor& tensor);
Result<MatrixWeight> make_matrix_weight(const format::Tensor& tensor);
Result<VectorWeight> make_vector_weight(const format::Tensor& tensor);

}  // namespace tern::backend
