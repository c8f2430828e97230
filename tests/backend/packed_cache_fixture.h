// An entry of a cache of packed weights, to read and to damage.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/packed_cache.h"
#include "backend/tensors.h"
#include "core/fast_hash.h"
#include "support/temporary_directory.h"

namespace tern::backend {

namespace fs = std::filesystem;
using test::must;

inline constexpr std::uint64_t kHeader = 4096;
inline constexpr std::size_t kLarge = (3u << 20) + 5;  // several parts and a bit

inline std::vector<std::byte> random_bytes(std::size_t count, std::uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<std::byte> bytes(count);
  for (auto& byte : bytes) byte = static_cast<std::byte>(generator());
  return bytes;
}

class PackedCacheTest : public ::testing::Test {
 protected:
  PackedCache open(const std::string& key = "key") const {
    return {must(CacheDir::open(path_, std::uint64_t{1} << 30)), key, {"model", "layout"}};
  }
  // Empty: not there.
  std::vector<std::byte> take(PackedCache& cache, std::string_view name, std::size_t bytes,
                              std::uint32_t threads = 2) {
    ThreadPool pool(threads);
    const auto taken = must(cache.take(name, bytes, arena_, pool));
    if (!taken.whole) return {};
    return {taken.memory.begin(), taken.memory.end()};
  }
  void store_both() const {
    PackedCache cache = open();
    cache.keep("large", large_);
    cache.keep("small", small_);
    std::uint64_t last = 0;
    must(cache.store([&](std::uint64_t done, std::uint64_t total) {
      EXPECT_GT(done, last);
      EXPECT_EQ(total, large_.size() + small_.size());
      last = done;
    }));
    EXPECT_EQ(last, large_.size() + small_.size());
  }
  // An entry of the small blob and any table, whose hash is right.
  void store_table(const std::vector<std::byte>& table) const {
    const std::uint64_t footer[] = {table.size(), fast_hash(table)};
    CacheDir directory = must(CacheDir::open(path_, std::uint64_t{1} << 30));
    CacheWriter writer =
        must(directory.begin("key", {"model", "layout"}, 64 + table.size() + sizeof footer));
    must(writer.write(small_));
    must(writer.write(table));
    must(writer.write(std::as_bytes(std::span(footer))));
    must(writer.commit());
  }
  fs::path file() const { return path_ / "key.entry"; }
  void flip(std::uint64_t offset) const {
    std::fstream out(file(), std::ios::in | std::ios::out | std::ios::binary);
    out.seekg(static_cast<std::streamoff>(offset));
    const char other = static_cast<char>(out.get() ^ 0x10);
    out.seekp(static_cast<std::streamoff>(offset));
    out.put(other);
  }

  Arena arena_;
  test::TemporaryDirectory directory_;
  fs::path path_ = directory_ / "cache";
  std::vector<std::byte> large_ = random_bytes(kLarge, 1);
  std::vector<std::byte> small_ = random_bytes(64, 2);
};

inline void no_progress(std::uint64_t, std::uint64_t) {}

}  // namespace tern::backend
