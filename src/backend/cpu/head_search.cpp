#include "backend/cpu/head_search.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "format/float_blocks.h"

namespace tern::backend {
namespace {

using format::TensorType;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Below every bound of a row that a scan can bound.
constexpr float kBelowAll = std::numeric_limits<float>::lowest();
// One row in so many is left to the worker that is free.
constexpr std::size_t kSharedPart = 4;
// Where low digits matter for more than one in so many groups of rows and queries, all are scanned
// together, which takes as much less time for each.
constexpr std::size_t kFewGroups = 8;

std::size_t group_at(std::size_t row) { return row / kernels::kTileRows; }

// The group of rows that begins there.
Slice group_of(std::size_t first, std::size_t end) {
  return {first, std::min(first + kernels::kTileRows, end)};
}

// The `count` largest of all values offered: the least of them is in front.
class Largest {
 public:
  // Goes on with what was offered to the same memory before.
  Largest(float* values, std::size_t count) : values_(values), count_(count) {}
  void clear() { std::fill(values_, values_ + count_, kBelowAll); }
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

// At least what a draw makes of a logit of at most `upper` with a variate of at most `most`,
// rounded up to a float: by more than what these operations lose.
float most_perturbed(float upper, float by_temperature, float most) {
  const float scaled = upper * by_temperature;
  return scaled + most + (std::fabs(scaled) + most) * 0x1p-21f;
}

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

void exact_rows(const kernels::KernelTable& table, const format::Tensor& head,
                const std::byte* rows, std::size_t count, const float* x, float* scratch,
                float* y) {
  const std::size_t n = head.columns();
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(rows);
  const auto* halves = reinterpret_cast<const std::uint16_t*>(rows);
  switch (head.type) {
    case TensorType::kF32:
      table.dot_rows_f32(x, reinterpret_cast<const float*>(rows), n, count, y);
      return;
    case TensorType::kF16: table.dot_rows_f16(x, halves, n, count, y); return;
    case TensorType::kBF16: table.dot_rows_bf16(x, halves, n, count, y); return;
    case TensorType::kQ8_0: table.dot_rows_q8_0(x, bytes, n, count, y); return;
    case TensorType::kQ6_K: table.dot_rows_q6_k(x, bytes, n, count, y); return;
    default: break;
  }
  const std::size_t row_bytes = format::row_bytes(head.type, n);
  for (std::size_t r = 0; r < count; ++r) {
    format::dequantize_row(head.type, rows + r * row_bytes, n, scratch + r * n);
  }
  table.dot_rows_f32(x, scratch, n, count, y);
}

std::uint32_t HeadSearch::most_tokens(std::span<const TopQuery> queries) {
  std::uint32_t most = 0;
  for (const TopQuery& query : queries) most = std::max(most, query.tokens);
  return most;
}

// Rows that a worker computes for any of the queries.
Slice HeadSearch::rows_of(std::span<const TopQuery> queries, std::uint32_t worker,
                          std::uint32_t workers) {
  return slice_of(most_tokens(queries), kernels::kTileRows, worker, workers);
}

// Those of them that are tokens of the query.
Slice HeadSearch::rows_of(const Slice& shared, const TopQuery& query) {
  return {std::min<std::size_t>(shared.begin, query.tokens),
          std::min<std::size_t>(shared.end, query.tokens)};
}

void HeadSearch::bound(const ThreadPool::Worker& worker) {
  prepare(worker.index());
  const std::size_t rows = most_tokens(step_.queries);
  const std::size_t shared = worker.count() == 1 ? 0 : rows / kSharedPart;
  const std::size_t first_shared = (rows - shared) / kernels::kTileRows * kernels::kTileRows;
  const Slice own = slice_of(first_shared, kernels::kTileRows, worker.index(), worker.count());
  for (std::size_t at = own.begin; at < own.end; at += kPieceRows) {
    bound_rows({at, std::min(at + kPieceRows, own.end)}, worker.index());
  }
  for (;;) {
    const std::size_t at = first_shared + step_.workspace.take_head_rows(kPieceRows);
    if (at >= rows) return;
    bound_rows({at, std::min(at + kPieceRows, rows)}, worker.index());
  }
}

// The digits of all queries, and no bounds yet.
void HeadSearch::prepare(std::uint32_t worker) {
  CpuWorkspace& workspace = step_.workspace;
  std::int8_t* const digits = workspace.head_digits(worker);
  const std::size_t stride = count_ * kernels::kDigitBytes;
  for (std::size_t i = 0; i < count_; ++i) {
    Largest(workspace.head_largest(i, worker), query(i).count).clear();
    if (!step_.matrix.copy) continue;
    scans_[i] = make_scan_query(x(i), step_.matrix.tensor.columns(),
                                digits + i * kernels::kDigitBytes, stride);
    scales_[i] = scans_[i].digits;
  }
}

void HeadSearch::bound_variates(const Slice& shared) {
  first_at_hand_ = shared.begin;
  for (std::size_t i = 0; i < count_; ++i) {
    const std::optional<GumbelDraw>& draw = query(i).draw;
    if (!draw || !scans_[i].bounded) continue;
    draw->bound(static_cast<std::int32_t>(shared.begin),
                std::span(variate_bounds_[i]).first(shared.end - shared.begin));
  }
}

void HeadSearch::bound_rows(const Slice& shared, std::uint32_t worker) {
  bound_variates(shared);
  const bool finished = scan(shared, worker);
  for (std::size_t i = 0; i < count_; ++i) {
    const Slice rows = rows_of(shared, query(i));
    bound_query(i, rows, finished, worker);
    each_within(query(i).always, rows, [&](std::size_t row) { always_reaches(i, row); });
    float* const bounds = step_.workspace.head_bounds(i);
    each_within(query(i).masked, rows, [&](std::size_t row) { bounds[row] = -kInfinity; });
  }
}

// The least lower bound of those that are the largest so far: a row below it does not matter.
float HeadSearch::least(std::size_t i, std::uint32_t worker) {
  return Largest(step_.workspace.head_largest(i, worker), query(i).count).least();
}

// Reads the rows of the copy once for all queries. True: the low digits are in, as well.
bool HeadSearch::scan(const Slice& shared, std::uint32_t worker) {
  if (!step_.matrix.copy || shared.begin >= shared.end) return true;
  const HeadCopy& copy = *step_.matrix.copy;
  const kernels::ScanTiles tiles = copy.from(shared.begin);
  const std::size_t rows = shared.end - shared.begin;
  float* values[CpuWorkspace::kHeadQueries];
  for (std::size_t i = 0; i < count_; ++i) values[i] = scanned_[i];
  if (count_ == 1) {
    step_.table.scan_rows(tiles, rows, digits(worker), values[0]);
    return true;
  }
  step_.table.scan_high(tiles, rows, digits(worker), values);
  const kernels::ScanErrors errors{copy.residuals + shared.begin, copy.norms + shared.begin};
  std::size_t groups = 0, reaching = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    if (!scans_[i].bounded) continue;
    step_.table.high_bounds(tiles, errors, rows, scanned_[i], scales_[i].scale, scans_[i].high,
                            upper_[i]);
    const float from = least(i, worker);
    for (std::size_t first = shared.begin; first < shared.end; first += kernels::kTileRows) {
      const bool reaches = any_reaches(i, group_of(first, shared.end), from);
      step_.workspace.head_reaching(i)[group_at(first)] = reaches;
      ++groups;
      reaching += reaches ? 1 : 0;
    }
  }
  if (reaching * kFewGroups <= groups) return false;
  step_.table.scan_low(tiles, rows, digits(worker), 0, count_, values);
  return true;
}

// Whether any of some rows at hand may have a bound of at least `least`.
bool HeadSearch::any_reaches(std::size_t i, const Slice& rows, float least) const {
  const std::size_t count = rows.end - rows.begin;
  const float* const upper = upper_[i] + at_hand(rows.begin);
  const std::optional<GumbelDraw>& draw = query(i).draw;
  if (!draw) {  // counted, without a branch for each
    const auto reaching = std::count_if(upper, upper + count, [&](float u) { return u >= least; });
    return reaching > 0;
  }
  const float by_temperature = 1.0f / draw->temperature;
  const float* const variates = variate_bounds_[i] + at_hand(rows.begin);
  int reaching = 0;
  for (std::size_t r = 0; r < count; ++r) {
    reaching += most_perturbed(upper[r], by_temperature, variates[r]) >= least ? 1 : 0;
  }
  return reaching > 0;
}

// The other rows of a group that did not reach until now do not.
void HeadSearch::always_reaches(std::size_t i, std::size_t row) {
  float* const bounds = step_.workspace.head_bounds(i);
  if (!std::exchange(step_.workspace.head_reaching(i)[group_at(row)], true)) {
    const Slice group = group_of(group_at(row) * kernels::kTileRows, query(i).tokens);
    std::fill(bounds + group.begin, bounds + group.end, -kInfinity);
  }
  bounds[row] = kInfinity;
}

// The bounds of some rows' logits, lower[0..) and upper[0..), become those of the perturbed ones.
// Returns the largest lower bound.
float HeadSearch::perturb_rows(std::size_t i, const Slice& rows, float* lower, float* upper) const {
  const GumbelDraw& draw = *query(i).draw;
  float most = -kInfinity;
  for (std::size_t row = rows.begin; row < rows.end; ++row) {
    const double variate = draw.variate(static_cast<std::int32_t>(row));
    float& low = lower[row - rows.begin];
    float& high = upper[row - rows.begin];
    low = static_cast<float>(draw.scaled(low) + variate);
    high = static_cast<float>(draw.scaled(high) + variate);
    most = std::max(most, low);
  }
  return most;
}

// The workspace learns which groups of rows may reach what counts by now, of these the upper bounds
// of the logits, and the largest lower bounds of the rows that count. What is scanned is only high
// digits unless it is finished.
void HeadSearch::bound_query(std::size_t i, const Slice& rows, bool finished,
                             std::uint32_t worker) {
  const ScanQuery& scan = scans_[i];
  float* const bounds = step_.workspace.head_bounds(i);
  if (!scan.bounded) {
    for (std::size_t row = rows.begin; row < rows.end; ++row) always_reaches(i, row);
    return;
  }
  Largest lowers(step_.workspace.head_largest(i, worker), query(i).count);
  const auto leave = [&](std::size_t row) {
    scanned_[i][at_hand(row)] = upper_[i][at_hand(row)] = -kInfinity;
  };
  each_within(query(i).always, rows, leave);
  each_within(query(i).masked, rows, leave);
  const HeadCopy& copy = *step_.matrix.copy;
  for (std::size_t first = rows.begin; first < rows.end; first += kernels::kTileRows) {
    const Slice group = group_of(first, rows.end);
    bool& reaches = step_.workspace.head_reaching(i)[group_at(first)];
    float* const scanned = scanned_[i] + at_hand(first);
    float* const upper = upper_[i] + at_hand(first);
    if (!finished) {
      reaches = reaches && any_reaches(i, group, lowers.least());
      if (!reaches) continue;
      float* values[CpuWorkspace::kHeadQueries] = {};
      values[i] = scanned;
      step_.table.scan_low(copy.from(first), group.end - first, digits(worker), i, 1, values);
    }
    float lower[kernels::kTileRows];
    float most = -kInfinity;
    for (std::size_t row = first; row < group.end; ++row) {
      const float s = scanned[row - first];
      const float e = off_by(scan.both, copy.residuals[row], copy.norms[row]);
      lower[row - first] = s - e;
      upper[row - first] = s + e;
      most = std::max(most, lower[row - first]);
    }
    reaches = any_reaches(i, group, lowers.least());
    if (!reaches) continue;
    if (query(i).draw) most = perturb_rows(i, group, lower, upper);
    std::copy_n(upper, group.end - first, bounds + first);
    if (!(most > lowers.least())) continue;
    for (std::size_t b = 0; b < group.end - first; ++b) lowers.offer(lower[b]);
  }
}

void HeadSearch::choose(const ThreadPool::Worker& worker) {
  CpuWorkspace& workspace = step_.workspace;
  if (worker.index() == 0) workspace.give_back_head_rows();
  for (std::size_t i = worker.index(); i < count_; i += worker.count()) {
    float* const first = workspace.head_largest(i, 0);
    const std::size_t stride = TopQuery::kMostCount;
    // The lists of the workers, moved together: each has `count` values.
    const std::size_t count = query(i).count;
    for (std::size_t other = 1; other < workspace.threads(); ++other) {
      std::copy_n(first + other * stride, count, first + other * count);
    }
    float* const end = first + workspace.threads() * count;
    std::nth_element(first, first + count - 1, end, std::greater<>());
    workspace.head_threshold(i) = first[count - 1];
  }
}

bool HeadSearch::compute(std::size_t i, const ThreadPool::Worker& worker) {
  CpuWorkspace& workspace = step_.workspace;
  const Slice rows = rows_of(rows_of(step_.queries, worker.index(), worker.count()), query(i));
  const float* bounds = workspace.head_bounds(i);
  const bool* reaching = workspace.head_reaching(i);
  const float threshold = workspace.head_threshold(i);
  const format::Tensor& head = step_.matrix.tensor;
  float* scratch = workspace.scratch(worker.index());
  TokenLogit* out = query(i).candidates.data() + rows.begin;
  std::uint32_t found = 0;
  bool finite = true;
  std::size_t row = rows.begin;
  const auto may_reach = [&](std::size_t r) {
    return r < rows.end && reaching[group_at(r)] && bounds[r] >= threshold;
  };
  for (;;) {
    while (row < rows.end && !may_reach(row)) {
      row = reaching[group_at(row)] ? row + 1 : (group_at(row) + 1) * kernels::kTileRows;
    }
    if (row >= rows.end) break;
    std::size_t end = row + 1;  // of a run of rows that are computed together
    while (end - row < CpuWorkspace::kScratchRows && may_reach(end)) ++end;
    float logits[CpuWorkspace::kScratchRows];
    exact_rows(step_.table, head, weights_of(row, end - row, worker.index()), end - row, x(i),
               scratch, logits);
    for (std::size_t r = 0; r < end - row; ++r) {
      finite = finite && std::isfinite(logits[r]);
      out[found++] = {static_cast<std::int32_t>(row + r), logits[r]};
    }
    row = end;
  }
  workspace.head_found(first_ + i, worker.index()) = found;
  return finite;
}

// Of rows that are computed exactly: few behind a scan, and without one all.
const std::byte* HeadSearch::weights_of(std::size_t row, std::size_t count, std::uint32_t worker) {
  const format::Tensor& head = step_.matrix.tensor;
  if (step_.matrix.copy) return few_rows(head, row, count, step_.workspace.file_rows(worker));
  return head.data.data() + row * format::row_bytes(head.type, head.columns());
}

void HeadSearch::gather(std::span<TopQuery> queries, CpuWorkspace& workspace) {
  const std::uint32_t workers = workspace.threads();
  for (std::size_t i = 0; i < queries.size(); ++i) {
    TopQuery& query = queries[i];
    query.found = 0;
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      const std::uint32_t found = workspace.head_found(i, worker);
      const auto at = [&](std::size_t n) {
        return query.candidates.begin() + static_cast<std::ptrdiff_t>(n);
      };
      const Slice rows = rows_of(rows_of(queries, worker, workers), query);
      std::copy_n(at(rows.begin), found, at(query.found));
      query.found += found;
    }
  }
}

}  // namespace tern::backend
