// Workspaces and KV caches: no two parts overlap, and what is announced is what is allocated.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

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
  // Two padded attention states of eight queries, and four rows of any float slot.
  const std::size_t scratch = std::max<std::size_t>(2 * 8 * 64, 4 * 129) * sizeof(float);
  for (std::uint32_t t = 0; t < threads; ++t) {
    parts.push_back({w.scratch(t), scratch});
    parts.push_back({w.query_codes(t), 8 * 50});
    parts.push_back({w.f16_queries(t), 8 * sizeof(kernels::AttentionQuery)});
    parts.push_back({w.int8_queries(t), 8 * sizeof(kernels::Int8Query)});
  }
  parts.push_back({w.head_bounds(), plan.vocab * sizeof(float)});
  parts.push_back({&w.head_threshold(), sizeof(float)});
  for (std::uint32_t t = 0; t < threads; ++t) {
    parts.push_back({w.head_largest(t), TopQuery::kMostCount * sizeof(float)});
    for (std::uint32_t r = 0; r < rows; ++r) parts.push_back({&w.head_found(r, t), sizeof(float)});
  }
  for (std::size_t head = 0; head < plan.heads; ++head) {  // padded outputs of single chunks
    parts.push_back({w.total(head).out, 64 * sizeof(float)});
    for (std::size_t chunk = 0; chunk < CpuWorkspace::kPartChunks; ++chunk) {
      parts.push_back({w.part(chunk, head).out, 64 * sizeof(float)});
    }
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
  EXPECT_EQ(slots.padded_width(1), 128u);
  EXPECT_EQ(slots.padded_width(3), 192u);
  EXPECT_EQ(slots.row(0, 1), slots.row(0, 0) + 100);
  const kernels::QuantizedRows q = slots.quantized(3);
  EXPECT_EQ(q.stride, 192u);
  EXPECT_EQ(q.values + 3 * 192, slots.codes(3, 3));
  EXPECT_EQ(q.scales + 3, slots.scale(3, 3));
  EXPECT_EQ(q.sums + 3, slots.sum(3, 3));
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
                   malloc_usable_size(w.scratch(0)) + malloc_usable_size(w.head_bounds()) +
                   malloc_usable_size(w.query_codes(0)) + malloc_usable_size(w.f16_queries(0)) +
                   malloc_usable_size(w.int8_queries(0)) + malloc_usable_size(w.part(0, 0).out) +
                   malloc_usable_size(&w.part(0, 0));
      const std::uint64_t announced = backend.workspace_bytes(plan, rows);
      EXPECT_LE(announced, allocated) << rows << ", " << threads;
      EXPECT_GE(announced + 8 * 4096, allocated) << rows << ", " << threads;
    }
  }
}

using format::KvType;

TEST(KvShape, PadsRowsOfValuesOnly) {
  const KvShape shape{3, 2, 50};
  EXPECT_EQ(shape.value_width(), 64u);
  EXPECT_EQ(shape.key_bytes(), 50u * 32 * 2);
  EXPECT_EQ(shape.value_bytes(), 64u * 32 * 2);
  EXPECT_EQ(shape.block_bytes(), std::size_t{3} * 2 * (50 + 64) * 256 * 2);
  EXPECT_EQ((KvShape{1, 1, 64}.value_width()), 64u);
  EXPECT_EQ((KvShape{1, 1, 65}.value_width()), 80u);
}

// Keys of int8 are padded to four codes; each key and value has a scale of four bytes.
TEST(KvShape, OfInt8HasScales) {
  const KvShape shape{3, 2, 50, KvType::kInt8};
  EXPECT_EQ(shape.key_bytes(), 52u * 32);
  EXPECT_EQ(shape.value_bytes(), 64u * 32);
  EXPECT_EQ(shape.block_bytes(), std::size_t{3} * 2 * (52 + 64 + 2 * 4) * 256);
}

TEST(CpuKvCache, GrowsByWholeBlocksAndKeepsThem) {
  CpuKvCache cache({3, 2, 50});
  EXPECT_EQ(cache.blocks(), 0u);
  must(cache.reserve(0));
  EXPECT_EQ(cache.blocks(), 0u);
  must(cache.reserve(1));
  EXPECT_EQ(cache.blocks(), 1u);
  const std::vector<float> ones(50, 1.0f);
  ASSERT_TRUE(cache.store(kernels::scalar_table(), 0, 0, 0, ones.data(), ones.data(), nullptr));
  const std::uint16_t* const first = cache.f16_page(0, 0, 0).keys;
  must(cache.reserve(256));
  EXPECT_EQ(cache.blocks(), 1u);
  must(cache.reserve(257));
  EXPECT_EQ(cache.blocks(), 2u);
  must(cache.reserve(4000));
  EXPECT_EQ(cache.blocks(), 16u);
  must(cache.reserve(5));  // never shrinks
  EXPECT_EQ(cache.blocks(), 16u);
  EXPECT_EQ(cache.f16_page(0, 0, 0).keys, first);
  EXPECT_EQ(*first, 0x3c00);
}

