// The rows of a head: exact logits, and the search for the largest without computing them all.
//
// A search bounds every logit by a scan of the int8 copy, takes as threshold the count-th largest
// of the lower bounds, and computes exactly what may reach it (docs/numbers.md, "Certified head").
// Where there is no copy, every row may. Searches for several rows of a batch share a scan by their
// high digits; the low ones follow where they may matter.
//
// Where a draw perturbs the logits, so are the bounds: what is said of logits holds of the
// perturbed ones. A variate takes two logarithms and its bound none, so variates are left to the
// rows that may be among the largest.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/weights.h"
#include "backend/cpu/workspace.h"
#include "core/thread_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

// y[r] = exact logit of row r of `count` rows of a head, CpuWorkspace::kScratchRows at most.
// `scratch` has room for so many dequantised rows.
void exact_rows(const kernels::KernelTable& table, const format::Tensor& head,
                const std::byte* rows, std::size_t count, const float* x, float* scratch, float* y);

// Where queries are answered.
struct HeadStep {
  const kernels::KernelTable& table;
  const MatrixWeight& matrix;
  const Slots& slots;  // as this worker sees them
  SlotId in;
  std::span<TopQuery> queries;  // of the batch
  CpuWorkspace& workspace;
};

// Cores do not read memory equally fast: some rows are left to the worker that is free, a piece at
// a time; and so are a worker's own rows bounded, whose values of all queries stay in the second
// cache.
inline constexpr std::size_t kPieceRows = 512;
static_assert(kPieceRows % kernels::kTileRows == 0);

// `count` queries from `first` on, CpuWorkspace::kHeadQueries at most, by all workers of a team:
// each calls bound() and reads rows of the copy once for all queries, most of them its own and the
// last ones whoever is free; when all have, each calls choose(); when all have, each calls
// compute() of each query.
class HeadSearch {
 public:
  HeadSearch(const HeadStep& step, std::size_t first, std::size_t count)
      : step_(step), first_(first), count_(count) {}

  void bound(const ThreadPool::Worker& worker);
  void choose(const ThreadPool::Worker& worker);
  // Of query first + i. False where a logit is a NaN or an infinity.
  bool compute(std::size_t i, const ThreadPool::Worker& worker);

  // Brings the candidates of all workers together, once all have computed.
  static void gather(std::span<TopQuery> queries, CpuWorkspace& workspace);

 private:
  static std::uint32_t most_tokens(std::span<const TopQuery> queries);
  static Slice rows_of(std::span<const TopQuery> queries, std::uint32_t worker,
                       std::uint32_t workers);
  static Slice rows_of(const Slice& shared, const TopQuery& query);
  TopQuery& query(std::size_t i) const { return step_.queries[first_ + i]; }
  const float* x(std::size_t i) { return step_.slots.row(step_.in, query(i).row); }
  void prepare(std::uint32_t worker);
  void bound_variates(const Slice& shared);
  std::size_t at_hand(std::size_t row) const { return row - first_at_hand_; }
  void bound_rows(const Slice& shared, std::uint32_t worker);
  bool scan(const Slice& shared, std::uint32_t worker);
  bool any_reaches(std::size_t i, const Slice& rows, float least) const;
  float perturb_rows(std::size_t i, const Slice& rows, float* lower, float* upper) const;
  void always_reaches(std::size_t i, std::size_t row);
  void bound_query(std::size_t i, const Slice& rows, bool finished, std::uint32_t worker);
  float least(std::size_t i, std::uint32_t worker);
  const std::byte* weights_of(std::size_t row, std::size_t count, std::uint32_t worker);
  kernels::DigitRows digits(std::uint32_t worker) {
    return {step_.workspace.head_digits(worker), scales_, count_};
  }

  HeadStep step_;
  std::size_t first_;
  std::size_t count_;
  ScanQuery scans_[CpuWorkspace::kHeadQueries] = {};
  kernels::DigitScale scales_[CpuWorkspace::kHeadQueries];
  // Of the rows at hand, from the first one on: what was scanned, upper bounds of the logits, and,
  // of each query that draws, gumbel_bound(). Near until what matters of them is known, which is
  // little: the workspace would go through memory.
  std::size_t first_at_hand_ = 0;
  alignas(64) float scanned_[CpuWorkspace::kHeadQueries][kPieceRows];
  alignas(64) float upper_[CpuWorkspace::kHeadQueries][kPieceRows];
  float variate_bounds_[CpuWorkspace::kHeadQueries][kPieceRows];
};

}  // namespace tern::backend
