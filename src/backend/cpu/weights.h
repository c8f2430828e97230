// Weights as the CPU tiers read them.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "backend/cpu/head_copy.h"
#include "backend/cpu/packed_cache.h"
#include "core/arena.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/tensor.h"
#include "kernels/packing.h"

namespace tern::backend {

// A ternary matrix in the kernels' tiles, packed once from the file's codes.
struct TernaryWeight {
  kernels::TernaryTiles tiles;  // in the arena
  std::uint64_t rows;
  std::uint64_t columns;
  std::optional<std::uint64_t> invalid;  // see Backend::invalid_element

  std::uint64_t packed_bytes() const { return kernels::packed_bytes(rows, columns, tiles.packing); }
  // Rows from `first` on, a multiple of kTileRows, to be read for that many tokens. The pattern is
  // that of one: several are read in the tier's own. What is best for one can be a third slower for
  // four, while none was found clearly faster for several than the tier's.
  kernels::TernaryTiles from(std::uint64_t first, std::size_t tokens) const;
};

// A float matrix in the file's own blocks, and its int8 copy where one was made.
struct MatrixWeight {
  format::Tensor tensor;
  std::optional<HeadCopy> copy = std::nullopt;
};

struct VectorWeight {
  std::vector<float> values;
};

using Weight = std::variant<TernaryWeight, MatrixWeight, VectorWeight>;

// Bytes that the functions below allocate for the tensor; 0 where they borrow its bytes.
std::uint64_t allocated_bytes(const format::Tensor& tensor, kernels::Packing packing);

// Errors: kUnsupported for another type or shape, kOutOfMemory.
Result<TernaryWeight> make_ternary_weight(const format::Tensor& tensor, kernels::Packing packing,
                                          Arena& arena, ThreadPool& pool,
                                          PackedCache* cache = nullptr);
Result<MatrixWeight> make_matrix_weight(const format::Tensor& tensor);
Result<VectorWeight> make_vector_weight(const format::Tensor& tensor);

// `count` rows of a matrix of which few are read, `first` and those behind it: where they lie in
// memory, or a copy in `room` of those of a file.
const std::byte* few_rows(const format::Tensor& matrix, std::size_t first, std::size_t count,
                          std::byte* room);

}  // namespace tern::backend
