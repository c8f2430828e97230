#include "backend/cpu/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "backend/cpu/kv_cache.h"

namespace tern::backend {
namespace {

using kernels::AttentionState;
using kernels::kChunkKeys;
using kernels::kPageKeys;
using kernels::kPagesPerChunk;

// What the two types of a cache do differently.
struct F16 {
  using Query = kernels::AttentionQuery;
  using Page = kernels::KeyValuePage;
  static constexpr auto kAttend = &kernels::KernelTable::attention_chunk;
  static constexpr auto kPage = &CpuKvCache::f16_page;
  static constexpr auto kQueries = &CpuWorkspace::f16_queries;

  static bool prepare(const AttentionStep&, const float* q, std::int8_t*, Query& query) {
    query.q = q;
    return true;
  }
};

struct Int8 {
  using Query = kernels::Int8Query;
  using Page = kernels::Int8Page;
  static constexpr auto kAttend = &kernels::KernelTable::attention_chunk_int8;
  static constexpr auto kPage = &CpuKvCache::int8_page;
  static constexpr auto kQueries = &CpuWorkspace::int8_queries;

  static bool prepare(const AttentionStep& step, const float* q, std::int8_t* codes, Query& query) {
    query.codes = codes;
    return step.table.quantize(q, step.plan.head_dim, step.workspace.query_width(), codes,
                               &query.scale, &query.sum);
  }
};

template <typename Function>
void with_type(format::KvType type, const Function& function) {
  if (type == format::KvType::kF16) {
    function(F16());
  } else {
    function(Int8());
  }
}

void make_empty(AttentionState& state, std::size_t width) {
  state.maximum = -std::numeric_limits<float>::infinity();
  state.sum = 0.0f;
  std::memset(state.out, 0, width * sizeof(float));
}

CpuKvCache& cache_of(const AttentionStep& step, const AttentionUnit& unit) {
  return static_cast<CpuKvCache&>(*step.batch.rows[unit.rows.begin].cache);
}

format::KvType type_of(const AttentionStep& step, const AttentionUnit& unit) {
  return cache_of(step, unit).shape().type;
}

// Query i of a unit is that of row i / heads and head i % heads.
std::size_t row_of(const AttentionUnit& unit, std::size_t query) {
  return unit.rows.begin + query / unit.heads;
}

std::size_t offset_of(const AttentionStep& step, const AttentionUnit& unit, std::size_t query) {
  return (unit.first_head + query % unit.heads) * std::size_t{step.plan.head_dim};
}

std::size_t keys_of(const AttentionStep& step, const AttentionUnit& unit, std::size_t query) {
  return std::size_t{step.batch.rows[row_of(unit, query)].position} + 1;
}

bool sees(const AttentionStep& step, const AttentionUnit& unit, std::size_t query,
          std::size_t chunk) {
  return keys_of(step, unit, query) > chunk * kChunkKeys;
}

void write(const AttentionStep& step, const AttentionUnit& unit, std::size_t query,
           const AttentionState& total) {
  step.table.attention_output(
      total, step.plan.head_dim,
      step.slots.row(step.op.out, row_of(unit, query)) + offset_of(step, unit, query));
}

// Where the state of a query over a chunk of a section is kept that cannot be folded at once.
AttentionState* kept_state(const AttentionStep& step, const AttentionSection& section,
                           std::size_t chunk, std::size_t query) {
  const AttentionUnit& unit = section.unit;
  const std::size_t before = section.begin / unit.calls_a_chunk();
  return step.workspace.kept_attention(section.worker) + (chunk - before) * unit.queries() + query;
}

template <typename Type>
using Pages = std::array<typename Type::Page, kPagesPerChunk>;

// The pages that a call of the unit reads, as many as there are; whether that is a whole chunk.
template <typename Type>
bool find_pages(const AttentionStep& step, const AttentionUnit& unit, std::size_t call,
                Pages<Type>& pages) {
  const CpuKvCache& cache = cache_of(step, unit);
  const auto group = static_cast<std::uint32_t>(call % unit.calls_a_chunk());
  const std::uint32_t head = unit.first_head + group * unit.call_heads;
  const std::uint32_t kv_head = head / (step.plan.heads / step.plan.kv_heads);
  const std::size_t first = call / unit.calls_a_chunk() * kPagesPerChunk;
  const std::size_t all = (unit.keys + kPageKeys - 1) / kPageKeys;
  const std::size_t count = std::min(kPagesPerChunk, all - first);
  for (std::size_t page = 0; page < count; ++page) {
    pages[page] = (cache.*Type::kPage)(first + page, step.op.layer, kv_head);
  }
  return count == kPagesPerChunk;
}

// The queries of a unit over call after call. A worker has one such set at a time.
template <typename Type>
class Queries {
 public:
  Queries(const AttentionStep& step, const AttentionUnit& unit, std::uint32_t worker)
      : step_(step),
        unit_(unit),
        scale_(1.0f / std::sqrt(static_cast<float>(step.plan.head_dim))),
        queries_((step.workspace.*Type::kQueries)(worker)) {
    std::int8_t* codes = step.workspace.query_codes(worker);
    for (std::size_t i = 0; i < unit.queries(); ++i, codes += step.workspace.query_width()) {
      const float* q = step.slots.row(step.op.in, row_of(unit, i)) + offset_of(step, unit, i);
      if (!Type::prepare(step, q, codes, queries_[i])) {
        step.workspace.fail(step.op, step.plan, row_of(unit, i));
      }
    }
  }

