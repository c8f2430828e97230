#include "backend/cpu/execution.h"

#include <algorithm>
#include <cmath>

#include "backend/cpu/attention.h"
#include "backend/cpu/head_search.h"
#include "backend/cpu/kv_cache.h"
#include "core/fixed_math.h"
#include "format/float_blocks.h"

namespace tern::backend {
namespace {

bool is_linear(const Op& op) { return op.code == OpCode::kTernaryLinear; }

// Output rows a worker takes at least: the kernels' groups, of which a batch takes four in turn.
constexpr std::size_t kRowGrain = kernels::kTileRows;
constexpr std::size_t kBatchRowGrain = 4 * kRowGrain;

}  // namespace

// Operations on each value alone, where there is one row: it is divided by columns, which the
// worker that computed them has in its cache. Several rows are not: what comes before and after
// wants whole rows.
bool Execution::is_column_local(const Op& op) const {
  const bool elementwise =
      op.code == OpCode::kAdd || op.code == OpCode::kRelu2Gate || op.code == OpCode::kSiluGate;
  return elementwise && batch_.rows.size() == 1;
}

// Operations that touch one row of the batch at a time.
bool Execution::is_row_local(const Op& op) const {
  return !is_linear(op) && !is_column_local(op) && op.code != OpCode::kAttention &&
         op.code != OpCode::kHead;
}

// Whether `next` may read what another worker wrote in `previous`, or overwrite what it still
// reads. What a linear wrote has the width of the operation that reads it column by column, so that
// the same worker does both.
bool Execution::needs_barrier(const Op& previous, const Op& next) const {
  if (is_row_local(previous) && is_row_local(next)) return false;
  if (is_linear(previous) && is_linear(next)) return previous.in != next.in;
  const bool in_turn = is_linear(previous) || is_column_local(previous);
  return !(in_turn && is_column_local(next) &&
           workspace_.width(previous.out) == workspace_.width(next.out));
}

void Execution::run(ThreadPool::Worker& worker) {
  const Slice rows = slice_of(batch_.rows.size(), 1, worker.index(), worker.count());
  fill_rope_table(rows);
  for (std::size_t i = 0; i < plan_.ops.size(); ++i) {
    const Op& op = plan_.ops[i];
    if (i > 0 && needs_barrier(plan_.ops[i - 1], op)) worker.barrier();
    switch (op.code) {
      case OpCode::kTernaryLinear: linear(op, worker); break;
      case OpCode::kStoreKv: store_kv(op, rows, worker.index()); break;
      case OpCode::kAttention:
        if (const auto row = attend({table_, plan_, batch_, workspace_, op}, worker)) {
          fail(op, *row);
        }
        break;
      case OpCode::kHead:
        if (!batch_.logit_rows.empty()) all_logits(op, worker);
        largest_logits(op, worker);
        break;
      default:
        if (is_column_local(op)) {
          run_on_values(op, 0, columns_of(workspace_.width(op.out), worker));
        } else {
          run_on_rows(op, rows);
        }
    }
  }
}

void Execution::run_on_rows(const Op& op, const Slice& rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) run_on_row(op, row);
}

void Execution::run_on_row(const Op& op, std::size_t row) {
  CpuWorkspace& w = workspace_;
  const std::size_t width = w.width(op.out);
  switch (op.code) {
    case OpCode::kEmbed: embed(op, row); break;
    case OpCode::kNorm:
      table_.rms_norm(w.row(op.in, row), std::get<VectorWeight>(weights_[op.weight]).values.data(),
                      width, plan_.norm_epsilon, w.row(op.out, row));
      break;
    case OpCode::kQuantize:
      if (!table_.quantize(w.row(op.in, row), width, w.padded_width(op.out), w.codes(op.out, row),
                           w.scale(op.out, row), w.sum(op.out, row))) {
        fail(op, row);
      }
      break;
    case OpCode::kRope: rotate(op, row); break;
    case OpCode::kAdd:
    case OpCode::kRelu2Gate:
    case OpCode::kSiluGate: run_on_values(op, row, {0, width}); break;
    case OpCode::kStoreKv:
    case OpCode::kTernaryLinear:
    case OpCode::kAttention:
    case OpCode::kHead: break;  // divided otherwise, by run()
  }
}

void Execution::fill_rope_table(const Slice& rows) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    float* cosines = workspace_.cosines(row);
    float* sines = workspace_.sines(row);
    for (std::size_t i = 0; i < plan_.rope_frequencies.size(); ++i) {
      const SinCos turn = fixed_sincos(batch_.rows[row].position * plan_.rope_frequencies[i]);
      cosines[i] = static_cast<float>(turn.cos);
      sines[i] = static_cast<float>(turn.sin);
    }
  }
}

void Execution::embed(const Op& op, std::size_t row) {
  const format::Tensor& matrix = std::get<MatrixWeight>(weights_[op.weight]).tensor;
  const std::size_t row_bytes = format::row_bytes(matrix.type, matrix.columns());
  const auto token = static_cast<std::size_t>(batch_.rows[row].token);
  format::dequantize_row(matrix.type, matrix.data.data() + token * row_bytes, matrix.columns(),
                         workspace_.row(op.out, row));
}

void Execution::rotate(const Op& op, std::size_t row) {
  float* x = workspace_.row(op.out, row);
  for (std::size_t at = 0; at < workspace_.width(op.out); at += plan_.head_dim) {
    table_.rope(x + at, workspace_.cosines(row), workspace_.sines(row), plan_.head_dim / 2);
  }
}

