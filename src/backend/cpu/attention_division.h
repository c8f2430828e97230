// Which worker computes what of a batch's attention.
//
// A unit is some query heads of some rows of one sequence, over all keys that they see: a call of
// the kernel after the other, chunk by chunk and, of a chunk, KV head by KV head, as keys and
// values lie in memory. Of several rows a unit has the queries of one call, of a single row all
// heads. Units stand in a row, each as long as the keys of its queries, and every worker has an
// equal part of that row: some whole units and, at either end, some calls of one. So a worker reads
// keys and values in long runs, and one long sequence keeps all workers busy, whatever its company.
// Of the unit that it shares with others a worker who is late gives calls away. No division changes
// a result.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/open_calls.h"
#include "core/thread_pool.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

struct AttentionUnit {
  Slice rows;  // of the batch; of one sequence, and ascending
  std::uint32_t first_head;
  std::uint32_t heads;
  std::uint32_t call_heads;  // of one KV head, which a call takes; divides `heads`
  std::size_t keys;          // that the last row sees

  std::size_t queries() const { return (rows.end - rows.begin) * heads; }
  std::size_t call_queries() const { return (rows.end - rows.begin) * call_heads; }
  std::size_t chunks() const { return (keys + kernels::kChunkKeys - 1) / kernels::kChunkKeys; }
  std::size_t calls_a_chunk() const { return heads / call_heads; }
  std::size_t calls() const { return chunks() * calls_a_chunk(); }
};

// Calls [begin, end) of a unit on one worker.
struct AttentionSection {
  static constexpr std::uint32_t kClosed = std::numeric_limits<std::uint32_t>::max();

  AttentionUnit unit;
  std::size_t begin;
  std::size_t end;
  std::uint32_t worker;
  std::uint32_t open = kClosed;  // which of the open calls, where others may take some
};

class AttentionDivision {
 public:
  AttentionDivision() = default;
  // For up to so many rows: dividing them allocates nothing.
  AttentionDivision(const Plan& plan, std::uint32_t rows, std::uint32_t workers);
  static std::uint64_t bytes(const Plan& plan, std::uint32_t rows, std::uint32_t workers);

  // A worker that begins within a unit keeps the states of all queries of each chunk, as one that
  // begins it does of the chunks that others took, and has room for `kept_states`: where that would
  // not do, units are divided at their ends alone. Forgets what was divided before.
  void divide(const Plan& plan, std::span<const BatchRow> rows, std::uint32_t workers,
              std::size_t kept_states);

  // In the order in which the worker takes them.
  std::span<const AttentionSection> sections(std::uint32_t worker) const {
    return std::span(sections_).subspan(first_[worker], first_[worker + 1] - first_[worker]);
  }
  // The sections of each unit that several workers share: ascending, and so are the workers. It is
  // the last one that the first of them takes, and the first one of each other.
  std::size_t shared_units() const { return shared_.size(); }
  std::span<const AttentionSection> shared(std::size_t unit) const {
    return std::span(sections_).subspan(shared_[unit].begin,
                                        shared_[unit].end - shared_[unit].begin);
  }
  // Of a section that is open; at first all of its calls.
  OpenCalls& open_calls(const AttentionSection& section) { return open_[section.open]; }

 private:
  void list_units(const Plan& plan, std::span<const BatchRow> rows, std::uint32_t workers);
  void cut_units(std::uint32_t workers, std::size_t kept_states);
  void open_shared(std::uint32_t workers);

  std::vector<AttentionUnit> units_;
  std::vector<AttentionSection> sections_;  // unit by unit, and so worker by worker, too
  std::vector<std::size_t> first_;          // section of each worker, and behind the last one
  std::vector<Slice> shared_;               // of the sections
  std::vector<OpenCalls> open_;             // two a worker, for so many shared sections it can have
};

}  // namespace tern::backend
