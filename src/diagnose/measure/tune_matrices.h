// What tuning multiplies: matrices of random trits, many of one shape, and rows of activations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/tuning.h"
#include "backend/cpu/weights.h"
#include "core/arena.h"
#include "core/result.h"
#include "core/thread_pool.h"

namespace tern::diagnose {

std::string text_of(const backend::MatrixShape& shape);  // "640 x 2560"

// Quantised rows of random activations.
class Activations {
 public:
  Activations(std::uint64_t columns, std::size_t rows);
  kernels::QuantizedRows rows() const {
    return {values_.data(), stride_, scales_.data(), sums_.data()};
  }

 private:
  std::size_t stride_;
  std::vector<std::int8_t> values_;
  std::vector<float> scales_;
  std::vector<std::int32_t> sums_;
};

// Many equal matrices in one packing, side by side in memory as weights are, and each worker's rows
// in pages that it touched first.
class MatrixSet {
 public:
  // Errors: kOutOfMemory.
  static Result<MatrixSet> make(const backend::MatrixShape& shape, kernels::Packing packing,
                                std::uint64_t count, ThreadPool& pool);

  // Rows of a copy from `row` on, a multiple of kTileRows.
  kernels::TernaryTiles rows_from(std::uint64_t copy, std::uint64_t row,
                                  const kernels::ReadPattern& read) const;

 private:
  Arena memory_;
  backend::TernaryWeight first_{};
  std::vector<std::span<std::byte>> copies_;
};

}  // namespace tern::diagnose
