#include "hub/listing.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <set>

#include "core/json.h"
#include "hub/model_ref.h"

namespace tern::hub {
namespace {

namespace json = boost::json;

constexpr std::size_t kJsonDepth = 16;

Error malformed(std::string message, const std::string& source) {
  return Error{ErrorCode::kMalformed, std::move(message), source};
}

// A name in a message, short whatever it is; control characters are the command line's to escape.
std::string shown(std::string_view name) {
  constexpr std::size_t kMost = 80;
  std::string text("'");
  text.append(name.substr(0, kMost));
  return text.append(name.size() <= kMost ? "'" : "...'");
}

Result<json::value> parse(std::string_view text, const std::string& source) {
  auto value = parse_json(text, {.bytes = kMostListingBytes, .depth = kJsonDepth});
  if (!value) {
    return malformed("expected JSON from the server, found something else (" +
                         value.error().message + "); is this a hub?",
                     source);
  }
  return std::move(*value);
}

std::optional<std::string> text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return std::string(value->get_string().data(), value->get_string().size());
}

std::optional<std::uint64_t> number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_int64() || value->get_int64() < 0) return std::nullopt;
  return static_cast<std::uint64_t>(value->get_int64());
}

bool is_hash(std::string_view text, std::size_t digits) {
  return text.size() == digits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<RemoteEntry> parse_file(const json::object& object, const std::string& source) {
  RemoteEntry entry;
  const auto path = text_of(object, "path");
  if (!path) return malformed("expected a path of each file", source);
  if (!is_safe_path(*path)) {
    return malformed("refused: the listing has a file " + shown(*path) +
                         ", which would lie outside of its folder or cannot be a file's name",
                     source);
  }
  entry.path = *path;
  // A large file is kept elsewhere, and git has a pointer in its place.
  const json::value* lfs = object.if_contains("lfs");
  const bool large = lfs != nullptr && lfs->is_object();
  const json::object& from = large ? lfs->get_object() : object;
  const auto size = number_of(from, "size");
  const auto hash = text_of(from, "oid");
  if (!size || *size > kMostFileBytes) {
    return malformed("expected a size of " + shown(*path) + " of at most 16 TiB", source);
  }
  if (!hash || !is_hash(*hash, large ? 64 : 40)) {
    return malformed("expected a hash of " + shown(*path) + " with " + (large ? "64" : "40") +
                         " hexadecimal digits",
                     source);
  }
  entry.size = *size;
  entry.hash = *hash;
  return entry;
}

}  // namespace

Result<void> parse_tree_page(std::string_view text, const std::string& source,
                             std::vector<RemoteEntry>& files) {
  TERN_ASSIGN(const json::value value, parse(text, source));
  if (!value.is_array()) return malformed("expected a list of files from the server", source);
  for (const json::value& element : value.get_array()) {
    if (!element.is_object()) return malformed("expected objects in the list of files", source);
    const auto type = text_of(element.get_object(), "type");
    if (type == "directory") continue;
    if (type != "file") {
      return malformed("expected 'file' or 'directory' as a type in the list of files", source);
    }
    if (files.size() == kMostListingFiles) {
      return Error{ErrorCode::kUnsupported, "expected at most 100000 files, found more", source};
    }
    TERN_ASSIGN(RemoteEntry entry, parse_file(element.get_object(), source));
    files.push_back(std::move(entry));
  }
  return {};
}

Result<void> check_paths(const std::vector<RemoteEntry>& files, const std::string& source) {
  std::set<std::string_view> seen;
  for (const RemoteEntry& file : files) {
    if (seen.insert(file.path).second) continue;
    return malformed("the listing has " + shown(file.path) + " twice", source);
  }
  for (const RemoteEntry& file : files) {
    const std::string_view path = file.path;
    for (std::size_t at = path.find('/'); at != std::string_view::npos;
         at = path.find('/', at + 1)) {
      if (!seen.contains(path.substr(0, at))) continue;
      return malformed(
          "the listing has " + shown(path.substr(0, at)) + " as a file and as a folder", source);
    }
  }
  return {};
}

Result<std::string> parse_commit(std::string_view text, const std::string& source) {
  TERN_ASSIGN(const json::value value, parse(text, source));
  const auto commit =
      value.is_object() ? text_of(value.get_object(), "sha") : std::optional<std::string>();
  if (!commit || !is_commit(*commit)) {
    return malformed("expected the commit of the revision, 40 hexadecimal digits at 'sha'", source);
  }
  return *commit;
}

std::optional<std::string> next_page(std::string_view link) {
  while (!link.empty()) {
    const std::size_t open = link.find('<');
    const std::size_t close = link.find('>', std::min(open, link.size()));
    if (close == std::string_view::npos) return std::nullopt;  // nor is there one without a '<'
    const std::size_t end = std::min(link.find('<', close), link.size());
    const std::string_view rest = link.substr(close + 1, end - close - 1);
    if (rest.find("rel=\"next\"") != std::string_view::npos ||
        rest.find("rel=next") != std::string_view::npos) {
      return std::string(link.substr(open + 1, close - open - 1));
    }
    link.remove_prefix(end);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<ContentRange> parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  text.remove_prefix(kUnit.size());
  const std::size_t dash = text.find('-');
  const std::size_t slash = text.find('/');
  if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) {
    return std::nullopt;
  }
  const auto first = parse_number(text.substr(0, dash));
  const auto last = parse_number(text.substr(dash + 1, slash - dash - 1));
  const auto total = parse_number(text.substr(slash + 1));
  if (!first || !last || !total || *last < *first || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last + 1, *total};
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view text) {
  constexpr std::uint64_t kMost = 1u << 30;
  const auto seconds = parse_number(text);
  if (!seconds) return std::nullopt;
  return std::chrono::seconds(std::min(*seconds, kMost));
}

std::string_view etag_text(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return etag;
}

}  // namespace tern::hub