// Where the parts of all pages lie: no two overlap, and together they are the blocks.
struct Extent {
  const void* at;
  std::size_t bytes;
};
std::vector<Extent> extents(CpuKvCache& cache, std::size_t pages) {
  const KvShape& shape = cache.shape();
  std::vector<Extent> all;
  for (std::size_t page = 0; page < pages; ++page) {
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
      for (std::uint32_t head = 0; head < shape.kv_heads; ++head) {
        if (shape.type == KvType::kF16) {
          const auto at = cache.f16_page(page, layer, head);
          all.push_back({at.keys, shape.key_bytes()});
          all.push_back({at.values, shape.value_bytes()});
          continue;
        }
        const auto at = cache.int8_page(page, layer, head);
        all.push_back({at.keys, shape.key_bytes()});
        all.push_back({at.values, shape.value_bytes()});
        all.push_back({at.key_scales, kernels::kPageKeys * sizeof(float)});
        all.push_back({at.value_scales, kernels::kPageKeys * sizeof(float)});
      }
    }
  }
  return all;
}

TEST(CpuKvCache, PartsFillTheBlocksWithoutOverlap) {
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    const KvShape shape{3, 2, 50, type};
    CpuKvCache cache(shape);
    must(cache.reserve(512));
    for (std::size_t block = 0; block < 2; ++block) {
      const auto bytes = cache.block_bytes(block);
      ASSERT_EQ(bytes.size(), shape.block_bytes());
      EXPECT_TRUE(
          std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }));
    }
    auto parts = extents(cache, 16);
    std::sort(parts.begin(), parts.end(),
              [](const Extent& a, const Extent& b) { return std::less<>()(a.at, b.at); });
    std::size_t total = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      total += parts[i].bytes;
      if (i == 0) continue;
      const auto* end = static_cast<const std::byte*>(parts[i - 1].at) + parts[i - 1].bytes;
      EXPECT_LE(static_cast<const void*>(end), parts[i].at);
    }
    EXPECT_EQ(total, 2 * shape.block_bytes());
    for (std::size_t block = 0; block < 2; ++block) {
      const auto bytes = cache.block_bytes(block);
      const auto inside = [&](const Extent& part) {
        const auto* at = static_cast<const std::byte*>(part.at);
        return at >= bytes.data() && at + part.bytes <= bytes.data() + bytes.size();
      };
      EXPECT_EQ(static_cast<std::size_t>(std::count_if(parts.begin(), parts.end(), inside)),
                parts.size() / 2);
    }
  }
}

// Keys and values of one chunk and head follow each other: attention reads one run of memory.
TEST(CpuKvCache, PagesOfAChunkFollowEachOther) {
  CpuKvCache cache({2, 2, 48});
  must(cache.reserve(256));
  for (std::size_t page = 0; page + 1 < 8; ++page) {
    EXPECT_EQ(cache.f16_page(page, 1, 0).keys + 48 * 32, cache.f16_page(page + 1, 1, 0).keys);
    EXPECT_EQ(cache.f16_page(page, 1, 0).values + 48 * 32, cache.f16_page(page + 1, 1, 0).values);
  }
  EXPECT_EQ(cache.f16_page(7, 1, 0).keys + 48 * 32, cache.f16_page(0, 1, 0).values);
  EXPECT_EQ(cache.f16_page(7, 1, 0).values + 48 * 32, cache.f16_page(0, 1, 1).keys);
}

// Filled: finite values, codes that no kernel overflows on, not all alike, the same each time.
TEST(CpuKvCache, FillIsRepeatableAndWithinTheTypes) {
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    CpuKvCache cache({1, 2, 50, type});
    CpuKvCache again({1, 2, 50, type});
    must(cache.fill(300));
    must(again.fill(300));
    ASSERT_EQ(cache.blocks(), 2u);
    for (std::size_t block = 0; block < 2; ++block) {
      const auto a = cache.block_bytes(block);
      EXPECT_TRUE(std::equal(a.begin(), a.end(), again.block_bytes(block).begin()));
    }
    std::set<int> seen;
    for (std::size_t page = 0; page < 16; ++page) {
      for (std::size_t i = 0; i < 50 * kernels::kPageKeys; ++i) {
        if (type == KvType::kF16) {
          const auto half = cache.f16_page(page, 0, 1).values[i];
          ASSERT_NE(half & 0x7c00u, 0x7c00u);
          seen.insert(half);
        } else {
          const auto code = cache.int8_page(page, 0, 1).keys[i];
          ASSERT_GE(code, -127);
          seen.insert(code);
        }
      }
    }
    EXPECT_GT(seen.size(), 100u);
    if (type == KvType::kInt8) {
      EXPECT_GT(cache.int8_page(15, 0, 1).value_scales[31], 0.0f);
    }
  }
}

TEST(CpuKvCache, BytesAreThoseAllocated) {
  const Plan plan = unfriendly_plan();
  CpuBackend backend(kernels::scalar_table(), 1);
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    EXPECT_EQ(backend.cache_bytes(plan, type, 0), 0u);
    for (const std::uint32_t tokens : {1u, 255u, 256u, 257u, 3000u}) {
      auto made = backend.make_cache(plan, type);
      must(made->reserve(tokens));
      auto& cache = static_cast<CpuKvCache&>(*made);
      std::size_t announced = 0;
      for (std::size_t block = 0; block < cache.blocks(); ++block) {
        const auto bytes = cache.block_bytes(block);
        announced += bytes.size();
        const std::size_t usable = malloc_usable_size(const_cast<std::byte*>(bytes.data()));
        EXPECT_GE(usable, bytes.size());
        EXPECT_LE(usable, bytes.size() + 4096);
      }
      EXPECT_EQ(backend.cache_bytes(plan, type, tokens), announced) << tokens;
      EXPECT_GE(cache.blocks() * kernels::kChunkKeys, tokens);
    }
  }
}

}  // namespace
}  // namespace tern::backend
