#include "backend/cpu/packed_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "backend/packed_cache_fixture.h"
#include "backend/tensors.h"
#include "core/fast_hash.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"

namespace tern::backend {
namespace {

using ::testing::HasSubstr;

TEST_F(PackedCacheTest, GivesBackWhatWasStored) {
  PackedCache empty = open();
  EXPECT_TRUE(take(empty, "large", kLarge).empty());
  EXPECT_EQ(empty.trouble(), "");
  store_both();
  for (const std::uint32_t threads : {1u, 3u}) {
    PackedCache cache = open();
    EXPECT_EQ(take(cache, "small", 64, threads), small_);
    EXPECT_EQ(take(cache, "large", kLarge, threads), large_);
    EXPECT_EQ(cache.trouble(), "");
  }
  PackedCache other = open("other-key");
  EXPECT_TRUE(take(other, "large", kLarge).empty());
}

TEST_F(PackedCacheTest, AnEntryShorterThanItsFooterIsNotRead) {
  CacheDir directory = must(CacheDir::open(path_, std::uint64_t{1} << 30));
  CacheWriter writer = must(directory.begin("key", {"model", "layout"}, 8));
  must(writer.write(std::span(small_).first(8)));
  must(writer.commit());
  EXPECT_THAT(open().trouble(), HasSubstr("the size"));
}

// Blobs end where parts do, or hold nothing, or there are none.
TEST_F(PackedCacheTest, KeepsBlobsOfWholePartsAndOfNone) {
  must(open().store(no_progress));
  EXPECT_EQ(open().trouble(), "");
  PackedCache table_alone = open();
  table_alone.keep("nothing", {});
  must(table_alone.store(no_progress));
  EXPECT_EQ(open().trouble(), "");
  const auto parts = random_bytes(2u << 18, 3);
  PackedCache writer = open();
  writer.keep("parts", parts);
  writer.keep("nothing", {});
  must(writer.store(no_progress));
  PackedCache cache = open();
  EXPECT_EQ(cache.trouble(), "");
  EXPECT_EQ(take(cache, "parts", parts.size()), parts);
  ThreadPool pool(2);
  Arena arena;
  EXPECT_TRUE(must(cache.take("nothing", 0, arena, pool)).whole);
  EXPECT_FALSE(must(cache.take("absent", 0, arena, pool)).whole);
}

TEST_F(PackedCacheTest, ANameWithAnotherSizeIsAnotherBlob) {
  store_both();
  PackedCache cache = open();
  EXPECT_TRUE(take(cache, "small", 128).empty());
  EXPECT_TRUE(take(cache, "smal", 64).empty());
  EXPECT_EQ(cache.trouble(), "");
}

TEST_F(PackedCacheTest, IsCompleteOnceAllThatIsKeptWasThere) {
  ThreadPool pool(2);
  Arena arena;
  const auto load = [&](PackedCache& cache, const char* name) {
    auto blob = packed_blob(&cache, name, 64, arena, pool, [&](std::byte* to) -> Result<void> {
      std::memcpy(to, small_.data(), 64);
      return {};
    });
    return must(std::move(blob));
  };
  {
    PackedCache cache = open();
    const PackedBlob a = load(cache, "a");
    EXPECT_FALSE(a.cached);
    EXPECT_FALSE(cache.complete());
    must(cache.store(no_progress));
  }
  {
    PackedCache cache = open();
    const PackedBlob a = load(cache, "a");
    EXPECT_TRUE(a.cached);
    EXPECT_EQ(std::memcmp(a.bytes, small_.data(), 64), 0);
    EXPECT_TRUE(cache.complete());
    const PackedBlob b = load(cache, "b");  // what a later version may want as well
    EXPECT_FALSE(b.cached);
    EXPECT_FALSE(cache.complete());
    must(cache.store(no_progress));
  }
  PackedCache cache = open();
  const PackedBlob a = load(cache, "a");
  const PackedBlob b = load(cache, "b");
  EXPECT_TRUE(a.cached && b.cached && cache.complete());
}

TEST_F(PackedCacheTest, WithoutACacheABlobIsMade) {
  ThreadPool pool(1);
  Arena arena;
  const auto refused = packed_blob(nullptr, "a", 64, arena, pool, [](std::byte*) -> Result<void> {
    return Error{ErrorCode::kOutOfMemory, "of the maker", ""};
  });
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message, "of the maker");
}

// Every byte is checked: any bit that flips is found, said, and what it hits is not given out.
TEST_F(PackedCacheTest, DamageIsFoundAndReplaced) {
  store_both();
  const std::uint64_t blobs = kLarge + 64;
  const std::uint64_t end = fs::file_size(file()) - kHeader;
  for (const std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1} << 20, kLarge - 1ul}) {
    flip(kHeader + offset);
    PackedCache cache = open();
    EXPECT_TRUE(take(cache, "large", kLarge).empty()) << offset;
    EXPECT_THAT(cache.trouble(), HasSubstr("large: damaged: the blob has another hash"));
    EXPECT_EQ(take(cache, "small", 64), small_);
    store_both();
  }
  flip(kHeader + kLarge);
  {
    PackedCache cache = open();
    EXPECT_TRUE(take(cache, "small", 64).empty());
    EXPECT_EQ(take(cache, "large", kLarge), large_);
    store_both();
  }
  flip(0);  // of the header, which the directory checks
  EXPECT_THAT(open().trouble(), HasSubstr("expected a cache entry, found another file"));
  store_both();
  for (const std::uint64_t offset : {blobs, blobs + 16, blobs + 40, end - 16, end - 9, end - 1}) {
    flip(kHeader + offset);
    PackedCache cache = open();
    EXPECT_THAT(cache.trouble(), HasSubstr("damaged: the table has another hash")) << offset;
    EXPECT_TRUE(take(cache, "large", kLarge).empty());
    store_both();
  }
  PackedCache whole = open();
  EXPECT_EQ(take(whole, "large", kLarge), large_);
}

