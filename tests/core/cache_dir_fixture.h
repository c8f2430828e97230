// A directory of cached entries, and what most tests do with it.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "core/cache_dir.h"
#include "support/temporary_directory.h"

namespace tern::test {

namespace fs = std::filesystem;

inline constexpr std::uint64_t kRoomy = 1u << 30;
inline constexpr std::uint64_t kHeader = 4096;
inline const CacheLabel kLabel{"/models/a.gguf", "avx2 tiles"};

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline Result<void> put(CacheDir& cache, std::string_view key, std::string_view payload,
                        const CacheLabel& label = kLabel) {
  TERN_ASSIGN(CacheWriter writer, cache.begin(key, label, payload.size()));
  TERN_TRY(writer.write(bytes_of(payload)));
  return writer.commit();
}

// The payload; "absent"; or the error.
inline std::string get(const CacheDir& cache, std::string_view key) {
  const auto found = cache.find(key);
  if (!found) return found.error().to_string();
  if (!*found) return "absent";
  std::string payload((*found)->size(), '?');
  const auto read = (*found)->read(0, std::as_writable_bytes(std::span(payload)));
  return read ? payload : read.error().to_string();
}

class CacheDirTest : public ::testing::Test {
 protected:
  CacheDir open(std::uint64_t budget = kRoomy) const {
    auto cache = CacheDir::open(path_, budget);
    if (!cache) throw std::runtime_error(cache.error().to_string());
    return std::move(*cache);
  }
  fs::path file(const std::string& key) const { return path_ / (key + ".entry"); }
  auto files() const { return std::distance(fs::directory_iterator(path_), {}); }
  static mode_t mode(const fs::path& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 ? info.st_mode & 07777u : 0;
  }
  void patch(const std::string& key, std::uint64_t offset, char value) const {
    std::fstream out(file(key), std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<std::streamoff>(offset));
    out.put(value);
  }

  TemporaryDirectory directory_;
  fs::path path_ = directory_ / "above" / "cache";
};

}  // namespace tern::test
