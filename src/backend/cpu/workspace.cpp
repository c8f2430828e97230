#include "backend/cpu/workspace.h"

#include <algorithm>

#include "kernels/packing.h"

namespace tern::backend {

using kernels::AttentionQuery;
using kernels::AttentionState;
using kernels::Int8Query;

namespace {

constexpr std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Rows of codes are whole tiles, and whole lines.
std::size_t padded_codes(std::size_t width) { return round_up(kernels::padded_columns(width), 64); }

std::size_t slot_bytes(const SlotSpec& slot, std::uint32_t rows) {
  if (!slot.quantized) return round_up(std::size_t{rows} * slot.width * sizeof(float), 64);
  return rows * padded_codes(slot.width) + 2 * round_up(rows * sizeof(float), 64);  // scales, sums
}

// Cosines and sines of each row's position.
std::size_t rope_bytes(const Plan& plan, std::uint32_t rows) {
  return round_up(std::size_t{rows} * plan.head_dim * sizeof(float), 64);
}

// Enough for kScratchRows dequantised rows of any float slot, and for two padded attention states
// of each query.
std::size_t scratch_floats(const Plan& plan) {
  std::size_t most = 2 * kernels::kMaxQueries * round_up(plan.head_dim, kernels::kValueAlign);
  for (const SlotSpec& slot : plan.slots) {
    most = std::max<std::size_t>(most, CpuWorkspace::kScratchRows * slot.width);
  }
  return round_up(most, 16);
}

// Bounds of all tokens, the largest of each thread, and the threshold; then counts.
std::size_t head_floats(const Plan& plan, std::uint32_t threads) {
  return plan.vocab + std::size_t{threads} * TopQuery::kMostCount + 1;
}

std::size_t head_bytes(const Plan& plan, std::uint32_t rows, std::uint32_t threads) {
  const std::size_t counts = std::size_t{rows} * threads;
  return round_up(head_floats(plan, threads) * sizeof(float) + counts * sizeof(std::uint32_t), 64);
}

// Codes of a query, on whole lines.
std::size_t width_of_query(const Plan& plan) { return round_up(plan.head_dim, 64); }
std::size_t queries_of(const Plan& plan) {
  return std::max<std::size_t>(plan.heads, kernels::kMaxQueries);
}

std::size_t state_width(const Plan& plan) { return round_up(plan.head_dim, kernels::kValueAlign); }
std::size_t states(const Plan& plan) { return (CpuWorkspace::kPartChunks + 1) * plan.heads; }

}  // namespace

std::uint64_t CpuWorkspace::bytes(const Plan& plan, std::uint32_t rows, std::uint32_t threads) {
  std::uint64_t total = rope_bytes(plan, rows);
  for (const SlotSpec& slot : plan.slots) total += slot_bytes(slot, rows);
  total += threads * scratch_floats(plan) * sizeof(float);
  total += threads * queries_of(plan) *
           (sizeof(AttentionQuery) + sizeof(Int8Query) + width_of_query(plan));
  total += head_bytes(plan, rows, threads);
  return total + states(plan) * (state_width(plan) * sizeof(float) + sizeof(AttentionState));
}

Result<std::unique_ptr<CpuWorkspace>> CpuWorkspace::make(const Plan& plan, std::uint32_t rows,
                                                         std::uint32_t threads) {
  std::unique_ptr<CpuWorkspace> workspace(new CpuWorkspace());
  workspace->rows_ = rows;
  workspace->threads_ = threads;
  workspace->half_ = plan.head_dim / 2;
  workspace->vocab_ = plan.vocab;
  workspace->head_found_ = head_floats(plan, threads);
  workspace->scratch_floats_ = scratch_floats(plan);
  std::size_t offset = 0;
  for (const SlotSpec& spec : plan.slots) {
    const std::size_t padded = padded_codes(spec.width);
    workspace->slots_.push_back(
        {spec.width, padded, offset, offset + rows * padded, spec.quantized});
    offset += slot_bytes(spec, rows);
  }
  TERN_ASSIGN(workspace->memory_, AlignedBuffer::allocate(offset, "workspace"));
  TERN_ASSIGN(workspace->rope_, AlignedBuffer::allocate(rope_bytes(plan, rows), "workspace"));
  TERN_ASSIGN(
      workspace->scratch_,
      AlignedBuffer::allocate(threads * workspace->scratch_floats_ * sizeof(float), "workspace"));
  TERN_ASSIGN(workspace->head_,
              AlignedBuffer::allocate(head_bytes(plan, rows, threads), "workspace"));
  TERN_TRY(workspace->make_attention(plan, threads));
  return workspace;
}

Result<void> CpuWorkspace::make_attention(const Plan& plan, std::uint32_t threads) {
  heads_ = plan.heads;
  query_width_ = width_of_query(plan);
  queries_ = queries_of(plan);
  f16_queries_.resize(threads * queries_);
  int8_queries_.resize(threads * queries_);
  TERN_ASSIGN(query_codes_,
              AlignedBuffer::allocate(threads * queries_ * query_width_, "workspace"));
  const std::size_t width = state_width(plan);
  TERN_ASSIGN(state_floats_,
              AlignedBuffer::allocate(states(plan) * width * sizeof(float), "workspace"));
  states_.resize(states(plan));
  for (std::size_t i = 0; i < states_.size(); ++i) {
    states_[i].out = state_floats_.as<float>() + i * width;
  }
  return {};
}

float* CpuWorkspace::row(SlotId slot, std::size_t row) {
  return memory_.as<float>(slots_[slot].offset) + row * slots_[slot].width;
}

std::int8_t* CpuWorkspace::codes(SlotId slot, std::size_t row) {
  return memory_.as<std::int8_t>(slots_[slot].offset) + row * slots_[slot].padded;
}

float* CpuWorkspace::scale(SlotId slot, std::size_t row) {
  return memory_.as<float>(slots_[slot].scale_offset) + row;
}

std::int32_t* CpuWorkspace::sum(SlotId slot, std::size_t row) {
  const std::size_t scales = round_up(rows_ * sizeof(float), 64);
  return memory_.as<std::int32_t>(slots_[slot].scale_offset + scales) + row;
}

kernels::QuantizedRows CpuWorkspace::quantized(SlotId slot) {
  return {codes(slot, 0), slots_[slot].padded, scale(slot, 0), sum(slot, 0)};
}

}  // namespace tern::backend