// A table that lies although its hash is right: written by another program, or by a fault.
TEST_F(PackedCacheTest, ATableThatLiesIsRefused) {
  struct Row {
    std::uint64_t name_bytes;
    std::uint64_t blob_bytes;
  };
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  const std::vector<std::vector<Row>> tables{
      {{1, 65}},
      {{1, 63}},
      {{1, kMost}},
      {{100, 64}},
      {{kMost, 64}},
      {{1, std::uint64_t{1} << 40}},
      {{1, kMost}, {1, 65}}};  // the last one adds up to 64, around the largest number
  for (const std::vector<Row>& rows : tables) {
    std::vector<std::byte> table;
    const auto append = [&](const auto& value) {
      const auto bytes = std::as_bytes(std::span(&value, 1));
      table.insert(table.end(), bytes.begin(), bytes.end());
    };
    for (const Row& row : rows) {
      append(row);
      append(char{0});
      if (row.blob_bytes != kMost) append(fast_hash(small_));
    }
    store_table(table);
    PackedCache cache = open();
    EXPECT_THAT(cache.trouble(), HasSubstr("damaged: the table")) << rows[0].blob_bytes;
    EXPECT_TRUE(take(cache, std::string(1, '\0'), 64).empty());
  }
}

// Each of its parts may be cut: a row, a name, the hashes.
TEST_F(PackedCacheTest, ATableThatIsCutIsRefused) {
  const auto word = [](std::uint64_t value) {
    std::vector<std::byte> bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  };
  std::vector<std::byte> table;
  for (const auto& bytes : {word(8), word(64), word(0), word(fast_hash(small_))}) {
    table.insert(table.end(), bytes.begin(), bytes.end());
  }
  for (std::size_t size = 0; size <= table.size(); ++size) {
    store_table({table.begin(), table.begin() + static_cast<std::ptrdiff_t>(size)});
    EXPECT_EQ(open().trouble().empty(), size == table.size()) << size;
  }
  table.push_back(std::byte{0});
  store_table(table);
  EXPECT_THAT(open().trouble(), HasSubstr("damaged: the table"));
}

// Fewer bytes than the table says are another trouble than wrong ones.
TEST_F(PackedCacheTest, AnEntryThatShrinksIsNotReadPastItsEnd) {
  store_both();
  PackedCache cache = open();
  fs::resize_file(file(), kHeader + (2u << 20));
  EXPECT_TRUE(take(cache, "large", kLarge).empty());
  EXPECT_THAT(cache.trouble(), HasSubstr("large: "));
  EXPECT_THAT(cache.trouble(), ::testing::Not(HasSubstr("another hash")));
}

TEST_F(PackedCacheTest, AnEntryOfAnotherKindIsRefused) {
  CacheDir directory = must(CacheDir::open(path_, std::uint64_t{1} << 30));
  for (const std::size_t size : {0u, 15u, 16u, 64u}) {
    CacheWriter writer = must(directory.begin("key", {"model", "layout"}, size));
    must(writer.write(std::span(small_).first(size)));
    must(writer.commit());
    EXPECT_THAT(open().trouble(), HasSubstr("damaged")) << size;
  }
}

