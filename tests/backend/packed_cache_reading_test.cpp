// Blobs that are read together.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "backend/packed_cache_fixture.h"

namespace tern::backend {
namespace {

using ::testing::HasSubstr;

// What is read together is checked for each blob, whatever was asked for first.
TEST_F(PackedCacheTest, ABlobIsDamagedByItsOwnBytesAlone) {
  const std::vector<std::string> names{"a", "b", "c", "d"};
  const auto other = random_bytes(65, 4);  // the next one begins on a line of its own
  {
    PackedCache cache = open();
    for (const auto& name : names) cache.keep(name, other);
    must(cache.store(no_progress));
  }
  flip(kHeader + 65 + 64);  // the last byte of b
  for (const auto& first : names) {
    PackedCache cache = open();
    EXPECT_EQ(take(cache, first, 65).empty(), first == "b");
    for (const auto& name : names) EXPECT_EQ(take(cache, name, 65).empty(), name == "b") << first;
    EXPECT_EQ(take(cache, "d", 65), other);
    EXPECT_THAT(cache.trouble(), HasSubstr("b: damaged: the blob has another hash"));
  }
}

// However few bytes are read together, and whichever blob is asked for first; what was given out
// stays where it is.
TEST_F(PackedCacheTest, ReadsBlobsBehindTheOneThatIsAskedFor) {
  std::vector<std::vector<std::byte>> blobs;
  for (const std::uint32_t size : {300u, 100u, 100u, 1u, 64u}) {
    blobs.push_back(random_bytes(size, size));
  }
  {
    PackedCache cache = open();
    for (std::size_t i = 0; i < blobs.size(); ++i) cache.keep(std::to_string(i), blobs[i]);
    must(cache.store(no_progress));
  }
  ThreadPool pool(2);
  for (const std::uint64_t together : {0u, 100u, 227u, 228u, 256u, 1000u}) {
    for (std::size_t first = 0; first < blobs.size(); ++first) {
      PackedCache cache(must(CacheDir::open(path_, std::uint64_t{1} << 30)), "key",
                        {"model", "layout"}, together);
      Arena arena;
      const auto take = [&](std::size_t i) {
        return must(cache.take(std::to_string(i), blobs[i].size(), arena, pool));
      };
      const auto before = take(first);
      for (std::size_t i = 0; i < blobs.size(); ++i) {
        const auto taken = take(i);
        ASSERT_TRUE(taken.whole) << together << " " << first << " " << i;
        EXPECT_TRUE(std::ranges::equal(taken.memory, blobs[i]));
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(taken.memory.data()) % 64, 0u);
      }
      EXPECT_EQ(take(first).memory.data(), before.memory.data());
    }
  }
}

// Else the first blob alone would bring them all.
TEST_F(PackedCacheTest, ReadsNoMoreTogetherThanItWasTold) {
  {
    PackedCache cache = open();
    for (const char* name : {"a", "b", "c"}) cache.keep(name, small_);
    must(cache.store(no_progress));
  }
  ThreadPool pool(1);
  for (const std::uint64_t together : {64u, 127u, 128u, 191u, 192u}) {
    PackedCache cache(must(CacheDir::open(path_, std::uint64_t{1} << 30)), "key",
                      {"model", "layout"}, together);
    Arena arena;
    must(cache.take("a", 64, arena, pool));
    fs::resize_file(file(), kHeader);  // what is read from now on is not there
    EXPECT_EQ(must(cache.take("b", 64, arena, pool)).whole, together >= 128) << together;
    EXPECT_EQ(must(cache.take("c", 64, arena, pool)).whole, together >= 192) << together;
    PackedCache writer = open();
    for (const char* name : {"a", "b", "c"}) writer.keep(name, small_);
    must(writer.store(no_progress));
  }
}

TEST_F(PackedCacheTest, ADamagedBlobIsMadeAgainWhereItWasRead) {
  store_both();
  flip(kHeader + 1);
  PackedCache cache = open();
  ThreadPool pool(1);
  const auto read = must(cache.take("large", kLarge, arena_, pool));
  EXPECT_FALSE(read.whole);
  const auto make = [&](std::byte* to) -> Result<void> {
    std::memcpy(to, large_.data(), kLarge);
    return {};
  };
  const auto blob = must(packed_blob(&cache, "large", kLarge, arena_, pool, make));
  EXPECT_FALSE(blob.cached);
  EXPECT_EQ(blob.bytes, read.memory.data());
  EXPECT_EQ(std::memcmp(blob.bytes, large_.data(), kLarge), 0);
}

}  // namespace
}  // namespace tern::backend
