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

// Output rows a worker takes at least: a group of the kernels.
constexpr std::size_t kRowGrain = kernels::kTileRows;

}  // namespace

void Execution::run(ThreadPool::Worker& worker) {
  const Schedule& schedule = workspace_.schedule(one_row());
  const Slice rows =
      one_row() ? Slice{0, 1} : slice_of(batch_.rows.size(), 1, worker.index(), worker.count());
  const Part part{workspace_.slots(one_row(), worker.index()), rows, worker};
  fill_rope_table(part);
  for (std::size_t i = 0; i < plan_.ops.size();) {
    if (schedule.barriers[i]) worker.barrier();
    std::size_t end = i + 1;
    if (is_divided(plan_.ops[i])) {
      run_divided(plan_.ops[i], part);
    } else {
      while (end < plan_.ops.size() && !is_divided(plan_.ops[end]) && !schedule.barriers[end])
        ++end;
      run_on_rows(std::span(plan_.ops).subspan(i, end - i), part);
    }
    i = end;
  }
}

void Execution::run_divided(const Op& op, const Part& part) {
  if (op.code == OpCode::kTernaryLinear) {
    linear(op, part);
  } else if (op.code == OpCode::kAttention) {
    attend({table_, plan_, batch_, workspace_, part.slots, op}, part.worker);
  } else {
    if (!batch_.logits.empty()) all_logits(op, part);
    largest_logits(op, part);
    hidden_states(op, part);
  }
}

// Row by row, so that what one operation writes is near when the next reads it.
void Execution::run_on_rows(std::span<const Op> ops, const Part& part) {
  for (std::size_t row = part.rows.begin; row < part.rows.end; ++row) {
    for (const Op& op : ops) run_on_row(op, part, row);
  }
}

void Execution::run_on_row(const Op& op, const Part& part, std::size_t row) {
  const Slots& slots = part.slots;
  const std::size_t width = slots.width(op.out);
  switch (op.code) {
    case OpCode::kEmbed: embed(op, part, row); break;
    case OpCode::kStoreKv: store_kv(op, part, row); break;
    case OpCode::kNorm: norm(op, slots, row); break;
    case OpCode::kQuantize:
      if (!table_.quantize(slots.row(op.in, row), width, slots.padded_width(op.out),
                           slots.codes(op.out, row), slots.scale(op.out, row),
                           slots.sum(op.out, row))) {
        fail(op, row);
      }
      break;
    case OpCode::kRope:
    case OpCode::kRopeNeighbours: rotate(op, slots, row); break;
    case OpCode::kAdd: table_.add(slots.row(op.in, row), width, slots.row(op.out, row)); break;
    case OpCode::kRelu2Gate:
      table_.relu2_gate(slots.row(op.in, row), slots.row(op.in2, row), width,
                        slots.row(op.out, row));
      break;
    case OpCode::kSiluGate:
      table_.silu_gate(slots.row(op.in, row), slots.row(op.in2, row), width,
                       slots.row(op.out, row));
      break;
    case OpCode::kGeluGate:
      table_.gelu_gate(slots.row(op.in, row), slots.row(op.in2, row), width,
                       slots.row(op.out, row));
      break;
    case OpCode::kTernaryLinear:
    case OpCode::kAttention:
    case OpCode::kHead: break;  // is_divided()
  }
}

void Execution::fill_rope_table(const Part& part) {
  for (std::size_t row = part.rows.begin; row < part.rows.end; ++row) {
    float* cosines = workspace_.cosines(part.slots, row);
    float* sines = workspace_.sines(part.slots, row);
    for (std::size_t i = 0; i < plan_.rope_frequencies.size(); ++i) {
      const SinCos turn = fixed_sincos(batch_.rows[row].position * plan_.rope_frequencies[i]);
      cosines[i] = static_cast<float>(turn.cos);
      sines[i] = static_cast<float>(turn.sin);
    }
  }
}

