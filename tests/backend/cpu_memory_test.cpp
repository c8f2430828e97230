// Workspaces: no two parts overlap, and what is announced is what is allocated.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/workspace.h"
#include "backend/tensors.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using test::must;

Plan unfriendly_plan() {
  Plan plan;
  plan.slots = {{100, false}, {100, true}, {1, false}, {129, true}, {64, false}, {128, true}};
  plan.layers = 3;
  plan.heads = 2;
  plan.kv_heads = 2;
  plan.head_dim = 50;
  plan.vocab = 77;
  plan.rope_frequencies.assign(25, 1.0);
  return plan;
}

// A part of the workspace and the byte that it was filled with.
struct Part {
  void* at;
  std::size_t bytes;
};

// Rows of the slots that `wanted` names, and of cosines and sines.
void add_slots(std::vector<Part>& parts, const CpuWorkspace& w, const Slots& slots,
               const Plan& plan, const std::vector<bool>& wanted, std::uint32_t rows) {
  for (std::uint32_t r = 0; r < rows; ++r) {
    for (SlotId slot = 0; slot < plan.slots.size(); ++slot) {
      if (!wanted[slot]) continue;
      if (!plan.slots[slot].quantized) {
        parts.push_back({slots.row(slot, r), plan.slots[slot].width * sizeof(float)});
        continue;
      }
      parts.push_back({slots.codes(slot, r), slots.padded_width(slot)});
      parts.push_back({slots.scale(slot, r), sizeof(float)});
      parts.push_back({slots.sum(slot, r), sizeof(std::int32_t)});
    }
    parts.push_back({w.cosines(slots, r), plan.head_dim / 2 * sizeof(float)});
    parts.push_back({w.sines(slots, r), plan.head_dim / 2 * sizeof(float)});
  }
}

std::vector<Part> parts_of(CpuWorkspace& w, const Plan& plan, std::uint32_t rows,
                           std::uint32_t threads) {
  std::vector<Part> parts;
  add_slots(parts, w, w.slots(false, 0), plan, std::vector<bool>(plan.slots.size(), true), rows);
  for (std::uint32_t t = 0; t < threads; ++t) {
    add_slots(parts, w, w.slots(true, t), plan, w.schedule(true).own, 1);
  }
  constexpr std::size_t kScratch = 4 * 129 * sizeof(float);  // four rows of any float slot
  for (std::uint32_t t = 0; t < threads; ++t) {
    parts.push_back({w.scratch(t), kScratch});
    parts.push_back({w.query_codes(t), 32 * 50});
    parts.push_back({w.f16_queries(t), 32 * sizeof(kernels::AttentionQuery)});
    parts.push_back({w.int8_queries(t), 32 * sizeof(kernels::Int8Query)});
  }
  const auto queries = static_cast<std::uint32_t>(std::min<std::size_t>(rows, 16));
  for (std::uint32_t q = 0; q < queries; ++q) {
    parts.push_back({w.head_bounds(q), plan.vocab * sizeof(float)});
    parts.push_back({&w.head_threshold(q), sizeof(float)});
    parts.push_back({w.head_reaching(q), (plan.vocab + 15) / 16});
  }
  for (std::uint32_t t = 0; t < threads; ++t) {
    parts.push_back({w.head_digits(t), 33 * queries * std::size_t{8}});  // of the widest slot
    for (std::uint32_t q = 0; q < queries; ++q) {
      parts.push_back({w.head_largest(q, t), TopQuery::kMostCount * sizeof(float)});
    }
    for (std::uint32_t r = 0; r < rows; ++r) parts.push_back({&w.head_found(r, t), sizeof(float)});
  }
  const auto add_outputs = [&](const kernels::AttentionState* states, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) parts.push_back({states[i].out, 64 * sizeof(float)});
  };
  for (std::uint32_t t = 0; t < threads; ++t) {  // padded outputs
    add_outputs(w.attention_parts(t), 32);
    add_outputs(w.attention_totals(t), 32);
    add_outputs(w.kept_attention(t), w.kept_states());
  }
  return parts;
}

TEST(CpuWorkspace, PartsDoNotOverlap) {
  const Plan plan = unfriendly_plan();
  for (const std::uint32_t rows : {1u, 3u, 17u}) {
    auto workspace = must(CpuWorkspace::make(plan, rows, 3));
    const auto parts = parts_of(*workspace, plan, rows, 3);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      std::memset(parts[i].at, static_cast<int>(i % 251 + 1), parts[i].bytes);
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto* bytes = static_cast<const unsigned char*>(parts[i].at);
      ASSERT_TRUE(std::all_of(bytes, bytes + parts[i].bytes,
                              [&](unsigned char b) { return b == i % 251 + 1; }))
          << "part " << i << " with " << rows << " rows was overwritten";
    }
  }
}

