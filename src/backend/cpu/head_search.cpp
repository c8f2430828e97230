#include "backend/cpu/head_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "format/float_blocks.h"

namespace tern::backend {
namespace {

using format::TensorType;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Below every bound of a row that a scan can bound.
constexpr float kBelowAll = std::numeric_limits<float>::lowest();
constexpr std::size_t kBlock = 64;  // rows whose bounds are formed together

// The `count` largest of all values offered: the least of them is in front.
class Largest {
 public:
  Largest(float* values, std::size_t count) : values_(values), count_(count) {
    std::fill(values, values + count, kBelowAll);
  }
  float least() const { return values_[0]; }
  void offer(float value) {
    if (!(value > least())) return;
    std::pop_heap(values_, values_ + count_, std::greater<>());
    values_[count_ - 1] = value;
    std::push_heap(values_, values_ + count_, std::greater<>());
  }

 private:
  float* values_;
  std::size_t count_;
};

// Calls visit(token) for the tokens of an ascending list that lie in `rows`.
template <typename Visit>
void each_within(std::span<const std::int32_t> tokens, const Slice& rows, Visit visit) {
  const auto token_of = [](std::size_t row) { return static_cast<std::int32_t>(row); };
  const auto first = std::lower_bound(tokens.begin(), tokens.end(), token_of(rows.begin));
  for (auto at = first; at != tokens.end() && *at < token_of(rows.end); ++at) {
    visit(static_cast<std::size_t>(*at));
  }
}

}  // namespace

void exact_rows(const kernels::KernelTable& table, const format::Tensor& matrix, std::size_t first,
                std::size_t count, const float* x, float* scratch, float* y) {
  const std::size_t n = matrix.columns();
  const std::size_t row_bytes = format::row_bytes(matrix.type, n);
  const std::byte* rows = matrix.data.data() + first * row_bytes;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(rows);
  const auto* halves = reinterpret_cast<const std::uint16_t*>(rows);
  switch (matrix.type) {
    case TensorType::kF32:
      table.dot_rows_f32(x, reinterpret_cast<const float*>(rows), n, count, y);
      return;
    case TensorType::kF16: table.dot_rows_f16(x, halves, n, count, y); return;
    case TensorType::kBF16: table.dot_rows_bf16(x, halves, n, count, y); return;
    case TensorType::kQ8_0: table.dot_rows_q8_0(x, bytes, n, count, y); return;
    case TensorType::kQ6_K: table.dot_rows_q6_k(x, bytes, n, count, y); return;
    default: break;
  }
  for (std::size_t r = 0; r < count; r += CpuWorkspace::kScratchRows) {
    const std::size_t some = std::min(CpuWorkspace::kScratchRows, count - r);
    for (std::size_t i = 0; i < some; ++i) {
      format::dequantize_row(matrix.type, rows + (r + i) * row_bytes, n, scratch + i * n);
    }
    table.dot_rows_f32(x, scratch, n, some, y + r);
  }
}

Slice HeadSearch::rows_of(const TopQuery& query, std::uint32_t worker, std::uint32_t workers) {
  return slice_of(query.tokens, kernels::kTileRows, worker, workers);
}

void HeadSearch::bound(const ThreadPool::Worker& worker) {
  const Slice rows = rows_of(query_, worker.index(), worker.count());
  float* bounds = workspace_.head_bounds();
  scan(rows, worker.index(), bounds, workspace_.head_largest(worker.index()));
  each_within(query_.always, rows, [&](std::size_t row) { bounds[row] = kInfinity; });
  each_within(query_.masked, rows, [&](std::size_t row) { bounds[row] = -kInfinity; });
}

// bounds[row] = upper bound of the row's logit; `largest` gets the largest lower bounds of the rows
// that count.
void HeadSearch::scan(const Slice& rows, std::uint32_t worker, float* bounds, float* largest) {
  Largest lowers(largest, query_.count);
  std::fill(bounds + rows.begin, bounds + rows.end, kInfinity);
  if (!matrix_.copy || rows.begin == rows.end) return;
  const HeadCopy& copy = *matrix_.copy;
  auto* const digits = reinterpret_cast<std::int8_t*>(workspace_.scratch(worker));
  const ScanQuery scan = make_scan_query(x_, matrix_.tensor.columns(), digits);
  if (!scan.bounded) return;
  table_.scan_rows(copy.from(rows.begin), rows.end - rows.begin, scan.digits, bounds + rows.begin);
  const auto leave = [&](std::size_t row) { bounds[row] = -kInfinity; };
  each_within(query_.always, rows, leave);
  each_within(query_.masked, rows, leave);
  for (std::size_t first = rows.begin; first < rows.end; first += kBlock) {
    const std::size_t count = std::min(kBlock, rows.end - first);
    float lower[kBlock];
    float most = -kInfinity;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t row = first + i;
      const float s = bounds[row];
      const float e =
          (copy.residuals[row] * scan.of_residual + copy.norms[row] * scan.of_norm) + scan.constant;
      lower[i] = s - e;
      bounds[row] = s + e;
      most = std::max(most, lower[i]);
    }
    if (!(most > lowers.least())) continue;
    for (std::size_t i = 0; i < count; ++i) lowers.offer(lower[i]);
  }
}

void HeadSearch::choose() {
  float* const first = workspace_.head_largest(0);
  const std::size_t stride = TopQuery::kMostCount;
  // The lists of the workers, moved together: each has `count` values.
  const std::size_t count = query_.count;
  for (std::size_t worker = 1; worker < workspace_.threads(); ++worker) {
    std::copy_n(first + worker * stride, count, first + worker * count);
  }
  float* const end = first + workspace_.threads() * count;
  std::nth_element(first, first + count - 1, end, std::greater<>());
  workspace_.head_threshold() = first[count - 1];
}

bool HeadSearch::compute(const ThreadPool::Worker& worker) {
  const Slice rows = rows_of(query_, worker.index(), worker.count());
  const float* bounds = workspace_.head_bounds();
  const float threshold = workspace_.head_threshold();
  float* scratch = workspace_.scratch(worker.index());
  TokenLogit* out = query_.candidates.data() + rows.begin;
  std::uint32_t found = 0;
  bool finite = true;
  std::size_t row = rows.begin;
  const auto may_reach = [&](std::size_t r) { return r < rows.end && bounds[r] >= threshold; };
  for (;;) {
    while (row < rows.end && !may_reach(row)) ++row;
    if (row == rows.end) break;
    std::size_t end = row + 1;  // of a run of rows that are computed together
    while (end - row < CpuWorkspace::kScratchRows && may_reach(end)) ++end;
    float logits[CpuWorkspace::kScratchRows];
    exact_rows(table_, matrix_.tensor, row, end - row, x_, scratch, logits);
    for (std::size_t i = 0; i < end - row; ++i) {
      finite = finite && std::isfinite(logits[i]);
      out[found++] = {static_cast<std::int32_t>(row + i), logits[i]};
    }
    row = end;
  }
  workspace_.head_found(index_, worker.index()) = found;
  return finite;
}

void HeadSearch::gather(std::size_t index, std::uint32_t workers, TopQuery& query,
                        CpuWorkspace& workspace) {
  query.found = 0;
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    const std::uint32_t found = workspace.head_found(index, worker);
    const auto from = query.candidates.begin() +
                      static_cast<std::ptrdiff_t>(rows_of(query, worker, workers).begin);
    std::copy_n(from, found, query.candidates.begin() + static_cast<std::ptrdiff_t>(query.found));
    query.found += found;
  }
}

}  // namespace tern::backend