void Execution::embed(const Op& op, const Part& part, std::size_t row) {
  const format::Tensor& matrix = std::get<MatrixWeight>(weights_[op.weight]).tensor;
  std::byte* const room = workspace_.file_rows(part.worker.index());
  const auto token = static_cast<std::size_t>(batch_.rows[row].token);
  float* const out = part.slots.row(op.out, row);
  format::dequantize_row(matrix.type, few_rows(matrix, token, 1, room), matrix.columns(), out);
  if (op.factor == 1.0f) return;
  for (std::size_t i = 0; i < matrix.columns(); ++i) out[i] = out[i] * op.factor;
}

void Execution::norm(const Op& op, const Slots& slots, std::size_t row) {
  const std::vector<float>& weight = std::get<VectorWeight>(weights_[op.weight]).values;
  const float* x = slots.row(op.in, row);
  float* y = slots.row(op.out, row);
  for (std::size_t at = 0; at < slots.width(op.out); at += weight.size()) {
    table_.rms_norm(x + at, weight.data(), weight.size(), plan_.norm_epsilon, y + at);
  }
}

void Execution::rotate(const Op& op, const Slots& slots, std::size_t row) {
  const float* x = slots.row(op.in, row);
  float* y = slots.row(op.out, row);
  const std::size_t half = plan_.head_dim / 2;
  for (std::size_t at = 0; at < slots.width(op.out); at += plan_.head_dim) {
    const float* head = x + at;
    if (op.code == OpCode::kRopeNeighbours) {
      for (std::size_t i = 0; i < half; ++i) {
        y[at + i] = head[2 * i];
        y[at + half + i] = head[2 * i + 1];
      }
      head = y + at;
    }
    table_.rope(head, workspace_.cosines(slots, row), workspace_.sines(slots, row), half, y + at);
  }
}

void Execution::store_kv(const Op& op, const Part& part, std::size_t row) {
  const std::uint32_t worker = part.worker.index();
  const Slice heads = one_row() ? slice_of(plan_.kv_heads, 1, worker, part.worker.count())
                                : Slice{0, plan_.kv_heads};
  auto& cache = static_cast<CpuKvCache&>(*batch_.rows[row].cache);
  bool fits = true;
  for (std::size_t kv_head = heads.begin; kv_head < heads.end; ++kv_head) {
    const std::size_t at = kv_head * plan_.head_dim;
    fits &= cache.store(table_, batch_.rows[row].position, op.layer,
                        static_cast<std::uint32_t>(kv_head), part.slots.row(op.in, row) + at,
                        part.slots.row(op.in2, row) + at, workspace_.query_codes(worker));
  }
  if (!fits) fail(op, row);
}

void Execution::linear(const Op& op, const Part& part) {
  const auto& weight = std::get<TernaryWeight>(weights_[op.weight]);
  const auto multiply = [&](const Slice& slice) {
    if (slice.begin == slice.end) return;
    table_.ternary_linear(weight.from(slice.begin, batch_.rows.size()), slice.end - slice.begin,
                          part.slots.quantized(op.in), batch_.rows.size(),
                          part.slots.row(op.out, 0) + slice.begin, part.slots.width(op.out));
  };
  if (shares_rows()) {
    workspace_.linears().for_rows(static_cast<std::size_t>(&op - plan_.ops.data()), part.worker,
                                  multiply);
  } else {
    multiply(slice_of(weight.rows, one_row() ? kRowGrain : LinearDivision::kGrain,
                      part.worker.index(), part.worker.count()));
  }
}

