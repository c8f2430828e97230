// What a hub's server says, read strictly: the files of a revision, its commit, and the headers of
// replies. Nothing here trusts a name, a number or a hash. Pure functions.
//
// Source: the hub's API, GET /api/models/ORG/REPO/revision/REVISION and
// /api/models/ORG/REPO/tree/REVISION?recursive=true.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::hub {

inline constexpr std::size_t kMostListingBytes = std::size_t{16} << 20;  // of a page
inline constexpr std::size_t kMostListingPages = 256;
inline constexpr std::size_t kMostListingFiles = 100'000;
inline constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 44;

struct RemoteEntry {
  std::string path;  // safe to put below a folder
  std::uint64_t size = 0;
  std::string hash;  // 64 digits: SHA-256 of the bytes; 40: SHA-1 of the blob as git has it
  bool operator==(const RemoteEntry&) const = default;
};

// Appends the files of a page to `files`. Errors, with `source` as their context, as for all here:
// kMalformed for what is no such JSON, unsafe names, impossible sizes and hashes; kUnsupported
// beyond the limits.
Result<void> parse_tree_page(std::string_view text, const std::string& source,
                             std::vector<RemoteEntry>& files);

// Whether all of them can stand in one folder: no path twice, none that is a file and a folder.
// Errors: kMalformed.
Result<void> check_paths(const std::vector<RemoteEntry>& files, const std::string& source);

// The commit, 40 digits.
Result<std::string> parse_commit(std::string_view text, const std::string& source);

// The address of the next page, from a Link header. No value: this was the last.
std::optional<std::string> next_page(std::string_view link);

struct ContentRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;  // behind the last byte
  std::uint64_t total = 0;
};
// "bytes 0-99/1000". No value: it is no such range.
std::optional<ContentRange> parse_content_range(std::string_view text);

// Decimal digits that fit. No value: anything else.
std::optional<std::uint64_t> parse_number(std::string_view text);

// Seconds of a Retry-After header; no value for a date or anything else.
std::optional<std::chrono::seconds> parse_retry_after(std::string_view text);

// The hash of an ETag: without quotes and the mark of a weak one.
std::string_view etag_text(std::string_view etag);

}  // namespace tern::hub
