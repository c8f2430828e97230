// Which worker multiplies which rows of a matrix, for a step of many tokens.
//
// Every worker has an equal part of a matrix, in pieces, and who is done takes some that others
// have left: cores do not get all of the machine's time. No division changes a result.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "backend/cpu/open_calls.h"
#include "backend/plan.h"
#include "core/thread_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

class LinearDivision {
 public:
  // Rows that the kernels take in turn, and those of a piece: so many that a call pays.
  static constexpr std::size_t kGrain = 4 * kernels::kTileRows;
  static constexpr std::size_t kPieceRows = 4 * kGrain;

  LinearDivision() = default;
  LinearDivision(const Plan& plan, std::uint32_t workers);
  static std::uint64_t bytes(const Plan& plan, std::uint32_t workers);

  // All rows of all matrices, while no worker takes any.
  void open();

  // Calls `function` with slices of the rows of an operation's matrix until none are left. Of those
  // that another worker has left, the last piece stays with it.
  template <typename Function>
  void for_rows(std::size_t op, const ThreadPool::Worker& worker, const Function& function) {
    const std::uint32_t matrix = matrix_of_[op];
    const std::uint32_t own = worker.index();
    while (const auto piece = pieces(matrix, own).take_first()) {
      function(rows_of(matrix, own, {*piece, *piece + 1}));
    }
    for (std::uint32_t i = 1; i < workers_; ++i) {
      const std::uint32_t other = (own + i) % workers_;
      while (const auto taken = pieces(matrix, other).take_last()) {
        function(rows_of(matrix, other, *taken));
      }
    }
  }

 private:
  OpenCalls& pieces(std::uint32_t matrix, std::uint32_t worker) {
    return open_[std::size_t{matrix} * workers_ + worker];
  }
  // Of a worker's part.
  Slice rows_of(std::uint32_t matrix, std::uint32_t worker, Slice pieces) const;

  std::uint32_t workers_ = 0;
  std::vector<std::uint32_t> matrix_of_;  // by operation, of those that have one
  std::vector<std::size_t> rows_;         // by matrix
  std::vector<OpenCalls> open_;           // by matrix and worker
};

}  // namespace tern::backend