  // parts[i - begin] = query i in the call, for i in [begin, end), of which each sees a key of its
  // chunk. What is read next is call `next_call` of `next`, or nothing.
  void over(std::size_t call, std::size_t begin, std::size_t end, AttentionState* parts,
            const AttentionUnit* next, std::size_t next_call) {
    if (!ready_) find_pages<Type>(step_, unit_, call, pages_);
    // A whole chunk, or what is not there would be asked for.
    ready_ = next != nullptr && type_of(step_, *next) == type_of(step_, unit_) &&
             find_pages<Type>(step_, *next, next_call, next_pages_);
    const std::size_t before = call / unit_.calls_a_chunk() * kChunkKeys;
    for (std::size_t i = begin; i < end; ++i) {
      queries_[i].keys = std::min(kChunkKeys, keys_of(step_, unit_, i) - before);
    }
    (step_.table.*Type::kAttend)(
        queries_ + begin, end - begin, scale_,
        {pages_.data(), step_.plan.head_dim, ready_ ? next_pages_.data() : nullptr}, parts);
    pages_.swap(next_pages_);
  }

 private:
  const AttentionStep& step_;
  const AttentionUnit& unit_;
  float scale_;
  typename Type::Query* queries_;
  Pages<Type> pages_;       // of the call at hand, where they were found before it
  Pages<Type> next_pages_;  // of the one after it
  bool ready_ = false;
};

// What a worker reads behind a call.
struct Next {
  const AttentionUnit* unit;  // null: nothing
  std::size_t call;
};

// One call of a section, folded into `totals` as soon as it is there. Without them its states are
// kept, since what stands before them comes first.
template <typename Type>
void attend_call(const AttentionStep& step, const AttentionSection& section, std::size_t call,
                 const Next& next, Queries<Type>& queries, AttentionState* parts,
                 AttentionState* totals) {
  const AttentionUnit& unit = section.unit;
  const std::size_t chunk = call / unit.calls_a_chunk();
  std::size_t begin = call % unit.calls_a_chunk() * unit.call_queries();
  const std::size_t end = begin + unit.call_queries();
  while (!sees(step, unit, begin, chunk)) ++begin;
  if (totals == nullptr) parts = kept_state(step, section, chunk, begin);
  queries.over(call, begin, end, parts, next.unit, next.call);
  for (std::size_t i = begin; totals != nullptr && i < end; ++i) {
    step.table.attention_fold(parts[i - begin], step.plan.head_dim, &totals[i]);
  }
}

// What a worker has of a unit. A section that begins it has totals. `next` is what the worker takes
// next, or null.
template <typename Type>
void attend_section(const AttentionStep& step, const AttentionSection& section,
                    const AttentionSection* next, std::uint32_t worker) {
  const AttentionUnit& unit = section.unit;
  const bool folds = section.begin == 0;
  Queries<Type> queries(step, unit, worker);
  AttentionState* const parts = step.workspace.attention_parts(worker);
  AttentionState* const totals = folds ? step.workspace.attention_totals(worker) : nullptr;
  const std::size_t width = cache_of(step, unit).shape().value_width();
  if (folds) {
    for (AttentionState& total : std::span(totals, unit.queries())) make_empty(total, width);
  }
  const auto attend = [&](std::size_t call) {
    Next then{&unit, call + 1};
    if (then.call == section.end) {
      then = next == nullptr ? Next{nullptr, 0} : Next{&next->unit, next->begin};
    }
    attend_call(step, section, call, then, queries, parts, totals);
  };
  if (section.open == AttentionSection::kClosed) {
    for (std::size_t call = section.begin; call < section.end; ++call) attend(call);
  } else {
    OpenCalls& open = step.workspace.attention().open_calls(section);
    while (const auto call = open.take_first()) attend(*call);
  }
  if (!folds || section.end < unit.calls()) return;
  for (std::size_t i = 0; i < unit.queries(); ++i) write(step, unit, i, totals[i]);
}

// What its worker will not come to for a while.
template <typename Type>
void help(const AttentionStep& step, const AttentionSection& section, std::uint32_t worker) {
  OpenCalls& open = step.workspace.attention().open_calls(section);
  std::optional<Slice> calls = open.take_last();
  if (!calls) return;
  Queries<Type> queries(step, section.unit, worker);
  for (; calls; calls = open.take_last()) {
    for (std::size_t call = calls->begin; call < calls->end; ++call) {
      const Next then = call + 1 < calls->end ? Next{&section.unit, call + 1} : Next{nullptr, 0};
      attend_call<Type>(step, section, call, then, queries, nullptr, nullptr);
    }
  }
}

// The first call of a section whose states were kept.
std::size_t first_kept(const AttentionStep& step, const AttentionSection& section) {
  if (section.begin > 0) return section.begin;
  if (section.open == AttentionSection::kClosed) return section.end;
  return step.workspace.attention().open_calls(section).front_end();
}

// The worker's part of the queries of a unit that several of them share: what was kept is folded
// behind the totals of the first of them, chunk by chunk, for so the states of its queries lie side
// by side.
void fold_shared(const AttentionStep& step, std::span<const AttentionSection> sections,
                 const ThreadPool::Worker& worker) {
  const AttentionUnit& unit = sections[0].unit;
  AttentionState* totals = step.workspace.attention_totals(sections[0].worker);
  const Slice own = slice_of(unit.queries(), 1, worker.index(), worker.count());
  const std::size_t calls = unit.calls_a_chunk();
  for (const AttentionSection& section : sections) {
    const std::size_t begin = first_kept(step, section);
    for (std::size_t chunk = begin / calls; chunk * calls < section.end; ++chunk) {
      for (std::size_t i = own.begin; i < own.end; ++i) {
        const std::size_t call = chunk * calls + i / unit.call_queries();
        if (call < begin || call >= section.end || !sees(step, unit, i, chunk)) continue;
        step.table.attention_fold(*kept_state(step, section, chunk, i), step.plan.head_dim,
                                  &totals[i]);
      }
    }
  }
  for (std::size_t i = own.begin; i < own.end; ++i) write(step, unit, i, totals[i]);
}

template <typename Function>
void for_open(const AttentionDivision& division, const Function& function) {
  for (std::size_t unit = 0; unit < division.shared_units(); ++unit) {
    for (const AttentionSection& section : division.shared(unit)) {
      if (section.open != AttentionSection::kClosed) function(section);
    }
  }
}

}  // namespace

void attend(const AttentionStep& step, ThreadPool::Worker& worker) {
  AttentionDivision& division = step.workspace.attention();
  const std::span<const AttentionSection> sections = division.sections(worker.index());
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const AttentionSection* next = i + 1 < sections.size() ? &sections[i + 1] : nullptr;
    with_type(type_of(step, sections[i].unit), [&]<typename Type>(Type) {
      attend_section<Type>(step, sections[i], next, worker.index());
    });
  }
  if (division.shared_units() == 0) return;
  for_open(division, [&](const AttentionSection& section) {
    with_type(type_of(step, section.unit),
              [&]<typename Type>(Type) { help<Type>(step, section, worker.index()); });
  });
  worker.barrier();
  for (std::size_t unit = 0; unit < division.shared_units(); ++unit) {
    fold_shared(step, division.shared(unit), worker);
  }
  for_open(division, [&](const AttentionSection& section) {  // for the next layer
    division.open_calls(section).open(section.begin, section.end);
  });
}

}  // namespace tern::backend
