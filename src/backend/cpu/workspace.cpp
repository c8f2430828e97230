#include "backend/cpu/workspace.h"

#include <algorithm>

namespace tern::backend {

using kernels::AttentionQuery;
using kernels::AttentionState;
using kernels::Int8Query;

namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// The slots of a plan, and one for the cosines and sines of each row's position.
std::vector<SlotSpec> all_slots(const Plan& plan) {
  std::vector<SlotSpec> specs = plan.slots;
  specs.push_back({plan.head_dim, false});
  return specs;
}

// Of which of all_slots() every worker has a copy.
std::vector<bool> own_of(const Schedule& schedule) {
  std::vector<bool> own = schedule.own;
  own.push_back(true);
  return own;
}

// Enough for kScratchRows rows of any float slot twice, dequantised and in a file's blocks, of
// which none is larger than its floats.
std::size_t scratch_floats(const Plan& plan) {
  std::size_t most = 0;
  for (const SlotSpec& slot : plan.slots) {
    most = std::max<std::size_t>(most, CpuWorkspace::kScratchRows * slot.width);
  }
  return 2 * round_up(most, 16);
}

std::size_t head_queries(std::uint32_t rows) {
  return std::min<std::size_t>(rows, CpuWorkspace::kHeadQueries);
}

// Bounds of all tokens, the largest of each thread, and the threshold, of each query.
std::size_t head_bytes(const Plan& plan, std::uint32_t rows, std::uint32_t threads) {
  const std::size_t floats = plan.vocab + std::size_t{threads} * TopQuery::kMostCount + 1;
  return round_up(head_queries(rows) * floats * sizeof(float), 64);
}

// Groups of kTileRows tokens.
std::size_t groups_of(const Plan& plan) {
  return (plan.vocab + kernels::kTileRows - 1) / kernels::kTileRows;
}

// Digits of the activations of the head for each query, on whole lines.
std::size_t digit_bytes(const Plan& plan, std::uint32_t rows) {
  std::size_t widest = 0;
  for (const SlotSpec& slot : plan.slots) widest = std::max<std::size_t>(widest, slot.width);
  const std::size_t tiles = (widest + kernels::kScanColumns - 1) / kernels::kScanColumns;
  return round_up(tiles * head_queries(rows) * kernels::kDigitBytes, 64);
}

// Codes of a query, on whole lines.
std::size_t width_of_query(const Plan& plan) { return round_up(plan.head_dim, 64); }
std::size_t queries_of(const Plan& plan) {
  return std::max<std::size_t>(plan.heads, kernels::kCallQueries);
}

// States of attention: how wide one is, and how many of them a thread has.
std::size_t state_width(const Plan& plan) { return round_up(plan.head_dim, kernels::kValueAlign); }
std::size_t kept_states_of(const Plan& plan) { return CpuWorkspace::kKeptChunks * plan.heads; }
std::size_t states_of(const Plan& plan) {
  return kernels::kCallQueries + queries_of(plan) + kept_states_of(plan);
}

}  // namespace

std::uint64_t CpuWorkspace::bytes(const Plan& plan, std::uint32_t rows, std::uint32_t threads) {
  std::uint64_t total = Slots::bytes(all_slots(plan), rows);
  if (const auto one_row = schedule_one_row(plan)) {
    total += threads * Slots::own_bytes(all_slots(plan), own_of(*one_row));
  }
  total += threads * scratch_floats(plan) * sizeof(float);
  total += threads * queries_of(plan) *
           (sizeof(AttentionQuery) + sizeof(Int8Query) + width_of_query(plan));
  total += head_bytes(plan, rows, threads) + threads * digit_bytes(plan, rows);
  total += head_queries(rows) * groups_of(plan) * sizeof(bool);
  total += rows * (threads + std::uint64_t{1}) * sizeof(std::uint32_t);
  total += AttentionDivision::bytes(plan, rows, threads) + LinearDivision::bytes(plan, threads);
  return total +
         threads * states_of(plan) * (state_width(plan) * sizeof(float) + sizeof(AttentionState));
}

Result<std::unique_ptr<CpuWorkspace>> CpuWorkspace::make(const Plan& plan, std::uint32_t rows,
                                                         std::uint32_t threads) {
  std::unique_ptr<CpuWorkspace> workspace(new CpuWorkspace());
  workspace->rows_ = rows;
  workspace->threads_ = threads;
  workspace->half_ = plan.head_dim / 2;
  workspace->scratch_floats_ = scratch_floats(plan);
  TERN_TRY(workspace->make_slots(plan, rows));
  TERN_ASSIGN(
      workspace->scratch_,
      AlignedBuffer::allocate(threads * workspace->scratch_floats_ * sizeof(float), "workspace"));
  TERN_TRY(workspace->make_head(plan, rows));
  TERN_TRY(workspace->make_attention(plan, rows, threads));
  workspace->linears_ = LinearDivision(plan, threads);
  workspace->failures_ = std::vector<std::atomic<std::uint32_t>>(rows);
  return workspace;
}

void CpuWorkspace::fail(const Op& op, const Plan& plan, std::size_t row) {
  const auto mine = static_cast<std::uint32_t>(&op - plan.ops.data());
  std::uint32_t seen = failures_[row].load();
  while (mine < seen && !failures_[row].compare_exchange_weak(seen, mine)) {
  }
}

Result<void> CpuWorkspace::make_head(const Plan& plan, std::uint32_t rows) {
  vocab_ = plan.vocab;
  groups_ = groups_of(plan);
  digit_bytes_ = digit_bytes(plan, rows);
  head_found_.resize(std::size_t{rows} * threads_);
  head_reaching_ = std::make_unique<bool[]>(head_queries(rows) * groups_);
  TERN_ASSIGN(head_, AlignedBuffer::allocate(head_bytes(plan, rows, threads_), "workspace"));
  TERN_ASSIGN(digits_, AlignedBuffer::allocate(threads_ * digit_bytes_, "workspace"));
  return {};
}

Result<void> CpuWorkspace::make_slots(const Plan& plan, std::uint32_t rows) {
  TERN_ASSIGN(one_row_, schedule_one_row(plan));
  several_rows_ = schedule_rows(plan);
  rope_slot_ = static_cast<SlotId>(plan.slots.size());
  const std::vector<SlotSpec> specs = all_slots(plan);
  TERN_ASSIGN(slots_, Slots::make(specs, rows));
  for (std::uint32_t worker = 0; worker < threads_; ++worker) {
    TERN_ASSIGN(Slots own, Slots::make_own(specs, own_of(one_row_), slots_));
    own_slots_.push_back(std::move(own));
  }
  return {};
}

Result<void> CpuWorkspace::make_attention(const Plan& plan, std::uint32_t rows,
                                          std::uint32_t threads) {
  attention_ = AttentionDivision(plan, rows, threads);
  query_width_ = width_of_query(plan);
  queries_ = queries_of(plan);
  f16_queries_.resize(threads * queries_);
  int8_queries_.resize(threads * queries_);
  TERN_ASSIGN(query_codes_,
              AlignedBuffer::allocate(threads * queries_ * query_width_, "workspace"));
  kept_states_ = kept_states_of(plan);
  const std::size_t width = state_width(plan);
  const std::size_t count = threads * states_of(plan);
  TERN_ASSIGN(state_floats_, AlignedBuffer::allocate(count * width * sizeof(float), "workspace"));
  states_.resize(count);
  for (std::size_t i = 0; i < states_.size(); ++i) {
    states_[i].out = state_floats_.as<float>() + i * width;
  }
  return {};
}

}  // namespace tern::backend
