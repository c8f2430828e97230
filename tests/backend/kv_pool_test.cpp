// Pages of keys and values: where they lie, who has them, and that none is had twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kv_cache.h"
#include "backend/tensors.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using format::KvType;
using test::must;
using ::testing::ElementsAre;
using PageIds = std::vector<CpuKvPool::PageId>;

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

TEST(CpuKvPool, TakesMemoryBlockByBlockAndKeepsIt) {
  CpuKvPool pool({3, 2, 50}, 20);
  PageIds taken;
  must(pool.take(0, taken));
  EXPECT_EQ(pool.blocks(), 0u);
  must(pool.take(1, taken));
  EXPECT_EQ(pool.blocks(), 1u);
  std::byte* const first = pool.at(0, 0, 0).keys;
  must(pool.take(7, taken));
  EXPECT_EQ(pool.blocks(), 1u);
  must(pool.take(1, taken));
  EXPECT_EQ(pool.blocks(), 2u);
  must(pool.take(11, taken));
  EXPECT_EQ(pool.blocks(), 3u);
  EXPECT_EQ(pool.at(0, 0, 0).keys, first);
  EXPECT_EQ(std::set(taken.begin(), taken.end()).size(), 20u);
}

TEST(CpuKvPool, GivesTheLowestFreePageFirst) {
  CpuKvPool pool({1, 1, 16}, 6);
  PageIds taken;
  must(pool.take(4, taken));
  EXPECT_THAT(taken, ElementsAre(0, 1, 2, 3));
  for (const CpuKvPool::PageId page : {2u, 0u, 1u}) pool.give_back(page);
  EXPECT_EQ(pool.free_pages(), 5u);
  taken.clear();
  must(pool.take(4, taken));
  EXPECT_THAT(taken, ElementsAre(0, 1, 2, 4));
  EXPECT_EQ(pool.free_pages(), 1u);
}

TEST(CpuKvPool, GivesAllPagesOrNone) {
  CpuKvPool pool({1, 1, 16}, 3);
  PageIds taken;
  must(pool.take(2, taken));
  pool.give_back(0);
  const auto refused = pool.take(3, taken);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(refused.error().to_string(),
            "KV pool: expected 3 free pages of 32 tokens, found 2 of 3");
  EXPECT_EQ(taken.size(), 2u);
  EXPECT_EQ(pool.free_pages(), 2u);
}

TEST(CpuKvPool, ClearsAPageThatIsTakenAgain) {
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    CpuKvPool pool({2, 3, 50, type}, 8);
    {
      const auto cache = pool.make_cache();
      must(cache->fill(8 * KvPool::kPageTokens));
    }
    PageIds taken;
    must(pool.take(3, taken));
    const auto any_set = [&](CpuKvPool::PageId page) {
      const KvShape& shape = pool.shape();
      std::size_t set = 0;
      for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
        for (std::uint32_t head = 0; head < shape.kv_heads; ++head) {
          const auto at = pool.at(page, layer, head);
          const auto count = [](const std::byte* bytes, std::size_t n) {
            return static_cast<std::size_t>(
                std::count_if(bytes, bytes + n, [](std::byte b) { return b != std::byte{0}; }));
          };
          set += count(at.keys, shape.key_bytes()) + count(at.values, shape.value_bytes());
          if (type == KvType::kF16) continue;
          for (std::size_t i = 0; i < kernels::kPageKeys; ++i) {
            set += (at.key_scales[i] != 0.0f) + (at.value_scales[i] != 0.0f);
          }
        }
      }
      return set != 0;
    };
    for (const auto page : taken) EXPECT_FALSE(any_set(page)) << page;
    EXPECT_TRUE(any_set(3));  // still free: not cleared before it is needed
  }
}

TEST(CpuKvCache, HasThePagesOfItsTokensAndGivesThemBack) {
  CpuKvPool pool({3, 2, 50}, 128);
  {
    CpuKvCache cache(pool);
    for (const std::uint32_t tokens : {0u, 1u, 32u, 33u, 5u, 4000u, 5u}) {
      const std::size_t before = cache.pages();
      must(cache.reserve(tokens));
      EXPECT_EQ(cache.pages(), std::max<std::size_t>(before, (tokens + 31) / 32)) << tokens;
      EXPECT_EQ(pool.free_pages(), 128 - cache.pages());
    }
    EXPECT_FALSE(cache.reserve(128 * 32 + 1).ok());
    EXPECT_EQ(cache.pages(), 125u);
  }
  EXPECT_EQ(pool.free_pages(), 128u);
}