TEST_F(PackedCacheTest, ComparesAllThatIsTaken) {
  ThreadPool pool(2);
  Arena arena;
  store_both();
  const auto load = [&](PackedCache& cache, const char* name, std::vector<std::byte> made) {
    return packed_blob(&cache, name, made.size(), arena, pool, [&](std::byte* to) -> Result<void> {
      std::memcpy(to, made.data(), made.size());
      return {};
    });
  };
  for (const std::size_t at : {std::size_t{0}, kLarge / 2, kLarge - 1}) {
    std::vector<std::byte> other = large_;
    other[at] ^= std::byte{1};
    PackedCache trusts = open();
    EXPECT_TRUE(must(load(trusts, "large", other)).cached);
    EXPECT_EQ(trusts.compared(), 0u);
    PackedCache cache = open();
    cache.compare_all();
    EXPECT_TRUE(must(load(cache, "small", small_)).cached);
    const auto refused = load(cache, "large", other);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kProofFailed);
    EXPECT_THAT(refused.error().to_string(),
                HasSubstr("found another byte at " + std::to_string(at) + " of " +
                          std::to_string(kLarge) + "; remove the entry"));
    EXPECT_THAT(refused.error().context, HasSubstr("/key: large"));
    EXPECT_EQ(cache.compared(), 1u);
    EXPECT_TRUE(must(load(cache, "large", large_)).cached);
    EXPECT_EQ(cache.compared(), 2u);
  }
}

TEST_F(PackedCacheTest, WhatCannotBeMadeCannotBeCompared) {
  ThreadPool pool(1);
  Arena arena;
  store_both();
  PackedCache cache = open();
  cache.compare_all();
  const auto blob = packed_blob(&cache, "small", 64, arena, pool, [](std::byte*) -> Result<void> {
    return Error{ErrorCode::kOutOfMemory, "no room", ""};
  });
  ASSERT_FALSE(blob.ok());
  EXPECT_EQ(blob.error().message, "no room");
}

// Of the same model and packing, in whatever shapes. Others stay: another tier or a newer program
// takes them.
TEST_F(PackedCacheTest, AFormerVersionOfTheLayoutGoes) {
  CacheDir directory = must(CacheDir::open(path_, std::uint64_t{1} << 30));
  const auto put = [&](const char* key, const CacheLabel& label) {
    must(must(directory.begin(key, label, 0)).commit());
  };
  put("former", {"model", "two-bits-9"});
  put("former-of-shapes", {"model", "two-bits-1 48x256:five-trits"});
  put("newer", {"model", "two-bits-11"});
  put("of-another-tier", {"model", "five-trits-1"});
  put("of-another-model", {"other", "two-bits-9"});
  put("of-shapes", {"model", "two-bits-10 48x256:five-trits"});
  put("tuning", {"model", "tuning, two-bits-1"});
  put("without-version", {"model", "two-bits-"});
  put("without-dash", {"model", "layout"});
  PackedCache cache(directory, "new", {"model", "two-bits-10"});
  cache.keep("small", small_);
  must(cache.store(no_progress));
  std::set<std::string> left;
  for (const CacheListing& entry : must(directory.list())) left.insert(entry.key);
  EXPECT_EQ(left,
            (std::set<std::string>{"new", "newer", "of-another-tier", "of-another-model",
                                   "of-shapes", "tuning", "without-version", "without-dash"}));
}

TEST_F(PackedCacheTest, WhatIsDiscardedIsNotTakenAndGoes) {
  store_both();
  PackedCache cache = open();
  EXPECT_FALSE(cache.took_any());
  EXPECT_EQ(take(cache, "small", 64), small_);
  EXPECT_TRUE(cache.took_any());
  PackedCache reader = open();  // keeps the file, not the cache from forgetting it
  PackedCache other = open();
  other.discard();
  EXPECT_TRUE(take(other, "small", 64).empty());
  EXPECT_FALSE(other.took_any());
  EXPECT_TRUE(fs::exists(file()));
  reader.discard();
  cache.discard();
  EXPECT_FALSE(fs::exists(file()));
}

// A head, its copy in the cache with a bit flipped, and what a load says of that.
class CachedHeadCopy : public PackedCacheTest {
 protected:
  static constexpr std::size_t kColumns = 10;
  static constexpr std::uint64_t kRowsOfTiles = 3 * 64;  // of a group: three tiles of four columns

