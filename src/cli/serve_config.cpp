#include "cli/serve_config.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>
#include <utility>

#include "cli/toml_file.h"
#include "text/utf8.h"

namespace tern::cli {
namespace {

enum class Kind { kFlag, kWhole, kNumber, kText, kList };

// By the name of its value in the help.
Kind kind_wanted(const CLI::Option& option) {
  if (option.get_expected_max() == 0) return Kind::kFlag;
  if (option.get_expected_max() > 1) return Kind::kList;
  if (option.get_type_name() == "X") return Kind::kNumber;
  return option.get_type_name() == "N" ? Kind::kWhole : Kind::kText;
}

std::string_view expected(Kind kind) {
  switch (kind) {
    case Kind::kFlag: return "true or false";
    case Kind::kWhole: return "a whole number";
    case Kind::kNumber: return "a number";
    case Kind::kText: return "a text in quotes";
    case Kind::kList: return "a list of texts";
  }
  return "";
}

std::string name_of(const CLI::Option& option) { return option.get_lnames().front(); }

std::vector<CLI::Option*> settings(CLI::App& parser) {
  return parser.get_options([](const CLI::Option* option) { return option->get_configurable(); });
}

// The value as a command line would have it; nothing where it is of another kind.
std::optional<std::vector<std::string>> as_given(const TomlValue& value, Kind kind) {
  using Given = std::optional<std::vector<std::string>>;
  const auto* flag = std::get_if<bool>(&value);
  if (flag != nullptr && kind == Kind::kFlag) return Given({*flag ? "true" : "false"});
  const auto* whole = std::get_if<std::int64_t>(&value);
  if (whole != nullptr && (kind == Kind::kWhole || kind == Kind::kNumber)) {
    return Given({std::to_string(*whole)});
  }
  const auto* number = std::get_if<double>(&value);
  if (number != nullptr && kind == Kind::kNumber) return Given({fmt::format("{}", *number)});
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && kind == Kind::kText) return Given({*text});
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  if (list != nullptr && kind == Kind::kList) return *list;
  return std::nullopt;
}

struct Placed {
  std::vector<std::string> values;
  std::string where;
};

Result<std::map<std::string, Placed>> read_settings(const std::string& file,
                                                    const std::vector<CLI::Option*>& known) {
  struct stat status {};
  const bool is_there = ::stat(file.c_str(), &status) == 0;
  if (is_there && !S_ISREG(status.st_mode)) {  // a pipe is at its end when SIGHUP reads it again
    return Error{
        ErrorCode::kUsage,
        "expected a regular file, which SIGHUP can read again, found a pipe, a folder or a "
        "device",
        file};
  }
  if (is_there && (status.st_mode & S_IWOTH) != 0) {
    return Error{ErrorCode::kUsage, "anybody may write this file: chmod o-w", file};
  }
  TERN_ASSIGN(const std::vector<TomlTable> tables, read_toml(file));
  if (tables.size() > 1) {
    return Error{ErrorCode::kUsage,
                 "expected settings and no tables, found [" + tables[1].name + "]",
                 tables[1].where};
  }
  std::map<std::string, Placed> found;
  for (const TomlEntry& entry : tables.front().entries) {
    const auto named = [&](const CLI::Option* option) { return name_of(*option) == entry.key; };
    const auto option = std::find_if(known.begin(), known.end(), named);
    if (option == known.end()) {
      std::vector<std::string> names;
      for (const CLI::Option* each : known) names.push_back(name_of(*each));
      const std::string meant = suggestion(entry.key, names);
      return Error{ErrorCode::kUsage,
                   "no setting has the name " + entry.key + (meant.empty() ? "." : meant) +
                       " See `tern serve --help`",
                   entry.where};
    }
    const Kind kind = kind_wanted(**option);
    auto values = as_given(entry.value, kind);
    if (!values) {
      return Error{
          ErrorCode::kUsage,
          fmt::format("{}: expected {}, found {}", entry.key, expected(kind), kind_of(entry.value)),
          entry.where};
    }
    if (kind == Kind::kList && values->empty()) {
      if ((*option)->get_default_str().empty()) continue;
      return Error{ErrorCode::kUsage, entry.key + ": expected at least one, found none",
                   entry.where};
    }
    found.emplace(entry.key, Placed{std::move(*values), entry.where});
  }
  return found;
}

// What the option holds now, as a line of a file.
Result<std::string> line_of(const CLI::Option& option) {
  const std::string name = name_of(option);
  const std::string fallback = option.get_default_str();
  const Kind kind = kind_wanted(option);
  std::vector<std::string> values = option.results();
  if (values.empty() && !fallback.empty()) values = {fallback};
  if (kind == Kind::kFlag) return name + " = " + (values.empty() ? "false" : values.back());
  if (values.empty() && kind != Kind::kList) return "# " + name + ": not set";
  if (kind == Kind::kWhole) return fmt::format("{} = {}", name, option.as<std::int64_t>());
  if (kind == Kind::kNumber) return fmt::format("{} = {}", name, option.as<double>());
  std::string texts;
  for (const std::string& value : values) {
    if (text::replace_invalid_utf8(value) != value) {
      return Error{ErrorCode::kUsage, "expected UTF-8, which a file of settings is", "--" + name};
    }
    texts += (texts.empty() ? "" : ", ") + toml_text(value);
  }
  return kind == Kind::kText ? name + " = " + texts : name + " = [" + texts + "]";
}

Result<void> set(CLI::Option& option, const Placed& given) {
  try {
    option.add_result(given.values);
    option.run_callback();
  } catch (const CLI::Error& error) {
    return Error{ErrorCode::kUsage, error.what(), given.where};
  }
  return {};
}

}  // namespace

GivenOptions given_options(const CLI::App& parser) {
  GivenOptions given;
  for (const CLI::Option* option : parser.get_options()) {
    if (option->get_configurable() && option->count() > 0) {
      given.emplace(name_of(*option), option->results());
    }
  }
  return given;
}

Result<ServeConfig> make_config(const GivenOptions& command_line, const std::string& file) {
  ServeConfig config;
  CLI::App scratch;
  CLI::App* parser = add_serve_options(scratch, config.options);
  const std::vector<CLI::Option*> known = settings(*parser);
  std::map<std::string, Placed> from_file;
  if (!file.empty()) {
    TERN_ASSIGN(from_file, read_settings(file, known));
  }
  for (CLI::Option* option : known) {
    const std::string name = name_of(*option);
    const auto given = command_line.find(name);
    const auto filed = from_file.find(name);
    // What a command line hides is looked at all the same: the file is right or it is not.
    if (filed != from_file.end()) {
      TERN_TRY(set(*option, filed->second));
      if (given != command_line.end()) option->clear();
    }
    if (given != command_line.end()) {
      TERN_TRY(set(*option, {given->second, "--" + name}));
    }
    TERN_ASSIGN(std::string line, line_of(*option));
    config.lines.push_back({name, std::move(line), option->get_group() == kLiveGroup});
  }
  TERN_TRY(check(config.options));
  return config;
}

std::string to_toml(const ServeConfig& config) {
  std::string text = "# tern serve --config FILE\n";
  for (const ConfigLine& line : config.lines) text += line.text + "\n";
  return text;
}

}  // namespace tern::cli