// Where the parts of all pages lie: no two overlap, and together they are the blocks.
struct Extent {
  const void* at;
  std::size_t bytes;
};
std::vector<Extent> extents(const CpuKvCache& cache, std::size_t pages) {
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
    CpuKvPool pool(shape, 16);
    CpuKvCache cache(pool);
    must(cache.reserve(512));
    for (std::size_t block = 0; block < 2; ++block) {
      const auto bytes = pool.block_bytes(block);
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
      const auto bytes = pool.block_bytes(block);
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
  CpuKvPool pool({2, 2, 48}, 8);
  CpuKvCache cache(pool);
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
    CpuKvPool pool({1, 2, 50, type}, 10);
    CpuKvPool other({1, 2, 50, type}, 10);
    CpuKvCache cache(pool);
    CpuKvCache again(other);
    must(cache.fill(300));
    must(again.fill(300));
    ASSERT_EQ(pool.blocks(), 2u);
    for (std::size_t block = 0; block < 2; ++block) {
      const auto a = pool.block_bytes(block);
      EXPECT_TRUE(std::equal(a.begin(), a.end(), other.block_bytes(block).begin()));
    }
    std::set<int> seen;
    for (std::size_t page = 0; page < 10; ++page) {
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
      EXPECT_GT(cache.int8_page(9, 0, 1).value_scales[31], 0.0f);
    }
  }
}

// The pages of two caches are neighbours: what one is filled with ends where the other begins.
TEST(CpuKvCache, FillLeavesThePagesOfOthers) {
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    CpuKvPool pool({1, 1, 16, type}, 2);
    CpuKvCache before(pool);
    CpuKvCache behind(pool);
    must(before.reserve(KvPool::kPageTokens));
    must(behind.fill(KvPool::kPageTokens));
    const auto page = pool.at(1, 0, 0);
    const std::size_t bytes[] = {pool.shape().key_bytes(), pool.shape().value_bytes()};
    const std::vector<std::byte> keys(page.keys, page.keys + bytes[0]);
    const std::vector<std::byte> values(page.values, page.values + bytes[1]);
    must(before.fill(KvPool::kPageTokens));
    EXPECT_TRUE(std::equal(keys.begin(), keys.end(), page.keys));
    EXPECT_TRUE(std::equal(values.begin(), values.end(), page.values));
  }
}

// The same of whole blocks, which lie side by side.
TEST(CpuKvCache, FillLeavesTheBlocksOfOthers) {
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    CpuKvPool pool({2, 2, 16, type}, 16);
    CpuKvCache first(pool);
    CpuKvCache second(pool);
    must(first.reserve(8 * KvPool::kPageTokens));
    must(second.fill(8 * KvPool::kPageTokens));
    const auto block = pool.block_bytes(1);
    ASSERT_EQ(pool.block_bytes(0).data() + pool.block_bytes(0).size(), block.data());
    const std::vector<std::byte> filled(block.begin(), block.end());
    must(first.fill(8 * KvPool::kPageTokens));
    EXPECT_TRUE(std::equal(filled.begin(), filled.end(), block.begin()));
  }
}

// Codes of a value stand four positions apart: behind its last one begins that of another.
TEST(CpuKvCache, StoringAValueLeavesThoseBehindIt) {
  CpuKvPool pool({1, 1, 16, KvType::kInt8}, 1);
  CpuKvCache cache(pool);
  must(cache.reserve(KvPool::kPageTokens));
  const auto& table = kernels::scalar_table();
  const auto x = test::normals(32, 3);
  std::vector<std::int8_t> codes(pool.shape().key_width());
  ASSERT_TRUE(cache.store(table, 4, 0, 0, &x[0], &x[1], codes.data()));
  const std::byte* const behind = pool.at(0, 0, 0).values + 4 * pool.shape().value_width();
  const std::vector<std::byte> before(behind, behind + 4 * pool.shape().value_width());
  ASSERT_TRUE(cache.store(table, 0, 0, 0, &x[8], &x[9], codes.data()));
  EXPECT_TRUE(std::equal(before.begin(), before.end(), behind));
}

TEST(CpuKvPool, BytesAreThoseAllocated) {
  Plan plan;
  plan.layers = 3;
  plan.kv_heads = 2;
  plan.head_dim = 50;
  CpuBackend backend(kernels::scalar_table(), 1);
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    EXPECT_EQ(backend.pool_bytes(plan, type, 0), 0u);
    for (const std::uint32_t pages : {1u, 7u, 8u, 9u, 100u}) {
      const auto made = backend.make_pool(plan, type, pages);
      auto& pool = static_cast<CpuKvPool&>(*made);
      PageIds taken;
      must(pool.take(pages, taken));
      std::size_t allocated = 0;
      for (std::size_t block = 0; block < pool.blocks(); ++block) {
        const auto bytes = pool.block_bytes(block);
        allocated += bytes.size();
        std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(block + 1));
      }
      for (std::size_t block = 0; block < pool.blocks(); ++block) {  // none lies in another
        const auto bytes = pool.block_bytes(block);
        EXPECT_EQ(std::count(bytes.begin(), bytes.end(), static_cast<std::byte>(block + 1)),
                  static_cast<std::ptrdiff_t>(bytes.size()));
      }
      EXPECT_EQ(backend.pool_bytes(plan, type, pages), allocated) << pages;
    }
  }
}

}  // namespace
}  // namespace tern::backend
