#include "backend/cpu/attention_division.h"

#include <algorithm>

namespace tern::backend {
namespace {

using kernels::kCallQueries;
using kernels::kChunkKeys;

std::uint64_t cost_of(const AttentionUnit& unit) {
  return std::uint64_t{unit.queries()} * unit.keys;
}

// As many rows as share keys and values best, unless that leaves too few units for the workers to
// be done at about the same time.
std::size_t rows_of_unit(std::size_t rows_and_heads, std::size_t workers, std::size_t most) {
  constexpr std::size_t kUnitsOfWorker = 4;
  return std::clamp<std::size_t>(rows_and_heads / (workers * kUnitsOfWorker), 1, most);
}

// At most: a row's calls, of which a single row's may be divided among workers.
std::size_t most_units(const Plan& plan, std::uint32_t rows, std::uint32_t workers) {
  const std::size_t sharing = plan.heads / plan.kv_heads;
  return rows * plan.kv_heads * ((sharing + kCallQueries - 1) / kCallQueries) + workers;
}

// Where the shares of workers begin in the row of units, and what that means in calls of one.
struct Cutter {
  std::uint64_t total;  // cost of all units
  std::uint32_t workers;
  std::size_t kept_states;

  // The first call of the unit that belongs to workers from `worker` on; `before` is the cost of
  // the units before it.
  std::size_t cut(const AttentionUnit& unit, std::uint64_t before, std::uint32_t worker) const {
    const std::uint64_t at = total * worker / workers;
    if (at <= before) return 0;
    const std::uint64_t within = at - before;
    const std::uint64_t cost = cost_of(unit);
    if (within >= cost) return unit.calls();
    if (!may_be_cut(unit)) return 2 * within < cost ? 0 : unit.calls();
    return within / (std::uint64_t{unit.call_queries()} * kChunkKeys);
  }

  // A section is no longer than its unit, nor than a worker's share and what rounding adds.
  bool may_be_cut(const AttentionUnit& unit) const {
    const std::uint64_t share = total / workers / kChunkKeys + 3 * unit.queries();
    return std::min<std::uint64_t>(unit.queries() * unit.chunks(), share) <= kept_states;
  }
};

}  // namespace

AttentionDivision::AttentionDivision(const Plan& plan, std::uint32_t rows, std::uint32_t workers) {
  const std::size_t units = most_units(plan, rows, workers);
  units_.reserve(units);
  sections_.reserve(units + workers);
  first_.reserve(std::size_t{workers} + 1);
  shared_.reserve(workers);
  open_ = std::vector<OpenCalls>(std::size_t{2} * workers);
}

std::uint64_t AttentionDivision::bytes(const Plan& plan, std::uint32_t rows,
                                       std::uint32_t workers) {
  const std::size_t units = most_units(plan, rows, workers);
  return units * sizeof(AttentionUnit) + (units + workers) * sizeof(AttentionSection) +
         (workers + std::uint64_t{1}) * sizeof(std::size_t) + workers * sizeof(Slice) +
         2 * workers * sizeof(OpenCalls);
}

void AttentionDivision::divide(const Plan& plan, std::span<const BatchRow> rows,
                               std::uint32_t workers, std::size_t kept_states) {
  list_units(plan, rows, workers);
  cut_units(workers, kept_states);
  open_shared(workers);
}

void AttentionDivision::list_units(const Plan& plan, std::span<const BatchRow> rows,
                                   std::uint32_t workers) {
  units_.clear();
  const std::uint32_t sharing = plan.heads / plan.kv_heads;
  // A single chunk is divided by its query heads, evenly.
  const bool by_heads = rows.size() == 1 && rows[0].position < kChunkKeys;
  const auto most_heads = std::min<std::uint32_t>(sharing, kCallQueries);
  const std::size_t most_rows =
      rows_of_unit(rows.size() * plan.kv_heads, workers, kCallQueries / most_heads);
  for (std::size_t row = 0; row < rows.size();) {
    std::size_t last = row + 1;
    while (last < rows.size() && last - row < most_rows && rows[last].cache == rows[row].cache) {
      ++last;
    }
    const std::size_t keys = std::size_t{rows[last - 1].position} + 1;
    const bool all_heads = last == row + 1 && !by_heads && sharing <= kCallQueries;
    std::uint32_t worker = 0;
    for (std::uint32_t head = 0; head < plan.heads;) {
      std::uint32_t count = std::min(most_heads, sharing - head % sharing);
      if (by_heads) {
        Slice own = slice_of(plan.heads, 1, worker, workers);
        while (own.end <= head) own = slice_of(plan.heads, 1, ++worker, workers);
        count = std::min(count, static_cast<std::uint32_t>(own.end) - head);
      }
      const std::uint32_t heads = all_heads ? plan.heads : count;
      units_.push_back({{row, last}, head, heads, count, keys});
      head += heads;
    }
    row = last;
  }
}

void AttentionDivision::cut_units(std::uint32_t workers, std::size_t kept_states) {
  sections_.clear();
  shared_.clear();
  first_.assign(workers + std::size_t{1}, 0);
  std::uint64_t total = 0;
  for (const AttentionUnit& unit : units_) total += cost_of(unit);
  const Cutter cutter{total, workers, kept_states};
  std::uint64_t before = 0;
  std::uint32_t worker = 0;  // whose share reaches into the unit
  for (const AttentionUnit& unit : units_) {
    const std::size_t first = sections_.size();
    for (std::size_t begin = 0; begin < unit.calls();) {
      const std::size_t end =
          worker + 1 == workers ? unit.calls() : cutter.cut(unit, before, worker + 1);
      if (end > begin) {
        sections_.push_back({unit, begin, end, worker});
        ++first_[worker + 1];
        begin = end;
      }
      if (begin < unit.calls()) ++worker;
    }
    if (sections_.size() - first > 1) shared_.push_back({first, sections_.size()});
    before += cost_of(unit);
  }
  for (std::uint32_t i = 0; i < workers; ++i) first_[i + 1] += first_[i];
}

void AttentionDivision::open_shared(std::uint32_t workers) {
  const std::size_t most = std::size_t{2} * workers;
  if (open_.size() < most) open_ = std::vector<OpenCalls>(most);
  std::uint32_t count = 0;
  for (const Slice& shared : shared_) {
    for (std::size_t i = shared.begin; i < shared.end; ++i) {
      AttentionSection& section = sections_[i];
      // A worker has room for the states of one section: of the unit before, if it shares that,
      // too.
      if (section.begin == 0 && sections_[first_[section.worker]].begin > 0) continue;
      section.open = count++;
      open_[section.open].open(section.begin, section.end);
    }
  }
}

}  // namespace tern::backend