void Execution::store_kv(const Op& op, const Slice& rows, std::uint32_t worker) {
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    auto& cache = static_cast<CpuKvCache&>(*batch_.rows[row].cache);
    bool fits = true;
    for (std::uint32_t kv_head = 0; kv_head < plan_.kv_heads; ++kv_head) {
      const std::size_t at = std::size_t{kv_head} * plan_.head_dim;
      fits &= cache.store(table_, batch_.rows[row].position, op.layer, kv_head,
                          workspace_.row(op.in, row) + at, workspace_.row(op.in2, row) + at,
                          workspace_.query_codes(worker));
    }
    if (!fits) fail(op, row);
  }
}

// The outputs of a linear that a worker computes.
Slice Execution::columns_of(std::size_t width, const ThreadPool::Worker& worker) const {
  const std::size_t grain = batch_.rows.size() == 1 ? kRowGrain : kBatchRowGrain;
  return slice_of(width, grain, worker.index(), worker.count());
}

void Execution::run_on_values(const Op& op, std::size_t row, const Slice& columns) {
  const std::size_t count = columns.end - columns.begin;
  const float* in = workspace_.row(op.in, row) + columns.begin;
  float* out = workspace_.row(op.out, row) + columns.begin;
  if (op.code == OpCode::kAdd) {
    table_.add(in, count, out);
    return;
  }
  const auto gate = op.code == OpCode::kSiluGate ? table_.silu_gate : table_.relu2_gate;
  gate(in, workspace_.row(op.in2, row) + columns.begin, count, out);
}

void Execution::linear(const Op& op, ThreadPool::Worker& worker) {
  const auto& weight = std::get<TernaryWeight>(weights_[op.weight]);
  const Slice slice = columns_of(weight.rows, worker);
  if (slice.begin == slice.end) return;
  table_.ternary_linear(weight.from(slice.begin), slice.end - slice.begin,
                        workspace_.quantized(op.in), batch_.rows.size(),
                        workspace_.row(op.out, 0) + slice.begin, workspace_.width(op.out));
}

void Execution::all_logits(const Op& op, const ThreadPool::Worker& worker) {
  const format::Tensor& matrix = std::get<MatrixWeight>(weights_[op.weight]).tensor;
  const Slice slice = slice_of(matrix.rows(), kRowGrain, worker.index(), worker.count());
  float* scratch = workspace_.scratch(worker.index());
  constexpr std::size_t kRows = CpuWorkspace::kScratchRows;  // that stay in cache for all x
  for (std::size_t first = slice.begin; first < slice.end; first += kRows) {
    const std::size_t count = std::min(kRows, slice.end - first);
    for (std::size_t i = 0; i < batch_.logit_rows.size(); ++i) {
      const float* x = workspace_.row(op.in, batch_.logit_rows[i]);
      float* logits = &batch_.logits[i * plan_.vocab + first];
      exact_rows(table_, matrix, first, count, x, scratch, logits);
      const bool finite =
          std::all_of(logits, logits + count, [](float v) { return std::isfinite(v); });
      if (!finite) fail(op, batch_.logit_rows[i]);
    }
  }
}

// Two barriers a query: no row can be chosen before all are bounded.
void Execution::largest_logits(const Op& op, ThreadPool::Worker& worker) {
  const auto& matrix = std::get<MatrixWeight>(weights_[op.weight]);
  for (std::size_t i = 0; i < batch_.tops.size(); ++i) {
    TopQuery& query = batch_.tops[i];
    // The queries share the bounds: other slices of them would be overwritten while they are read.
    if (i > 0 && query.tokens != batch_.tops[i - 1].tokens) worker.barrier();
    HeadSearch search(table_, matrix, workspace_.row(op.in, query.row), i, query, workspace_);
    search.bound(worker);
    worker.barrier();
    if (worker.index() == 0) search.choose();
    worker.barrier();
    if (!search.compute(worker)) fail(op, query.row);
  }
}

void Execution::fail(const Op& op, std::size_t row) {
  const auto index = static_cast<std::uint64_t>(&op - plan_.ops.data());
  const std::uint64_t mine = index << 32 | row;
  std::uint64_t seen = failure_.load();
  while (mine < seen && !failure_.compare_exchange_weak(seen, mine)) {
  }
}

Result<void> Execution::outcome() {
  const std::uint64_t failure = failure_.load();
  if (failure == kNoFailure) {
    for (std::size_t i = 0; i < batch_.tops.size(); ++i) {
      HeadSearch::gather(i, workspace_.threads(), batch_.tops[i], workspace_);
    }
    return {};
  }
  const Op& op = plan_.ops[failure >> 32];
  const BatchRow& row = batch_.rows[failure & 0xffffffffu];
  const bool is_f16 =
      static_cast<const CpuKvCache&>(*row.cache).shape().type == format::KvType::kF16;
  const auto what = [&] {
    if (op.code == OpCode::kStoreKv) {
      return is_f16 ? "a key or value does not fit into f16, the type of the KV cache"
                    : "a key or value is a NaN or an infinity";
    }
    return op.code == OpCode::kHead ? "a logit is a NaN or an infinity"
                                    : "an activation is a NaN or an infinity";
  };
  return Error{ErrorCode::kNumeric, what(),
               "layer " + std::to_string(op.layer) + ", position " + std::to_string(row.position)};
}

}  // namespace tern::backend