TEST(CpuWorkspace, WidthsAndStrides) {
  const Plan plan = unfriendly_plan();
  auto w = must(CpuWorkspace::make(plan, 4, 1));
  EXPECT_EQ(w->rows(), 4u);
  const Slots& slots = w->slots(false, 0);
  EXPECT_EQ(slots.width(0), 100u);
  EXPECT_EQ(slots.width(1), 100u);
  EXPECT_EQ(slots.padded_width(1), 192u);
  EXPECT_EQ(slots.padded_width(3), 192u);
  EXPECT_EQ(slots.row(0, 1), slots.row(0, 0) + 100);
  const kernels::QuantizedRows q = slots.quantized(3);
  EXPECT_EQ(q.stride, 192u);
  EXPECT_EQ(q.values + 3 * 192, slots.codes(3, 3));
  EXPECT_EQ(q.scales + 3, slots.scale(3, 3));
  EXPECT_EQ(q.sums + 3, slots.sum(3, 3));
}

// The sum of all parts, written out for two plans: one that everything is rounded up for, and one
// that needs no rounding.
TEST(CpuWorkspace, BytesAreTheSumOfTheParts) {
  constexpr std::uint32_t kRows = 2;
  constexpr std::uint32_t kThreads = 3;
  constexpr std::size_t kQuery = sizeof(kernels::AttentionQuery) + sizeof(kernels::Int8Query);
  constexpr std::size_t kState = sizeof(kernels::AttentionState);
  Plan plan = unfriendly_plan();
  std::uint64_t slots = 832 + 512 + 64 + 512 + 512 + 512 + 448;  // the last for the positions
  std::uint64_t thread = 256 + 2 * 528 * 4;                      // of a position, and scratch
  thread += 32 * (kQuery + 64) + 576;                            // queries and digits
  thread += (32 + 32 + 256 * 2) * (64 * 4 + kState);             // states of attention
  std::uint64_t head = 2 * (77 + 3 * 256 + 1) * 4 + 16;          // to whole lines
  head += 2 * 5;                                                 // groups of 16 tokens
  const std::uint64_t counts = kRows * (kThreads + 1) * 4;
  EXPECT_EQ(
      CpuWorkspace::bytes(plan, kRows, kThreads),
      slots + head + kThreads * thread + counts + AttentionDivision::bytes(plan, kRows, kThreads));

  plan.slots = {{128, false}, {128, true}};
  plan.head_dim = 64;
  plan.vocab = 95;
  slots = 1024 + 512 + 512;
  thread = 256 + 2 * 512 * 4;
  thread += 32 * (kQuery + 64) + 512;
  thread += (32 + 32 + 256 * 2) * (64 * 4 + kState);
  head = 2 * (95 + 3 * 256 + 1) * 4 + 2 * 6;
  EXPECT_EQ(
      CpuWorkspace::bytes(plan, kRows, kThreads),
      slots + head + kThreads * thread + counts + AttentionDivision::bytes(plan, kRows, kThreads));
}

// A matrix writes a slot that all workers share, so nothing but its pieces is added.
TEST(CpuWorkspace, BytesCountThePiecesOfMatrices) {
  Plan plan = unfriendly_plan();
  const std::uint64_t without = CpuWorkspace::bytes(plan, 3, 2);
  plan.ops.push_back({.code = OpCode::kTernaryLinear, .out = 0});
  ASSERT_GT(LinearDivision::bytes(plan, 2), 2 * sizeof(OpenCalls));
  EXPECT_EQ(CpuWorkspace::bytes(plan, 3, 2), without + LinearDivision::bytes(plan, 2));
}

// What the allocator really gave to each part: at least what was announced, and no more than its
// own rounding above it.
TEST(CpuWorkspace, BytesAreThoseAllocated) {
  Plan plan = unfriendly_plan();
  plan.slots[0].width = 4000;
  for (const std::uint32_t rows : {1u, 3u, 64u}) {
    for (const std::uint32_t threads : {1u, 5u}) {
      CpuBackend backend(kernels::scalar_table(), threads);
      auto made = must(backend.make_workspace(plan, rows));
      auto& w = static_cast<CpuWorkspace&>(*made);
      std::size_t allocated = 0;  // a worker's own slots begin with the cosines: the plan is empty
      for (std::uint32_t t = 0; t < threads; ++t) {
        allocated += malloc_usable_size(w.cosines(w.slots(true, t), 0));
      }
      allocated += malloc_usable_size(w.slots(false, 0).row(0, 0)) +
                   malloc_usable_size(w.scratch(0)) + malloc_usable_size(w.head_bounds(0)) +
                   malloc_usable_size(w.head_digits(0)) + malloc_usable_size(w.head_reaching(0)) +
                   malloc_usable_size(&w.head_found(0, 0)) + malloc_usable_size(w.query_codes(0)) +
                   malloc_usable_size(w.f16_queries(0)) + malloc_usable_size(w.int8_queries(0)) +
                   malloc_usable_size(w.attention_parts(0)->out) +
                   malloc_usable_size(w.attention_parts(0));
      const std::uint64_t announced = backend.workspace_bytes(plan, rows);
      // Of failures and of the division of attention, at which nobody can point.
      allocated += rows * sizeof(std::uint32_t) + AttentionDivision::bytes(plan, rows, threads);
      EXPECT_LE(announced, allocated) << rows << ", " << threads;
      EXPECT_GE(announced + 8 * 4096, allocated) << rows << ", " << threads;
    }
  }
}

}  // namespace
}  // namespace tern::backend
