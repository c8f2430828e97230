#include "cli/toml_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "cli/streams.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace tern::cli {
namespace {

std::string place(const std::string& path, const toml::source_position& at) {
  return fmt::format("{}:{}:{}", path, at.line, at.column);
}

Error unknown_kind(const toml::node& node, std::string where) {
  std::string found = "a value of another kind";
  if (node.is_table()) found = "a table in a table";
  if (node.is_array()) found = "a list of others";
  if (node.is_date() || node.is_time() || node.is_date_time()) found = "a date or a time";
  return {ErrorCode::kMalformed,
          "expected a text, a number, true or false, or a list of texts, found " + found,
          std::move(where)};
}

Result<TomlValue> value_of(const toml::node& node, const std::string& where) {
  if (const auto* flag = node.as_boolean()) return TomlValue(flag->get());
  if (const auto* whole = node.as_integer()) return TomlValue(whole->get());
  if (const auto* number = node.as_floating_point()) return TomlValue(number->get());
  if (const auto* text = node.as_string()) return TomlValue(text->get());
  const toml::array* list = node.as_array();
  if (list == nullptr) return unknown_kind(node, where);
  std::vector<std::string> texts;
  for (const toml::node& item : *list) {
    if (!item.is_string()) return unknown_kind(node, where);
    texts.push_back(item.as_string()->get());
  }
  return TomlValue(std::move(texts));
}

using Placed = std::pair<toml::source_position, TomlEntry>;

// The plain values of a table, in the file's order.
Result<TomlTable> table_of(const toml::table& table, std::string name, const std::string& path,
                           std::vector<std::pair<std::string, const toml::table*>>* nested) {
  TomlTable found{std::move(name), place(path, table.source().begin), {}};
  std::vector<Placed> entries;
  for (const auto& [key, node] : table) {
    if (nested != nullptr && node.is_table()) {
      nested->emplace_back(key.str(), node.as_table());
      continue;
    }
    TERN_ASSIGN(TomlValue value, value_of(node, place(path, node.source().begin)));
    const auto& at = key.source().begin;
    entries.push_back({at, {std::string(key.str()), std::move(value), place(path, at)}});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Placed& a, const Placed& b) { return a.first < b.first; });
  for (Placed& entry : entries) found.entries.push_back(std::move(entry.second));
  return found;
}

// How many letters one name is away from the other (Levenshtein's distance).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = corner + (a[i] == b[j] ? 0 : 1);
      corner = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, corner + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view kind_of(const TomlValue& value) {
  static constexpr std::string_view kNames[] = {"true or false", "a whole number", "a number",
                                                "a text", "a list of texts"};
  return kNames[value.index()];
}

Result<std::vector<TomlTable>> read_toml(const std::string& path) {
  TERN_ASSIGN(const std::string source, read_all(path == "-" ? "./-" : path));
  const toml::parse_result parsed = toml::parse(source);
  if (!parsed) {
    return Error{ErrorCode::kMalformed, std::string(parsed.error().description()),
                 place(path, parsed.error().source().begin)};
  }
  std::vector<std::pair<std::string, const toml::table*>> nested;
  std::vector<TomlTable> tables;
  TERN_ASSIGN(TomlTable first, table_of(parsed.table(), "", path, &nested));
  tables.push_back(std::move(first));
  std::sort(nested.begin(), nested.end(), [](const auto& a, const auto& b) {
    return a.second->source().begin < b.second->source().begin;
  });
  for (const auto& [name, table] : nested) {
    TERN_ASSIGN(TomlTable found, table_of(*table, name, path, nullptr));
    tables.push_back(std::move(found));
  }
  return tables;
}

std::string toml_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') quoted += '\\';
    if (byte < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

std::string suggestion(std::string_view wrong, const std::vector<std::string>& known) {
  const std::string* best = nullptr;
  std::size_t least = std::max<std::size_t>(wrong.size() / 3, 2) + 1;
  for (const std::string& name : known) {
    const std::size_t found = distance(wrong, name);
    if (found < least) least = found, best = &name;
  }
  return best == nullptr ? "" : "; did you mean " + *best + "?";
}

}  // namespace tern::cli
