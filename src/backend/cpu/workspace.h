// The slots of a plan in CPU memory, allocated once for a largest batch.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
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

  // One row of a float slot.
  float* row(SlotId slot, std::size_t row);
  std::size_t width(SlotId slot) const { return slots_[slot].width; }

  // A quantised slot: codes and their scale and sum, one row or all.
  std::size_t padded_width(SlotId slot) const { return slots_[slot].padded; }
  std::int8_t* codes(SlotId slot, std::size_t row);
  float* scale(SlotId slot, std::size_t row);
  std::int32_t* sum(SlotId slot, std::size_t row);
  kernels::QuantizedRows quantized(SlotId slot);

  // Cosines and sines of a row's position, head_dim / 2 of each.
  float* cosines(std::size_t row) { return rope_.as<float>() + row * 2 * half_; }
  float* sines(std::size_t row) { return cosines(row) + half_; }

  // For the search for the largest logits: a bound a token; of each thread, the largest lower
  // bounds; the threshold; and how many logits each thread computed for a query.
  float* head_bounds() { return head_.as<float>(); }
  float* head_largest(std::uint32_t worker) {
    return head_bounds() + vocab_ + std::size_t{worker} * TopQuery::kMostCount;
  }
  float& head_threshold() { return *head_largest(threads_); }
  std::uint32_t& head_found(std::size_t query, std::uint32_t worker) {
    auto* const counts = head_.as<std::uint32_t>();
    return counts[head_found_ + query * threads_ + worker];
  }

  // A thread's own floats: kScratchRows dequantised rows, or two attention states a query.
  static constexpr std::size_t kScratchRows = 4;
  float* scratch(std::uint32_t worker) { return scratch_.as<float>() + worker * scratch_floats_; }

  // A thread's own queries, as many as there are heads and at least kMaxQueries, and memory for
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

  // Of the attention of one row: the states of single chunks by query head, kPartChunks of them at
  // a time, and the totals.
  static constexpr std::size_t kPartChunks = 32;
  kernels::AttentionState& part(std::size_t chunk, std::size_t head) {
    return states_[chunk * heads_ + head];
  }
  kernels::AttentionState& total(std::size_t head) { return part(kPartChunks, head); }

 private:
  struct Slot {
    std::size_t width;
    std::size_t padded;        // bytes of a quantised row
    std::size_t offset;        // floats, or codes
    std::size_t scale_offset;  // quantised slots only: scales, then sums
    bool quantized;
  };
  CpuWorkspace() = default;
  Result<void> make_attention(const Plan& plan, std::uint32_t threads);

  std::uint32_t rows_ = 0;
  std::uint32_t threads_ = 0;
  std::size_t half_ = 0;
  std::size_t vocab_ = 0;
  std::size_t head_found_ = 0;
  std::size_t scratch_floats_ = 0;
  std::size_t query_width_ = 0;
  std::size_t queries_ = 0;
  std::size_t heads_ = 0;
  std::vector<Slot> slots_;
  AlignedBuffer memory_;
  AlignedBuffer rope_;
  AlignedBuffer scratch_;
  AlignedBuffer head_;
  std::vector<kernels::AttentionQuery> f16_queries_;
  std::vector<kernels::Int8Query> int8_queries_;
  AlignedBuffer query_codes_;
  std::vector<kernels::AttentionState> states_;  // whose outputs are in state_floats_
  AlignedBuffer state_floats_;
};

}  // namespace tern::backend
