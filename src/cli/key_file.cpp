#include "cli/key_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "cli/toml_file.h"
#include "core/sha256.h"

namespace tern::cli {
namespace {

constexpr std::string_view kHashPrefix = "sha256:";

bool is_name(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), plain);
}

Error bad_name(std::string name, std::string where) {
  return {ErrorCode::kUsage,
          "expected 1 to 64 letters, digits, - and _ as the name of a key, found \"" +
              std::move(name) + "\"",
          std::move(where)};
}

bool is_hash(std::string_view text) {
  if (!text.starts_with(kHashPrefix) || text.size() != kHashPrefix.size() + 64) return false;
  const auto digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return std::all_of(text.begin() + kHashPrefix.size(), text.end(), digit);
}

Result<std::uint32_t> limit(const TomlEntry& entry) {
  const auto* value = std::get_if<std::int64_t>(&entry.value);
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (value != nullptr && *value >= 1 && *value <= kMost) {
    return static_cast<std::uint32_t>(*value);
  }
  const std::string found =
      value == nullptr ? std::string(kind_of(entry.value)) : std::to_string(*value);
  return Error{
      ErrorCode::kUsage,
      fmt::format("{}: expected a whole number from 1 to {}, found {}", entry.key, kMost, found),
      entry.where};
}

// One, or several that hold at once: the old and the new one while a key is exchanged.
Result<std::vector<std::string>> hashes(const TomlEntry& entry) {
  std::vector<std::string> found;
  if (const auto* one = std::get_if<std::string>(&entry.value)) found = {*one};
  if (const auto* list = std::get_if<std::vector<std::string>>(&entry.value)) found = *list;
  if (found.empty() || !std::all_of(found.begin(), found.end(), is_hash)) {
    return Error{
        ErrorCode::kUsage,
        "hash: expected \"sha256:\" and 64 hexadecimal digits in lower case, as `tern serve "
        "--make-key NAME` prints them, or a list of such",
        entry.where};
  }
  for (std::string& hash : found) hash.erase(0, kHashPrefix.size());
  return found;
}

// As many as it has hashes.
Result<std::vector<serve::ApiKey>> read_keys(const TomlTable& table) {
  if (!is_name(table.name)) return bad_name(table.name, table.where);
  serve::ApiKey key;
  key.name = table.name;
  std::vector<std::string> sha256;
  for (const TomlEntry& entry : table.entries) {
    if (entry.key == "hash") {
      TERN_ASSIGN(sha256, hashes(entry));
    } else if (entry.key == "requests-per-minute") {
      TERN_ASSIGN(key.requests_per_minute, limit(entry));
    } else if (entry.key == "tokens-per-minute") {
      TERN_ASSIGN(key.tokens_per_minute, limit(entry));
    } else if (entry.key == "answers-at-once") {
      TERN_ASSIGN(key.answers_at_once, limit(entry));
    } else {
      return Error{ErrorCode::kUsage,
                   "a key has no " + entry.key +
                       suggestion(entry.key, {"hash", "requests-per-minute", "tokens-per-minute",
                                              "answers-at-once"}),
                   entry.where};
    }
  }
  if (sha256.empty()) return Error{ErrorCode::kUsage, "expected a hash, found none", table.where};
  std::vector<serve::ApiKey> keys(sha256.size(), key);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i].sha256 = std::move(sha256[i]);
  return keys;
}

}  // namespace

Result<std::vector<serve::ApiKey>> read_key_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    return Error{ErrorCode::kUsage, "anybody may read or write this file: chmod o-rw", path};
  }
  TERN_ASSIGN(const std::vector<TomlTable> tables, read_toml(path));
  if (const auto& loose = tables.front().entries; !loose.empty()) {
    return Error{ErrorCode::kUsage,
                 "expected a table for each key, as in [alice], found " + loose.front().key +
                     " before the first",
                 loose.front().where};
  }
  if (tables.size() == 1) {  // who names a file of keys does not mean everybody
    return Error{ErrorCode::kUsage, "expected at least one key, found none", path};
  }
  std::vector<serve::ApiKey> keys;
  for (std::size_t i = 1; i < tables.size(); ++i) {
    TERN_ASSIGN(std::vector<serve::ApiKey> named, read_keys(tables[i]));
    for (serve::ApiKey& key : named) {
      const auto same = std::find_if(keys.begin(), keys.end(),
                                     [&](const auto& each) { return each.sha256 == key.sha256; });
      if (same != keys.end()) {
        return Error{ErrorCode::kUsage, "the same hash as that of " + same->name, tables[i].where};
      }
      keys.push_back(std::move(key));
    }
  }
  return keys;
}

Result<std::string> key_table(const std::string& name, const std::string& key) {
  if (!is_name(name)) return bad_name(name, "--make-key");
  return fmt::format("[{}]\nhash = \"{}{}\"\n", name, kHashPrefix, sha256_of(key));
}

}  // namespace tern::cli
