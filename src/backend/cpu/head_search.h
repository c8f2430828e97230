// The rows of a head: exact logits, and the search for the largest without computing them all.
//
// A search bounds every logit by a scan of the int8 copy, takes as threshold the count-th largest
// of the lower bounds, and computes exactly what may reach it (docs/numbers.md, "Certified head").
// Where there is no copy, every row may.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/weights.h"
#include "backend/cpu/workspace.h"
#include "core/thread_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

// y[r] = exact logit of row first + r for `count` rows. `scratch` has room for
// CpuWorkspace::kScratchRows rows of weights.
void exact_rows(const kernels::KernelTable& table, const format::Tensor& matrix, std::size_t first,
                std::size_t count, const float* x, float* scratch, float* y);

// One query, by all workers of a team: each calls bound() on its own rows; when all have, one calls
// choose(); then each calls compute().
class HeadSearch {
 public:
  HeadSearch(const kernels::KernelTable& table, const MatrixWeight& matrix, const float* x,
             std::size_t index, TopQuery& query, CpuWorkspace& workspace)
      : table_(table),
        matrix_(matrix),
        x_(x),
        index_(index),
        query_(query),
        workspace_(workspace) {}

  void bound(const ThreadPool::Worker& worker);
  void choose();
  // False where a logit is a NaN or an infinity.
  bool compute(const ThreadPool::Worker& worker);

  // Brings the candidates of all workers together, once all have computed.
  static void gather(std::size_t index, std::uint32_t workers, TopQuery& query,
                     CpuWorkspace& workspace);

 private:
  static Slice rows_of(const TopQuery& query, std::uint32_t worker, std::uint32_t workers);
  void scan(const Slice& rows, std::uint32_t worker, float* bounds, float* largest);

  const kernels::KernelTable& table_;
  const MatrixWeight& matrix_;
  const float* x_;
  std::size_t index_;
  TopQuery& query_;
  CpuWorkspace& workspace_;
};

}  // namespace tern::backend
