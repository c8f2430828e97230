// One submit on the CPU: every worker of the team calls run() and walks the operations.
#pragma once

#include <deque>
#include <span>

#include "backend/backend.h"
#include "backend/cpu/weights.h"
#include "backend/cpu/workspace.h"
#include "core/thread_pool.h"

namespace tern::backend {

class Execution {
 public:
  Execution(const kernels::KernelTable& table, const std::deque<Weight>& weights, const Plan& plan,
            const Batch& batch, CpuWorkspace& workspace)
      : table_(table), weights_(weights), plan_(plan), batch_(batch), workspace_(workspace) {
    workspace_.forget_failures();
    if (shares_rows()) workspace_.linears().open();
    workspace_.attention().divide(plan, batch.rows, workspace.threads(), workspace.kept_states());
  }

  void run(ThreadPool::Worker& worker);

  // Once all workers have returned: brings the answers to the queries together; what failed goes to
  // the batch's failures or, the first of it, is the error.
  Result<void> outcome();

 private:
  // Rows of a batch, where a worker sees them.
  struct Part {
    const Slots& slots;
    Slice rows;
    ThreadPool::Worker& worker;
  };
  // Whether workers take rows of matrices from each other: not of few tokens, which read memory in
  // long runs, nor where look-up tables are made for each call.
  bool shares_rows() const {
    constexpr std::size_t kLeastTokens = 16;
    const std::size_t tokens = batch_.rows.size();
    return tokens >= kLeastTokens && (table_.lut_tokens == 0 || tokens < table_.lut_tokens);
  }
  void run_divided(const Op& op, const Part& part);
  void run_on_rows(std::span<const Op> ops, const Part& part);
  void run_on_row(const Op& op, const Part& part, std::size_t row);
  void embed(const Op& op, const Part& part, std::size_t row);
  void norm(const Op& op, const Slots& slots, std::size_t row);
  void rotate(const Op& op, const Slots& slots, std::size_t row);
  void store_kv(const Op& op, const Part& part, std::size_t row);
  void linear(const Op& op, const Part& part);
  void all_logits(const Op& op, const Part& part);
  void largest_logits(const Op& op, const Part& part);
  void hidden_states(const Op& op, const Part& part);
  void fill_rope_table(const Part& part);
  void fail(const Op& op, std::size_t row) { workspace_.fail(op, plan_, row); }
  Error error_of(const Op& op, std::size_t row) const;
  bool one_row() const { return batch_.rows.size() == 1; }

  const kernels::KernelTable& table_;
  const std::deque<Weight>& weights_;
  const Plan& plan_;
  const Batch& batch_;
  CpuWorkspace& workspace_;
};

}  // namespace tern::backend