  static test::OwnedTensor matrix_of(std::size_t rows) {
    std::vector<float> values(kColumns * rows);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(i * 37 % 101) - 50.0f;
    }
    return test::make_floats("output.weight", {kColumns, rows}, values);
  }
  // Where the first code of a row stands.
  static std::uint64_t codes_of(std::uint64_t row) {
    return row / 16 * kRowsOfTiles + row % 16 * 4;
  }
  std::string outcome_with(const test::OwnedTensor& matrix, std::optional<std::uint64_t> flipped) {
    ThreadPool pool(2);
    Arena arena;
    const HeadCopy made =
        must(make_head_copy(kernels::scalar_table(), matrix.tensor, arena, pool, nullptr));
    std::vector<std::byte> blob(head_copy_bytes(matrix.tensor));
    std::memcpy(blob.data(), made.tiles.codes, blob.size());
    if (flipped) blob[*flipped] ^= std::byte{1};
    PackedCache writer = open();
    writer.keep("output.weight int8-1", blob);
    must(writer.store(no_progress));
    PackedCache cache = open();
    const auto copy = make_head_copy(kernels::scalar_table(), matrix.tensor, arena, pool, &cache);
    EXPECT_TRUE(cache.took_any());
    return copy.ok() ? "" : copy.error().to_string();
  }
};

// The copy of another matrix under the name of this one: every part of a row counts.
TEST_F(CachedHeadCopy, ThatIsNotOfItsMatrixIsRefused) {
  const auto matrix = matrix_of(100);
  EXPECT_EQ(outcome_with(matrix, std::nullopt), "");
  const std::uint64_t codes = 7 * kRowsOfTiles, vector = 112 * sizeof(float), last = codes_of(99);
  for (const std::uint64_t at : {std::uint64_t{0}, last, last + 2 * 64 + 1, codes, codes + vector,
                                 codes + 2 * vector, codes + vector + 99 * 4}) {
    EXPECT_THAT(outcome_with(matrix, at), HasSubstr("is not that of the matrix")) << at;
  }
}

// Of few rows all are compared.
TEST_F(CachedHeadCopy, OfFewRowsIsComparedWhole) {
  for (const std::size_t rows : {1u, 3u, 40u, 63u}) {
    const auto matrix = matrix_of(rows);
    EXPECT_EQ(outcome_with(matrix, std::nullopt), "") << rows;
    EXPECT_THAT(outcome_with(matrix, codes_of(rows - 1)),
                HasSubstr("row " + std::to_string(rows - 1) + " of the int8 copy"));
  }
}

// What is not read is not to be brought from disk.
TEST_F(PackedCacheTest, SaysWhatLoadingReads) {
  const auto trits = test::random_trits(std::size_t{128} * 48, 5);
  const auto ternary = test::make_ternary("blk.0.attn_q.weight", trits, 128, 0.5f);
  const auto other = test::make_ternary("blk.1.attn_q.weight", trits, 128, 0.5f);
  const auto head = test::make_floats("output.weight", {64, 8}, std::vector<float>(512, 0.5f));
  const auto read = [&](const CpuBackend& backend) {
    return std::vector<bool>{backend.reads(ternary.tensor), backend.reads(other.tensor),
                             backend.reads(head.tensor)};
  };
  for (const bool stored : {false, true}) {
    PackedCache cache = open();
    CpuBackend backend(kernels::scalar_table(), 2);
    EXPECT_EQ(read(backend), (std::vector<bool>{true, true, true}));  // without a cache
    backend.use_cache(&cache);
    EXPECT_EQ(read(backend), (std::vector<bool>{!stored, true, !stored}));
    must(backend.load_ternary(ternary.tensor));
    must(backend.copy_head(must(backend.load_matrix(head.tensor))));
    if (!stored) must(cache.store(no_progress));
    cache.compare_all();
    EXPECT_EQ(read(backend), (std::vector<bool>{true, true, true}));
  }
}

// A weight from the cache computes what the packed one does.
TEST_F(PackedCacheTest, AWeightFromTheCacheIsTheSame) {
  const auto trits = test::random_trits(std::size_t{200} * 48, 5);
  const auto owned = test::make_ternary("blk.0.attn_q.weight", trits, 200, 0.5f);
  std::vector<float> x(200);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 6.0f;
  std::vector<std::vector<float>> results;
  for (const bool cached : {false, true}) {
    PackedCache cache = open();
    CpuBackend backend(kernels::scalar_table(), 2);
    backend.use_cache(&cache);
    const WeightId weight = must(backend.load_ternary(owned.tensor));
    EXPECT_EQ(cache.complete(), cached);
    if (!cached) must(cache.store(no_progress));
    results.emplace_back(48);
    must(backend.ternary_rows(weight, 0, 1, x, results.back()));
  }
  EXPECT_EQ(results[0], results[1]);
}

}  // namespace
}  // namespace tern::backend
