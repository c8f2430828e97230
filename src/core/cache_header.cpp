#include "core/cache_header.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "core/fast_hash.h"
#include "core/file_descriptor.h"

namespace tern {
namespace {

constexpr std::array<char, 8> kMagic{'t', 'e', 'r', 'n', 'c', 'a', 'c', 'h'};
constexpr std::uint32_t kVersion = 1;

std::uint64_t hash_of(const CacheHeader& header) {
  return fast_hash(std::as_bytes(std::span(&header, 1)).first(offsetof(CacheHeader, hash)));
}

std::uint32_t put_text(std::string_view text, std::array<char, kMostLabelBytes>& to) {
  text.remove_prefix(text.size() - std::min(text.size(), to.size()));
  std::copy(text.begin(), text.end(), to.begin());
  return static_cast<std::uint32_t>(text.size());
}

}  // namespace

CacheHeader make_cache_header(const CacheLabel& label, std::uint64_t payload_bytes) {
  CacheHeader header{};
  header.magic = kMagic;
  header.version = kVersion;
  header.subject_bytes = put_text(label.subject, header.subject);
  header.variant_bytes = put_text(label.variant, header.variant);
  header.payload_bytes = payload_bytes;
  header.hash = hash_of(header);
  return header;
}

CacheLabel label_of(const CacheHeader& header) {
  return {std::string(header.subject.data(), header.subject_bytes),
          std::string(header.variant.data(), header.variant_bytes)};
}

bool is_cache_file(int fd, std::uint64_t file_bytes) {
  if (file_bytes == 0) return true;
  std::array<char, kMagic.size()> found{};
  return file_bytes >= found.size() &&
         read_all_at(fd, 0, std::as_writable_bytes(std::span(found)), "").ok() && found == kMagic;
}

Result<CacheHeader> read_cache_header(int fd, std::uint64_t file_bytes,
                                      const std::filesystem::path& path) {
  const auto malformed = [&](std::string message) {
    return Error{ErrorCode::kMalformed, std::move(message), path.string()};
  };
  if (file_bytes < kCacheHeaderBytes) {
    return malformed("expected a cache entry, found " + std::to_string(file_bytes) + " bytes");
  }
  CacheHeader header{};
  TERN_TRY(read_all_at(fd, 0, std::as_writable_bytes(std::span(&header, 1)), path));
  if (header.magic != kMagic) return malformed("expected a cache entry, found another file");
  if (header.version != kVersion) {
    return malformed("expected a cache entry of version " + std::to_string(kVersion) + ", found " +
                     std::to_string(header.version));
  }
  if (header.hash != hash_of(header)) return malformed("the header of the cache entry is damaged");
  if (header.subject_bytes > kMostLabelBytes || header.variant_bytes > kMostLabelBytes) {
    return malformed("expected labels of at most " + std::to_string(kMostLabelBytes) +
                     " bytes, found " +
                     std::to_string(std::max(header.subject_bytes, header.variant_bytes)));
  }
  if (header.payload_bytes != file_bytes - kCacheHeaderBytes) {
    return malformed("expected a cache entry of " + std::to_string(header.payload_bytes) +
                     " bytes behind its header, found " +
                     std::to_string(file_bytes - kCacheHeaderBytes));
  }
  return header;
}

}  // namespace tern
