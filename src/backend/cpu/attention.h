// Attention on the CPU: the sections of a division (attention_division.h), each on its worker.
//
// Up to kCallQueries queries of a KV head are taken over the same keys and values at once. Where
// several workers share a unit, those but the first keep the state of each single chunk, as does
// whoever takes calls of another; once all are there they are folded, strictly in ascending order.
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
