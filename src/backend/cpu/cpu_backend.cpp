#include "backend/cpu/cpu_backend.h"

#include <algorithm>

#include "backend/cpu/execution.h"
#include "backend/cpu/kv_pool.h"
#include "backend/cpu/workspace.h"
#include "core/fp_env.h"
#include "format/ternary_matrix.h"
#include "kernels/packing.h"

namespace tern::backend {
namespace {

KvShape kv_shape(const Plan& plan, format::KvType type) {
  return {plan.layers, plan.kv_heads, plan.head_dim, type};
}

// Of a hidden state; 0 for a plan without a head.
std::uint32_t head_width(const Plan& plan) {
  const auto head = std::find_if(plan.ops.begin(), plan.ops.end(),
                                 [](const Op& op) { return op.code == OpCode::kHead; });
  return head == plan.ops.end() ? 0 : plan.slots[head->in].width;
}

Result<void> check(const Plan& plan, const Batch& batch, const CpuWorkspace& workspace) {
  const auto refused = [](std::string message) {
    return Error{ErrorCode::kUsage, std::move(message), "largest logits"};
  };
  const auto is_row = [&](std::uint32_t row) { return row < batch.rows.size(); };
  if (batch.rows.empty() || batch.rows.size() > workspace.rows() ||
      (!batch.failures.empty() && batch.failures.size() != batch.rows.size())) {
    return Error{ErrorCode::kUsage,
                 "expected 1 to " + std::to_string(workspace.rows()) +
                     " rows, and room for as many failures or none, found " +
                     std::to_string(batch.rows.size()) + " and " +
                     std::to_string(batch.failures.size()),
                 "batch"};
  }
  for (const LogitQuery& query : batch.logits) {
    if (is_row(query.row) && query.logits.size() >= plan.vocab) continue;
    return Error{ErrorCode::kUsage, "expected logits of rows of the batch, with room for all",
                 "batch"};
  }
  const std::uint32_t hidden = batch.hidden.empty() ? 0 : head_width(plan);
  for (const HiddenQuery& query : batch.hidden) {
    if (is_row(query.row) && hidden != 0 && query.hidden.size() >= hidden) continue;
    return Error{ErrorCode::kUsage,
                 "expected hidden states of rows of the batch, with room for all of a row",
                 "batch"};
  }
  if (batch.tops.size() > workspace.rows()) {
    return refused("expected at most a query for each of " + std::to_string(workspace.rows()) +
                   " rows, found " + std::to_string(batch.tops.size()));
  }
  for (const TopQuery& query : batch.tops) {
    if (!is_row(query.row)) {
      return refused("expected a row of the batch, below " + std::to_string(batch.rows.size()) +
                     ", found " + std::to_string(query.row));
    }
    if (!std::is_sorted(query.always.begin(), query.always.end()) ||
        !std::is_sorted(query.masked.begin(), query.masked.end())) {
      return refused("expected ascending tokens to compute always and to leave out");
    }
    if (query.draw && !query.draw->valid()) {
      return refused("expected a draw with a temperature from 0.01 to 100, found " +
                     std::to_string(query.draw->temperature));
    }
    if (query.count >= 1 && query.count <= TopQuery::kMostCount && query.tokens <= plan.vocab &&
        query.candidates.size() >= query.tokens) {
      continue;
    }
    return refused("expected 1 to " + std::to_string(TopQuery::kMostCount) + " of at most " +
                   std::to_string(plan.vocab) + " tokens and room for all, found " +
                   std::to_string(query.count) + " of " + std::to_string(query.tokens));
  }
  return {};
}

}  // namespace

WeightId CpuBackend::keep(Weight weight) {
  weights_.push_back(std::move(weight));
  return static_cast<WeightId>(weights_.size() - 1);
}

Result<WeightId> CpuBackend::load_ternary(const format::Tensor& tensor) {
  const MatrixPlan plan = plan_for(tuning_, tensor, table_);
  TERN_ASSIGN(TernaryWeight weight,
              make_ternary_weight(tensor, plan.packing, memory_, *pool_, cache_));
  weight.tiles.read = plan.read;
  weight.tiles.tile_tokens = plan.tile_tokens;
  return keep(weight);
}

Result<WeightId> CpuBackend::load_matrix(const format::Tensor& tensor) {
  TERN_ASSIGN(Weight weight, make_matrix_weight(tensor));
  return keep(std::move(weight));
}

Result<WeightId> CpuBackend::load_vector(const format::Tensor& tensor) {
  TERN_ASSIGN(Weight weight, make_vector_weight(tensor));
  return keep(std::move(weight));
}

Result<std::unique_ptr<CpuBackend>> CpuBackend::create(const kernels::KernelTable& table,
                                                       std::uint32_t threads) {
  TERN_ASSIGN(std::unique_ptr<ThreadPool> pool, ThreadPool::create(threads));
  return std::unique_ptr<CpuBackend>(new CpuBackend(table, std::move(pool)));
}

bool CpuBackend::reads(const format::Tensor& tensor) const {
  if (cache_ == nullptr || cache_->compares()) return true;
  return format::is_ternary(tensor.type)
             ? !cache_->has(tensor.name, weight_bytes(tensor))
             : !cache_->has(head_copy_blob(tensor), head_copy_bytes(tensor));
}

std::uint64_t CpuBackend::weight_bytes(const format::Tensor& tensor) const {
  return allocated_bytes(tensor, plan_for(tuning_, tensor, table_).packing);
}

std::uint64_t CpuBackend::bytes_per_token(const Plan& plan) const {
  std::uint64_t bytes = 0;
  for (const Op& op : plan.ops) {
    switch (op.code) {
      case OpCode::kNorm:
        bytes += std::get<VectorWeight>(weights_[op.weight]).values.size() * sizeof(float);
        break;
      case OpCode::kTernaryLinear:
        bytes += std::get<TernaryWeight>(weights_[op.weight]).packed_bytes();
        break;
      case OpCode::kHead:
        bytes += std::get<MatrixWeight>(weights_[op.weight]).tensor.data.size();
        break;
      default: break;  // no weights, or one row of an embedding
    }
  }
  return bytes;
}

Result<void> CpuBackend::copy_head(WeightId head) {
  auto& matrix = std::get<MatrixWeight>(weights_[head]);
  if (head_copy_bytes(matrix.tensor) == 0) {
    return Error{ErrorCode::kUnsupported, "this matrix has no int8 copy: it has too many columns",
                 matrix.tensor.name};
  }
  TERN_ASSIGN(matrix.copy, make_head_copy(table_, matrix.tensor, memory_, *pool_, cache_));
  return {};
}

std::uint64_t CpuBackend::head_copy_bytes(const format::Tensor& tensor) const {
  return backend::head_copy_bytes(tensor);
}

std::optional<std::uint64_t> CpuBackend::invalid_element(WeightId weight) const {
  return std::get<TernaryWeight>(weights_[weight]).invalid;
}

// Any change of what the bytes mean is a new version.
std::string CpuBackend::layout() const {
  std::string layout(backend::name(table_.packing));
  layout += "-1";
  for (const auto& [shape, plan] : tuning_) {
    if (plan.packing == table_.packing) continue;
    layout += ' ';
    layout += std::to_string(shape.rows) + "x" + std::to_string(shape.columns) + ":";
    layout += backend::name(plan.packing);
  }
  return layout;
}

bool CpuBackend::supports(const Op& op) const { return op.code <= OpCode::kHead; }

std::unique_ptr<KvPool> CpuBackend::make_pool(const Plan& plan, format::KvType type,
                                              std::uint32_t pages) {
  return std::make_unique<CpuKvPool>(kv_shape(plan, type), pages);
}

std::uint64_t CpuBackend::workspace_bytes(const Plan& plan, std::uint32_t rows) const {
  return CpuWorkspace::bytes(plan, rows, threads());
}

std::uint64_t CpuBackend::pool_bytes(const Plan& plan, format::KvType type,
                                     std::uint32_t pages) const {
  const std::uint64_t blocks = (pages + kernels::kPagesPerChunk - 1) / kernels::kPagesPerChunk;
  return blocks * kv_shape(plan, type).block_bytes();
}

Result<std::unique_ptr<Workspace>> CpuBackend::make_workspace(const Plan& plan,
                                                              std::uint32_t rows) {
  TERN_ASSIGN(std::unique_ptr<Workspace> workspace, CpuWorkspace::make(plan, rows, threads()));
  return workspace;
}

Result<void> CpuBackend::submit(const Plan& plan, const Batch& batch, Workspace& workspace) {
  TERN_TRY(check(plan, batch, static_cast<const CpuWorkspace&>(workspace)));
  Execution execution(table_, weights_, plan, batch, static_cast<CpuWorkspace&>(workspace));
  pool_->run([&](ThreadPool::Worker& worker) { execution.run(worker); });
  return execution.outcome();
}

Result<void> CpuBackend::ternary_rows(WeightId weight, std::uint64_t first_row, std::size_t tokens,
                                      std::span<const float> x, std::span<float> y) {
  const ScopedFpEnv fp_env;
  const auto& ternary = std::get<TernaryWeight>(weights_[weight]);
  const std::size_t columns = x.size() / tokens;
  const std::size_t rows = y.size() / tokens;
  const std::size_t padded = kernels::padded_columns(columns);
  std::vector<std::int8_t> q(tokens * padded);
  std::vector<float> d(tokens);
  std::vector<std::int32_t> sums(tokens);
  for (std::size_t t = 0; t < tokens; ++t) {
    if (!table_.quantize(x.data() + t * columns, columns, padded, q.data() + t * padded, &d[t],
                         &sums[t])) {
      return Error{ErrorCode::kNumeric, "the input has a NaN or an infinity", "ternary_rows"};
    }
  }
  const std::uint64_t skipped = first_row % kernels::kTileRows;  // the kernels start at a group
  const std::size_t computed = rows + skipped;
  std::vector<float> outputs(tokens * computed);
  table_.ternary_linear(ternary.from(first_row - skipped, tokens), computed,
                        {q.data(), padded, d.data(), sums.data()}, tokens, outputs.data(),
                        computed);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto first = outputs.begin() + static_cast<std::ptrdiff_t>(t * computed + skipped);
    std::copy_n(first, rows, y.begin() + static_cast<std::ptrdiff_t>(t * rows));
  }
  return {};
}

}  // namespace tern::backend
