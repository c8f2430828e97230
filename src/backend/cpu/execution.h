// One submit on the CPU: every worker of the team calls run() and walks the operations.
#pragma once

#include <atomic>
#include <deque>

#include "backend/backend.h"
#include "backend/cpu/weights.h"
#include "backend/cpu/workspace.h"
#include "core/thread_pool.h"

namespace tern::backend {

class Execution {
 public:
  Execution(const kernels::KernelTable& table, const std::deque<Weight>& weights, const Plan& plan,
            const Batch& batch, CpuWorkspace& workspace)
      : table_(table), weights_(weights), plan_(plan), batch_(batch), workspace_(workspace) {}

  void run(ThreadPool::Worker& worker);

  // Once all workers have returned: brings the answers to the queries together; kNumeric for the
  // first operation and row that failed.
  Result<void> outcome();

 private:
  void run_on_rows(const Op& op, const Slice& rows);
  void run_on_row(const Op& op, std::size_t row);
  void embed(const Op& op, std::size_t row);
  void rotate(const Op& op, std::size_t row);
  void store_kv(const Op& op, const Slice& rows, std::uint32_t worker);
  bool is_column_local(const Op& op) const;
  bool is_row_local(const Op& op) const;
  bool needs_barrier(const Op& previous, const Op& next) const;
  Slice columns_of(std::size_t width, const ThreadPool::Worker& worker) const;
  void run_on_values(const Op& op, std::size_t row, const Slice& columns);
  void linear(const Op& op, ThreadPool::Worker& worker);
  void all_logits(const Op& op, const ThreadPool::Worker& worker);
  void largest_logits(const Op& op, ThreadPool::Worker& worker);
  void fill_rope_table(const Slice& rows);
  void fail(const Op& op, std::size_t row);

  static constexpr std::uint64_t kNoFailure = ~0ull;

  const kernels::KernelTable& table_;
  const std::deque<Weight>& weights_;
  const Plan& plan_;
  const Batch& batch_;
  CpuWorkspace& workspace_;
  // Index of the operation and of the row: the least one wins, whichever worker met it.
  std::atomic<std::uint64_t> failure_{kNoFailure};
};

}  // namespace tern::backend
