// Workspaces and KV caches: no two parts overlap, and what is announced is what is allocated.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kv_cache.h"
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

std::vector<Part> parts_of(CpuWorkspace& w, const Plan& plan, std::uint32_t rows,
                           std::uint32_t threads) {
  std::vector<Part> parts;
  for (SlotId slot = 0; slot < plan.slots.size(); ++slot) {
    for (std::uint32_t r = 0; r < rows; ++r) {
      if (!plan.slots[slot].quantized) {
        parts.push_back({w.row(slot, r), plan.slots[slot].width * sizeof(float)});
        continue;
      }
      parts.push_back({w.codes(slot, r), w.padded_width(slot)});
      parts.push_back({w.scale(slot, r), sizeof(float)});
      parts.push_back({w.sum(slot, r), sizeof(std::int32_t)});
    }
  }
  for (std::uint32_t r = 0; r < rows; ++r) {
    parts.push_back({w.cosines(r), plan.head_dim / 2 * sizeof(float)});
    parts.push_back({w.sines(r), plan.head_dim / 2 * sizeof(float)});
  }
  // Two padded attention states of eight queries, and four rows of any float slot.
  const std::size_t scratch = std::max<std::size_t>(2 * 8 * 64, 4 * 129) * sizeof(float);
  for (std::uint32_t t = 0; t < threads; ++t) parts.push_back({w.scratch(t), scratch});
  parts.push_back({w.head_bounds(), plan.vocab * sizeof(float)});
  parts.push_back({&w.head_threshold(), sizeof(float)});
  for (std::uint32_t t = 0; t < threads; ++t) {
    parts.push_back({w.head_largest(t), TopQuery::kMostCount * sizeof(float)});
    for (std::uint32_t r = 0; r < rows; ++r) parts.push_back({&w.head_found(r, t), sizeof(float)});
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
  EXPECT_EQ(w->width(0), 100u);
  EXPECT_EQ(w->width(1), 100u);
  EXPECT_EQ(w->padded_width(1), 128u);
  EXPECT_EQ(w->padded_width(3), 192u);
  EXPECT_EQ(w->row(0, 1), w->row(0, 0) + 100);
  const kernels::QuantizedRows q = w->quantized(3);
  EXPECT_EQ(q.stride, 192u);
  EXPECT_EQ(q.values + 3 * 192, w->codes(3, 3));
  EXPECT_EQ(q.scales + 3, w->scale(3, 3));
  EXPECT_EQ(q.sums + 3, w->sum(3, 3));
}

// What the allocator really gave to the three blocks: at least what was announced, and no more than
// its own rounding above it.
TEST(CpuWorkspace, BytesAreThoseAllocated) {
  Plan plan = unfriendly_plan();
  plan.slots[0].width = 4000;
  for (const std::uint32_t rows : {1u, 3u, 64u}) {
    for (const std::uint32_t threads : {1u, 5u}) {
      CpuBackend backend(kernels::scalar_table(), threads);
      auto made = must(backend.make_workspace(plan, rows));
      auto& w = static_cast<CpuWorkspace&>(*made);
      const std::size_t allocated =
          malloc_usable_size(w.row(0, 0)) + malloc_usable_size(w.cosines(0)) +
          malloc_usable_size(w.scratch(0)) + malloc_usable_size(w.head_bounds());
      const std::uint64_t announced = backend.workspace_bytes(plan, rows);
      EXPECT_LE(announced, allocated) << rows << ", " << threads;
      EXPECT_GE(announced + 4 * 4096, allocated) << rows << ", " << threads;
      EXPECT_EQ(announced % 64, 0u) << "buffers are whole lines of 64 bytes";
    }
  }
}

TEST(KvShape, PadsRowsOfValuesOnly) {
  const KvShape shape{3, 2, 50};
  EXPECT_EQ(shape.value_width(), 64u);
  EXPECT_EQ(shape.key_elements(), 50u * 32);
  EXPECT_EQ(shape.value_elements(), 64u * 32);
  EXPECT_EQ(shape.page_bytes(), std::size_t{3} * 2 * (50 + 64) * 32 * 2);
  EXPECT_EQ((KvShape{1, 1, 64}.value_width()), 64u);
  EXPECT_EQ((KvShape{1, 1, 65}.value_width()), 80u);
}

TEST(CpuKvCache, GrowsByWholePagesAndKeepsThem) {
  CpuKvCache cache({3, 2, 50});
  EXPECT_EQ(cache.pages(), 0u);
  must(cache.reserve(0));
  EXPECT_EQ(cache.pages(), 0u);
  must(cache.reserve(1));
  EXPECT_EQ(cache.pages(), 1u);
  cache.keys(0, 0, 0)[0] = 0x1234;
  const std::uint16_t* const first = cache.keys(0, 0, 0);
  must(cache.reserve(32));
  EXPECT_EQ(cache.pages(), 1u);
  must(cache.reserve(33));
  EXPECT_EQ(cache.pages(), 2u);
  must(cache.reserve(500));
  EXPECT_EQ(cache.pages(), 16u);
  must(cache.reserve(5));  // never shrinks
  EXPECT_EQ(cache.pages(), 16u);
  EXPECT_EQ(cache.keys(0, 0, 0), first);
  EXPECT_EQ(*first, 0x1234);
}

TEST(CpuKvCache, PagesAreZeroedAndTheirPartsDoNotOverlap) {
  const KvShape shape{3, 2, 50};
  CpuKvCache cache(shape);
  must(cache.reserve(64));
  std::uint16_t mark = 0;
  for (std::size_t page = 0; page < 2; ++page) {
    const auto bytes = cache.page_bytes(page);
    ASSERT_EQ(bytes.size(), shape.page_bytes());
    EXPECT_TRUE(
        std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }));
    for (std::uint32_t layer = 0; layer < 3; ++layer) {
      for (std::uint32_t head = 0; head < 2; ++head) {
        std::fill_n(cache.keys(page, layer, head), shape.key_elements(), ++mark);
        std::fill_n(cache.values(page, layer, head), shape.value_elements(), ++mark);
      }
    }
  }
  mark = 0;
  for (std::size_t page = 0; page < 2; ++page) {
    for (std::uint32_t layer = 0; layer < 3; ++layer) {
      for (std::uint32_t head = 0; head < 2; ++head) {
        const std::uint16_t* k = cache.keys(page, layer, head);
        const std::uint16_t* v = cache.values(page, layer, head);
        const auto is = [](std::uint16_t m) { return [m](std::uint16_t x) { return x == m; }; };
        EXPECT_TRUE(std::all_of(k, k + shape.key_elements(), is(++mark)));
        EXPECT_TRUE(std::all_of(v, v + shape.value_elements(), is(++mark)));
      }
    }
    // Nothing lies outside of the page's own bytes.
    const auto* end = reinterpret_cast<const std::uint16_t*>(cache.page_bytes(page).data() +
                                                             cache.page_bytes(page).size());
    EXPECT_EQ(cache.values(page, 2, 1) + shape.value_elements(), end);
  }
}

TEST(CpuKvCache, BytesAreThoseAllocated) {
  const Plan plan = unfriendly_plan();
  CpuBackend backend(kernels::scalar_table(), 1);
  EXPECT_EQ(backend.cache_bytes(plan, 0), 0u);
  for (const std::uint32_t tokens : {1u, 31u, 32u, 33u, 700u}) {
    auto made = backend.make_cache(plan);
    must(made->reserve(tokens));
    auto& cache = static_cast<CpuKvCache&>(*made);
    std::size_t announced = 0;
    for (std::size_t page = 0; page < cache.pages(); ++page) {
      const auto bytes = cache.page_bytes(page);
      announced += bytes.size();
      const std::size_t usable = malloc_usable_size(const_cast<std::byte*>(bytes.data()));
      EXPECT_GE(usable, bytes.size());
      EXPECT_LE(usable, bytes.size() + 4096);
    }
    EXPECT_EQ(backend.cache_bytes(plan, tokens), announced) << tokens;
    EXPECT_GE(cache.pages() * kernels::kPageKeys, tokens);
  }
}

}  // namespace
}  // namespace tern::backend
