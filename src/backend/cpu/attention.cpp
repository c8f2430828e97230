#include "backend/cpu/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "backend/cpu/kv_cache.h"

namespace tern::backend {
namespace {

using kernels::AttentionState;
using kernels::kCallQueries;
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

// A run of query heads.
struct Heads {
  std::uint32_t first;
  std::uint32_t count;
};

void make_empty(AttentionState& state, std::size_t width) {
  state.maximum = -std::numeric_limits<float>::infinity();
  state.sum = 0.0f;
  std::memset(state.out, 0, width * sizeof(float));
}

CpuKvCache& cache_of(const AttentionStep& step, std::size_t row) {
  return static_cast<CpuKvCache&>(*step.batch.rows[row].cache);
}

std::uint32_t heads_per_kv_head(const Plan& plan) { return plan.heads / plan.kv_heads; }

// The queries of some heads of some rows, which are of one sequence and ascend: query i is that of
// row i / heads.count and head i % heads.count. A worker has one such set at a time.
template <typename Type>
class Queries {
 public:
  Queries(const AttentionStep& step, const Slice& rows, const Heads& heads, std::uint32_t worker)
      : step_(step),
        rows_(rows),
        heads_(heads),
        scale_(1.0f / std::sqrt(static_cast<float>(step.plan.head_dim))),
        queries_((step.workspace.*Type::kQueries)(worker)) {
    std::int8_t* codes = step.workspace.query_codes(worker);
    for (std::size_t i = 0; i < count(); ++i, codes += step.workspace.query_width()) {
      const float* q = step.slots.row(step.op.in, row_of(i)) + offset_of(i);
      if (!Type::prepare(step, q, codes, queries_[i])) {
        step.workspace.fail(step.op, step.plan, row_of(i));
      }
    }
  }

  std::size_t count() const { return (rows_.end - rows_.begin) * heads_.count; }
  std::size_t chunks() const { return position(rows_.end - 1) / kChunkKeys + 1; }

  // The first query, `from` or later, that sees a key of the chunk.
  std::size_t first_active(std::size_t chunk, std::size_t from) const {
    while (position(row_of(from)) < chunk * kChunkKeys) ++from;
    return from;
  }

  // parts[i - begin] = query i over the chunk, for i in [begin, end): kCallQueries at most, all of
  // one KV head, and each sees a key of the chunk. The next call, if there is one, begins with
  // query `next` over `next_chunk`; without one that is chunks().
  void over(std::size_t chunk, std::size_t begin, std::size_t end, AttentionState* parts,
            std::size_t next_chunk, std::size_t next) {
    if (!ready_) find_pages(chunk, begin, pages_);
    // All of them, or what is not there would be asked for.
    ready_ = (next_chunk + 1) * kPagesPerChunk <= all_pages();
    if (ready_) find_pages(next_chunk, next, next_pages_);
    for (std::size_t i = begin; i < end; ++i) {
      queries_[i].keys = std::min(kChunkKeys, position(row_of(i)) + 1 - chunk * kChunkKeys);
    }
    (step_.table.*Type::kAttend)(
        queries_ + begin, end - begin, scale_,
        {pages_.data(), step_.plan.head_dim, ready_ ? next_pages_.data() : nullptr}, parts);
    pages_.swap(next_pages_);
  }

  void write(std::size_t i, const AttentionState& total) const {
    step_.table.attention_output(total, step_.plan.head_dim,
                                 step_.slots.row(step_.op.out, row_of(i)) + offset_of(i));
  }

 private:
  std::size_t row_of(std::size_t i) const { return rows_.begin + i / heads_.count; }
  std::size_t offset_of(std::size_t i) const {
    return (heads_.first + i % heads_.count) * std::size_t{step_.plan.head_dim};
  }
  std::size_t position(std::size_t row) const { return step_.batch.rows[row].position; }

  using Pages = std::array<typename Type::Page, kPagesPerChunk>;
  std::size_t all_pages() const { return position(rows_.end - 1) / kPageKeys + 1; }
  // Of the chunk and of the KV head of a query; as many as there are.
  void find_pages(std::size_t chunk, std::size_t query, Pages& pages) const {
    const CpuKvCache& cache = cache_of(step_, rows_.begin);
    const std::size_t head = offset_of(query) / step_.plan.head_dim / heads_per_kv_head(step_.plan);
    const std::size_t first = chunk * kPagesPerChunk;
    const std::size_t count = std::min(kPagesPerChunk, all_pages() - first);
    for (std::size_t page = 0; page < count; ++page) {
      pages[page] =
          (cache.*Type::kPage)(first + page, step_.op.layer, static_cast<std::uint32_t>(head));
    }
  }

