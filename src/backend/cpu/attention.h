// Attention on the CPU: which worker takes which queries, keys and values.
//
// Queries of one KV head read the same keys and values, so up to kCallQueries of them are taken at
// once. One row with more than a chunk of keys is divided by chunks: every worker leaves the state
// of each single chunk in the workspace, and then folds those of its own query heads, strictly in
// ascending order. Otherwise a worker has some rows and query heads to itself. No division changes
// a result.
#pragma once

#include "backend/backend.h"
#include "backend/cpu/workspace.h"
#include "core/thread_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

struct AttentionStep {
  const kernels::KernelTable& table;
  const Plan& plan;
  const Batch& batch;
  CpuWorkspace& workspace;
  const Slots& slots;  // as this worker sees them
  const Op& op;
};

// Every worker calls it. A row fails whose query has a NaN or an infinity that the type of the
// cache does not let pass.
void attend(const AttentionStep& step, ThreadPool::Worker& worker);

}  // namespace tern::backend
