// A TOML file of settings: one level of tables with plain values, each with its place, so that
// whoever reads them can say where one is wrong.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/result.h"

namespace tern::cli {

using TomlValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::string>>;

// "a text", "a list of texts": what a value is, for messages.
std::string_view kind_of(const TomlValue& value);

struct TomlEntry {
  std::string key;
  TomlValue value;
  std::string where;  // "tern.toml:3:12"
};

struct TomlTable {
  std::string name;  // empty: what stands before the first table
  std::string where;
  std::vector<TomlEntry> entries;  // in the file's order
};

// The first table is the one without a name. Errors: kIo; kMalformed with line and column for what
// is no TOML, and for values that no setting has: dates, tables in tables, lists of others than
// texts.
Result<std::vector<TomlTable>> read_toml(const std::string& path);

// "\"a\\\"b\"": a text as TOML writes it. For UTF-8.
std::string toml_text(std::string_view text);

// "; did you mean parallel?", or nothing where no known name is near.
std::string suggestion(std::string_view wrong, const std::vector<std::string>& known);

}  // namespace tern::cli
