#include "backend/cpu/execution.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/head_search.h"
#include "backend/cpu/kv_cache.h"
#include "core/fixed_math.h"
#include "format/float_blocks.h"

namespace tern::backend {
namespace {

using kernels::AttentionQuery;
using kernels::AttentionState;
using kernels::kChunkKeys;
using kernels::kMaxQueries;
using kernels::kPageKeys;
using kernels::kPagesPerChunk;

// Operations that touch one row of the batch at a time.
bool is_row_local(const Op& op) {
  return op.code != OpCode::kTernaryLinear && op.code != OpCode::kAttention &&
         op.code != OpCode::kHead;
}

// Whether `next` may read what another worker wrote in `previous`, or overwrite what it still
// reads.
bool needs_barrier(const Op& previous, const Op& next) {
  if (is_row_local(previous) && is_row_local(next)) return false;
  const bool same_input = previous.code == OpCode::kTernaryLinear &&
                          next.code == OpCode::kTernaryLinear && previous.in == next.in;
  return !same_input;
}

// Output rows a worker takes at least: the kernels' groups, of which a batch takes four in turn.
constexpr std::size_t kRowGrain = kernels::kTileRows;
constexpr std::size_t kBatchRowGrain = 4 * kRowGrain;

}  // namespace

void Execution::run(ThreadPool::Worker& worker) {
  const Slice rows = slice_of(batch_.rows.size(), 1, worker.index(), worker.count());
  fill_rope_table(rows);
  for (std::size_t i = 0; i < plan_.ops.size(); ++i) {
    const Op& op = plan_.ops[i];
    if (i > 0 && needs_barrier(plan_.ops[i - 1], op)) worker.barrier();
    switch (op.code) {
      case OpCode::kTernaryLinear: linear(op, worker); break;
      case OpCode::kAttention: attention(op, worker); break;
      case OpCode::kHead:
        if (!batch_.logit_rows.empty()) all_logits(op, worker);
        largest_logits(op, worker);
        break;
      default: run_on_rows(op, rows);
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
    case OpCode::kStoreKv:
      if (!store_kv(op, row)) fail(op, row);
      break;
    case OpCode::kRelu2Gate:
      table_.relu2_gate(w.row(op.in, row), w.row(op.in2, row), width, w.row(op.out, row));
      break;
    case OpCode::kSiluGate:
      table_.silu_gate(w.row(op.in, row), w.row(op.in2, row), width, w.row(op.out, row));
      break;
    case OpCode::kAdd: table_.add(w.row(op.in, row), width, w.row(op.out, row)); break;
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

bool Execution::store_kv(const Op& op, std::size_t row) {
  auto& cache = static_cast<CpuKvCache&>(*batch_.rows[row].cache);
  const std::size_t page = batch_.rows[row].position / kPageKeys;
  const std::size_t slot = batch_.rows[row].position % kPageKeys;
  const std::size_t value_width = cache.shape().value_width();
  bool finite = true;
  for (std::uint32_t kv_head = 0; kv_head < plan_.kv_heads; ++kv_head) {
    const std::size_t at = std::size_t{kv_head} * plan_.head_dim;
    std::uint16_t* keys = cache.keys(page, op.layer, kv_head) + slot;
    std::uint16_t* values = cache.values(page, op.layer, kv_head) + slot * value_width;
    finite &= table_.store_f16(workspace_.row(op.in, row) + at, plan_.head_dim, keys, kPageKeys);
    finite &= table_.store_f16(workspace_.row(op.in2, row) + at, plan_.head_dim, values, 1);
  }
  return finite;
}

void Execution::linear(const Op& op, ThreadPool::Worker& worker) {
  const auto& weight = std::get<TernaryWeight>(weights_[op.weight]);
  const std::size_t grain = batch_.rows.size() == 1 ? kRowGrain : kBatchRowGrain;
  const Slice slice = slice_of(weight.rows, grain, worker.index(), worker.count());
  if (slice.begin == slice.end) return;
  table_.ternary_linear(weight.from(slice.begin), slice.end - slice.begin,
                        workspace_.quantized(op.in), batch_.rows.size(),
                        workspace_.row(op.out, 0) + slice.begin, workspace_.width(op.out));
}

// Queries of one KV head read the same keys and values, so a worker takes up to kMaxQueries of them
// at once. One row alone is divided by query heads, evenly; of several rows, a unit is some rows
// and the query heads of one KV head, and units go to the workers in turn, for later rows see more
// keys.
void Execution::attention(const Op& op, ThreadPool::Worker& worker) {
  const std::uint32_t shared = plan_.heads / plan_.kv_heads;  // query heads of a KV head
  const auto most_heads = std::min<std::uint32_t>(shared, kMaxQueries);
  float* scratch = workspace_.scratch(worker.index());
  const std::size_t rows = batch_.rows.size();
  if (rows == 1) {
    const Slice own = slice_of(plan_.heads, 1, worker.index(), worker.count());
    for (auto head = static_cast<std::uint32_t>(own.begin); head < own.end;) {
      const auto left = static_cast<std::uint32_t>(own.end) - head;
      const std::uint32_t count = std::min({most_heads, shared - head % shared, left});
      attend(op, {0, 1}, head, count, scratch);
      head += count;
    }
    return;
  }
  const std::size_t most_rows = kMaxQueries / most_heads;
  std::size_t unit = 0;
  for (std::size_t row = 0; row < rows;) {
    std::size_t last = row + 1;
    while (last < rows && last - row < most_rows &&
           batch_.rows[last].cache == batch_.rows[row].cache) {
      ++last;
    }
    for (std::uint32_t head = 0; head < plan_.heads; ++unit) {
      const std::uint32_t count = std::min(most_heads, shared - head % shared);
      if (unit % worker.count() == worker.index()) attend(op, {row, last}, head, count, scratch);
      head += count;
    }
    row = last;
  }
}

void Execution::attend(const Op& op, const Slice& rows, std::uint32_t head, std::uint32_t heads,
                       float* scratch) {
  auto& cache = static_cast<CpuKvCache&>(*batch_.rows[rows.begin].cache);
  const std::size_t width = cache.shape().value_width();
  const std::uint32_t kv_head = head / (plan_.heads / plan_.kv_heads);
  const float scale = 1.0f / std::sqrt(static_cast<float>(plan_.head_dim));
  const std::size_t count = (rows.end - rows.begin) * heads;
  const auto row_of = [&](std::size_t i) { return rows.begin + i / heads; };
  const auto at = [&](std::size_t i) { return (head + i % heads) * std::size_t{plan_.head_dim}; };

  AttentionState parts[kMaxQueries];
  AttentionState totals[kMaxQueries];
  for (std::size_t i = 0; i < count; ++i) {
    parts[i].out = scratch + 2 * i * width;
    totals[i] = {-std::numeric_limits<float>::infinity(), 0.0f, parts[i].out + width};
    std::memset(totals[i].out, 0, width * sizeof(float));
  }
  const std::size_t keys = std::size_t{batch_.rows[rows.end - 1].position} + 1;
  std::size_t active = 0;  // queries before it see no key of this chunk: rows ascend
  for (std::size_t first = 0; first < keys; first += kChunkKeys) {
    const std::uint16_t* k_pages[kPagesPerChunk];
    const std::uint16_t* v_pages[kPagesPerChunk];
    for (std::size_t page = 0; page < kPagesPerChunk && first + page * kPageKeys < keys; ++page) {
      k_pages[page] = cache.keys(first / kPageKeys + page, op.layer, kv_head);
      v_pages[page] = cache.values(first / kPageKeys + page, op.layer, kv_head);
    }
    while (batch_.rows[row_of(active)].position < first) ++active;
    AttentionQuery queries[kMaxQueries];
    for (std::size_t i = active; i < count; ++i) {
      queries[i] = {workspace_.row(op.in, row_of(i)) + at(i),
                    std::min(kChunkKeys, batch_.rows[row_of(i)].position + 1 - first)};
    }
    table_.attention_chunk(queries + active, count - active, scale,
                           {k_pages, v_pages, plan_.head_dim}, parts + active);
    for (std::size_t i = active; i < count; ++i) {
      table_.attention_fold(parts[i], plan_.head_dim, &totals[i]);
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    table_.attention_output(totals[i], plan_.head_dim, workspace_.row(op.out, row_of(i)) + at(i));
  }
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
  const std::uint32_t position = batch_.rows[failure & 0xffffffffu].position;
  const auto what = [&] {
    if (op.code == OpCode::kStoreKv) {
      return "a key or value does not fit into f16, the type of the KV cache";
    }
    return op.code == OpCode::kHead ? "a logit is a NaN or an infinity"
                                    : "an activation is a NaN or an infinity";
  };
  return Error{ErrorCode::kNumeric, what(),
               "layer " + std::to_string(op.layer) + ", position " + std::to_string(position)};
}

}  // namespace tern::backend