void Execution::all_logits(const Op& op, const Part& part) {
  const ThreadPool::Worker& worker = part.worker;
  const format::Tensor& matrix = std::get<MatrixWeight>(weights_[op.weight]).tensor;
  const Slice slice = slice_of(matrix.rows(), kRowGrain, worker.index(), worker.count());
  float* scratch = workspace_.scratch(worker.index());
  const std::size_t row_bytes = format::row_bytes(matrix.type, matrix.columns());
  constexpr std::size_t kRows = CpuWorkspace::kScratchRows;  // that stay in cache for all x
  for (std::size_t first = slice.begin; first < slice.end; first += kRows) {
    const std::size_t count = std::min(kRows, slice.end - first);
    const std::byte* rows = matrix.data.data() + first * row_bytes;
    for (const LogitQuery& query : batch_.logits) {
      const float* x = part.slots.row(op.in, query.row);
      float* logits = query.logits.data() + first;
      exact_rows(table_, matrix, rows, count, x, scratch, logits);
      const bool finite =
          std::all_of(logits, logits + count, [](float v) { return std::isfinite(v); });
      if (!finite) fail(op, query.row);
    }
  }
}

// Two barriers for some queries together: no row can be chosen before all are bounded.
void Execution::largest_logits(const Op& op, const Part& part) {
  ThreadPool::Worker& worker = part.worker;
  const auto& matrix = std::get<MatrixWeight>(weights_[op.weight]);
  constexpr std::size_t kMost = CpuWorkspace::kHeadQueries;
  for (std::size_t first = 0; first < batch_.tops.size(); first += kMost) {
    if (first > 0) worker.barrier();  // the bounds of those before are read
    const std::size_t count = std::min(kMost, batch_.tops.size() - first);
    HeadSearch search({table_, matrix, part.slots, op.in, batch_.tops, workspace_}, first, count);
    search.bound(worker);
    worker.barrier();
    search.choose(worker);
    worker.barrier();
    for (std::size_t i = 0; i < count; ++i) {
      if (!search.compute(i, worker)) fail(op, batch_.tops[first + i].row);
    }
  }
}

void Execution::hidden_states(const Op& op, const Part& part) {
  const std::size_t width = part.slots.width(op.in);
  for (std::size_t i = part.worker.index(); i < batch_.hidden.size(); i += part.worker.count()) {
    const HiddenQuery& query = batch_.hidden[i];
    const float* x = part.slots.row(op.in, query.row);
    std::copy_n(x, width, query.hidden.data());
    if (!std::all_of(x, x + width, [](float v) { return std::isfinite(v); })) fail(op, query.row);
  }
}

Result<void> Execution::outcome() {
  HeadSearch::gather(batch_.tops, workspace_);
  std::size_t failed = 0;  // the row that failed first
  for (std::size_t row = 0; row < batch_.rows.size(); ++row) {
    const std::uint32_t failure = workspace_.failure(row);
    if (failure < workspace_.failure(failed)) failed = row;
    if (failure == CpuWorkspace::kNoFailure || batch_.failures.empty()) continue;
    batch_.failures[row] = error_of(plan_.ops[failure], row);
  }
  const std::uint32_t first = workspace_.failure(failed);
  if (first == CpuWorkspace::kNoFailure || !batch_.failures.empty()) return {};
  return error_of(plan_.ops[first], failed);
}

Error Execution::error_of(const Op& op, std::size_t index) const {
  const BatchRow& row = batch_.rows[index];
  const bool is_f16 =
      static_cast<const CpuKvCache&>(*row.cache).shape().type == format::KvType::kF16;
  const auto what = [&] {
    if (op.code == OpCode::kStoreKv) {
      return is_f16 ? "a key or value does not fit into f16, the type of the KV cache"
                    : "a key or value is a NaN or an infinity";
    }
    if (op.code != OpCode::kHead) return "an activation is a NaN or an infinity";
    return batch_.hidden.empty() ? "a logit is a NaN or an infinity"
                                 : "a hidden state or a logit is a NaN or an infinity";
  };
  return {ErrorCode::kNumeric, what(),
          "layer " + std::to_string(op.layer) + ", position " + std::to_string(row.position)};
}

}  // namespace tern::backend
