// The slots of a plan in CPU memory, allocated once for a largest batch.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/attention_division.h"
#include "backend/cpu/linear_division.h"
#include "backend/cpu/schedule.h"
#include "backend/cpu/slots.h"
#include "core/aligned_buffer.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

class CpuWorkspace final : public Workspace {
 public:
  static Result<std::unique_ptr<CpuWorkspace>> make(const Plan& plan, std::uint32_t rows,
                                                    std::uint32_t threads);
  static std::uint64_t bytes(const Plan& plan, std::uint32_t rows, std::uint32_t threads);

  std::uint32_t rows() const { return rows_; }
  std::uint32_t threads() const { return threads_; }

  // The slots as a worker sees them while a batch of one row, or of several, is computed; and who
  // computes what then. Behind the slots of the plan stands one for cosines and sines.
  const Slots& slots(bool one_row, std::uint32_t worker) const {
    return one_row ? own_slots_[worker] : slots_;
  }
  const Schedule& schedule(bool one_row) const { return one_row ? one_row_ : several_rows_; }

  // Cosines and sines of a row's position, head_dim / 2 of each.
  float* cosines(const Slots& slots, std::size_t row) const { return slots.row(rope_slot_, row); }
  float* sines(const Slots& slots, std::size_t row) const { return cosines(slots, row) + half_; }

  // The first operation that failed on a row, whichever worker met it.
  static constexpr std::uint32_t kNoFailure = ~0u;
  void forget_failures() {
    for (auto& operation : failures_) operation.store(kNoFailure, std::memory_order_relaxed);
  }
  void fail(const Op& op, const Plan& plan, std::size_t row);
  std::uint32_t failure(std::size_t row) const { return failures_[row].load(); }

  // For the search for the largest logits of up to kHeadQueries rows at once: of each, whether any
  // of a group of kTileRows tokens may be among them, a bound a token where so, the largest lower
  // bounds of each thread, and the threshold. A thread's own: the digits of all of them.
  static constexpr std::size_t kHeadQueries = 16;
  float* head_bounds(std::size_t query) { return head_.as<float>() + query * query_floats(); }
  bool* head_reaching(std::size_t query) { return head_reaching_.get() + query * groups_; }
  float* head_largest(std::size_t query, std::uint32_t worker) {
    return head_bounds(query) + vocab_ + std::size_t{worker} * TopQuery::kMostCount;
  }
  float& head_threshold(std::size_t query) { return *head_largest(query, threads_); }
  std::int8_t* head_digits(std::uint32_t worker) {
    return digits_.as<std::int8_t>() + worker * digit_bytes_;
  }
  // The first of `count` rows of a head that no worker has taken, counted from 0, until all are
  // given back.
  std::size_t take_head_rows(std::size_t count) {
    return head_taken_.fetch_add(count, std::memory_order_relaxed);
  }
  void give_back_head_rows() { head_taken_.store(0, std::memory_order_relaxed); }
  // How many logits each thread computed for any query of the batch.
  std::uint32_t& head_found(std::size_t query, std::uint32_t worker) {
    return head_found_[query * threads_ + worker];
  }

  // A thread's own memory: kScratchRows dequantised rows, and as many in the blocks of a file.
  static constexpr std::size_t kScratchRows = 4;
  float* scratch(std::uint32_t worker) { return scratch_.as<float>() + worker * scratch_floats_; }
  std::byte* file_rows(std::uint32_t worker) {
    return reinterpret_cast<std::byte*>(scratch(worker) + scratch_floats_ / 2);
  }

  // A thread's own queries, as many as there are heads and at least kCallQueries, and memory for
  // their int8 codes, or for those of one key or value.
  kernels::AttentionQuery* f16_queries(std::uint32_t worker) {
    return f16_queries_.data() + worker * queries_;
  }
  kernels::Int8Query* int8_queries(std::uint32_t worker) {
    return int8_queries_.data() + worker * queries_;
  }
  std::size_t query_width() const { return query_width_; }
  std::int8_t* query_codes(std::uint32_t worker) {
    return query_codes_.as<std::int8_t>() + worker * queries_ * query_width_;
  }

  // Of the batch at hand, and the states of each thread's attention: those of a call, the totals of
  // all queries, and those of single chunks that wait for others before them, of all heads of a row
  // over kKeptChunks chunks.
  AttentionDivision& attention() { return attention_; }
  static constexpr std::size_t kKeptChunks = 256;
  kernels::AttentionState* attention_parts(std::uint32_t worker) {
    return states_.data() + worker * (kernels::kCallQueries + queries_ + kept_states_);
  }
  kernels::AttentionState* attention_totals(std::uint32_t worker) {
    return attention_parts(worker) + kernels::kCallQueries;
  }
  kernels::AttentionState* kept_attention(std::uint32_t worker) {
    return attention_totals(worker) + queries_;
  }
  std::size_t kept_states() const { return kept_states_; }

  LinearDivision& linears() { return linears_; }

 private:
  CpuWorkspace() = default;
  std::size_t query_floats() const {
    return vocab_ + std::size_t{threads_} * TopQuery::kMostCount + 1;
  }
  Result<void> make_head(const Plan& plan, std::uint32_t rows);
  Result<void> make_slots(const Plan& plan, std::uint32_t rows);
  Result<void> make_attention(const Plan& plan, std::uint32_t rows, std::uint32_t threads);

  std::uint32_t rows_ = 0;
  std::uint32_t threads_ = 0;
  std::size_t half_ = 0;
  std::size_t vocab_ = 0;
  std::size_t groups_ = 0;  // of tokens
  std::size_t digit_bytes_ = 0;
  std::size_t scratch_floats_ = 0;
  std::size_t query_width_ = 0;
  std::size_t queries_ = 0;
  std::size_t kept_states_ = 0;
  SlotId rope_slot_ = 0;
  Schedule several_rows_;
  Schedule one_row_;
  Slots slots_;
  std::vector<Slots> own_slots_;  // by worker
  AlignedBuffer scratch_;
  AlignedBuffer head_;
  std::unique_ptr<bool[]> head_reaching_;
  AlignedBuffer digits_;
  std::vector<std::uint32_t> head_found_;
  alignas(64) std::atomic<std::size_t> head_taken_{0};
  std::vector<std::atomic<std::uint32_t>> failures_;  // by row
  std::vector<kernels::AttentionQuery> f16_queries_;
  std::vector<kernels::Int8Query> int8_queries_;
  AlignedBuffer query_codes_;
  AttentionDivision attention_;
  LinearDivision linears_;
  std::vector<kernels::AttentionState> states_;  // whose outputs are in state_floats_
  AlignedBuffer state_floats_;
};

}  // namespace tern::backend