  const AttentionStep& step_;
  Slice rows_;
  Heads heads_;
  float scale_;
  typename Type::Query* queries_;
  Pages pages_;       // of the call at hand, where they were found before it
  Pages next_pages_;  // of the one after it
  bool ready_ = false;
};

// Some rows and heads on one worker: each chunk is folded as soon as it is there.
template <typename Type>
void attend_alone(const AttentionStep& step, const Slice& rows, const Heads& heads,
                  std::uint32_t worker) {
  const std::size_t width = cache_of(step, rows.begin).shape().value_width();
  Queries<Type> queries(step, rows, heads, worker);
  AttentionState parts[kCallQueries];
  AttentionState totals[kCallQueries];
  for (std::size_t i = 0; i < queries.count(); ++i) {
    parts[i].out = step.workspace.scratch(worker) + 2 * i * width;
    totals[i].out = parts[i].out + width;
    make_empty(totals[i], width);
  }
  std::size_t active = 0;
  for (std::size_t chunk = 0; chunk < queries.chunks(); ++chunk) {
    active = queries.first_active(chunk, active);
    queries.over(chunk, active, queries.count(), parts + active, chunk + 1, active);
    for (std::size_t i = active; i < queries.count(); ++i) {
      step.table.attention_fold(parts[i], step.plan.head_dim, &totals[i]);
    }
  }
  for (std::size_t i = 0; i < queries.count(); ++i) queries.write(i, totals[i]);
}

// The states of `chunks` chunks from `first` on, of all query heads. Item chunk * heads + head is
// one query head over one chunk, and items go to the workers in equal runs: the keys and values of
// a run stand one after the other in memory.
template <typename Type>
void leave_parts(const AttentionStep& step, Queries<Type>& queries, std::size_t first,
                 std::size_t chunks, const ThreadPool::Worker& worker) {
  const std::size_t heads = queries.count();
  const std::size_t shared = heads_per_kv_head(step.plan);
  const Slice own = slice_of(heads * chunks, 1, worker.index(), worker.count());
  for (std::size_t item = own.begin; item < own.end;) {
    const std::size_t chunk = item / heads;
    const std::size_t head = item % heads;
    const std::size_t count = std::min({own.end - item, shared - head % shared, kCallQueries});
    const std::size_t next = item + count;
    const std::size_t next_chunk = next < own.end ? first + next / heads : queries.chunks();
    queries.over(first + chunk, head, head + count, &step.workspace.part(chunk, head), next_chunk,
                 next % heads);
    item = next;
  }
}

// One row, its chunks divided among all workers, as many at a time as there is room for states.
template <typename Type>
void attend_by_chunks(const AttentionStep& step, ThreadPool::Worker& worker) {
  CpuWorkspace& workspace = step.workspace;
  Queries<Type> queries(step, {0, 1}, {0, step.plan.heads}, worker.index());
  const Slice own = slice_of(step.plan.heads, 1, worker.index(), worker.count());
  const std::size_t width = cache_of(step, 0).shape().value_width();
  for (std::size_t head = own.begin; head < own.end; ++head) {
    make_empty(workspace.total(head), width);
  }
  for (std::size_t first = 0; first < queries.chunks(); first += CpuWorkspace::kPartChunks) {
    const std::size_t chunks = std::min(CpuWorkspace::kPartChunks, queries.chunks() - first);
    if (first > 0) worker.barrier();  // the states before these are folded
    leave_parts(step, queries, first, chunks, worker);
    worker.barrier();
    for (std::size_t head = own.begin; head < own.end; ++head) {
      for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
        step.table.attention_fold(workspace.part(chunk, head), step.plan.head_dim,
                                  &workspace.total(head));
      }
    }
  }
  for (std::size_t head = own.begin; head < own.end; ++head) {
    queries.write(head, workspace.total(head));
  }
}

void attend_unit(const AttentionStep& step, const Slice& rows, const Heads& heads,
                 std::uint32_t worker) {
  if (cache_of(step, rows.begin).shape().type == format::KvType::kF16) {
    attend_alone<F16>(step, rows, heads, worker);
  } else {
    attend_alone<Int8>(step, rows, heads, worker);
  }
}

// One row is divided by query heads, evenly.
void attend_one_row(const AttentionStep& step, const ThreadPool::Worker& worker) {
  const std::uint32_t shared = heads_per_kv_head(step.plan);
  const Slice own = slice_of(step.plan.heads, 1, worker.index(), worker.count());
  for (auto head = static_cast<std::uint32_t>(own.begin); head < own.end;) {
    const auto left = static_cast<std::uint32_t>(own.end) - head;
    const std::uint32_t count =
        std::min({static_cast<std::uint32_t>(kCallQueries), shared - head % shared, left});
    attend_unit(step, {0, 1}, {head, count}, worker.index());
    head += count;
  }
}

// As many rows as share keys and values best, unless that leaves too few units for the workers to
// be done at about the same time.
std::size_t rows_of_unit(std::size_t rows_and_heads, std::size_t workers, std::size_t most) {
  constexpr std::size_t kUnitsOfWorker = 4;
  return std::clamp<std::size_t>(rows_and_heads / (workers * kUnitsOfWorker), 1, most);
}

// Of several rows, a unit is some rows and the query heads of one KV head, and units go to the
// workers in turn, for later rows see more keys.
void attend_rows(const AttentionStep& step, const ThreadPool::Worker& worker) {
  const std::uint32_t shared = heads_per_kv_head(step.plan);
  const auto most_heads = std::min<std::uint32_t>(shared, kCallQueries);
  const std::span<const BatchRow> rows = step.batch.rows;
  const std::size_t most_rows =
      rows_of_unit(rows.size() * step.plan.kv_heads, worker.count(), kCallQueries / most_heads);
  std::size_t unit = 0;
  for (std::size_t row = 0; row < rows.size();) {
    std::size_t last = row + 1;
    while (last < rows.size() && last - row < most_rows && rows[last].cache == rows[row].cache) {
      ++last;
    }
    for (std::uint32_t head = 0; head < step.plan.heads; ++unit) {
      const std::uint32_t count = std::min(most_heads, shared - head % shared);
      if (unit % worker.count() == worker.index()) {
        attend_unit(step, {row, last}, {head, count}, worker.index());
      }
      head += count;
    }
    row = last;
  }
}

}  // namespace

void attend(const AttentionStep& step, ThreadPool::Worker& worker) {
  if (step.batch.rows.size() > 1) {
    attend_rows(step, worker);
  } else if (step.batch.rows[0].position < kChunkKeys) {
    attend_one_row(step, worker);
  } else if (cache_of(step, 0).shape().type == format::KvType::kF16) {
    attend_by_chunks<F16>(step, worker);
  } else {
    attend_by_chunks<Int8>(step, worker);
  }
}

}  // namespace tern::backend
