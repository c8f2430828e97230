// The settings of `tern serve` in force: the options of its command line, each of which a file may
// set as well. The options' parser is the one table of them: names, kinds, ranges and defaults.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/serve_options.h"
#include "core/result.h"

namespace tern::cli {

// What stands on a command line, by the name of the option without its dashes.
using GivenOptions = std::map<std::string, std::vector<std::string>, std::less<>>;
GivenOptions given_options(const CLI::App& parser);

struct ConfigLine {
  std::string name;
  std::string text;      // "parallel = 16", "# tier: not set"
  bool is_live = false;  // a running server takes a new value
};

struct ServeConfig {
  ServeOptions options;
  std::vector<ConfigLine> lines;  // of all settings, in the order of the help
};

// The command line over the file, which may be empty, over the defaults. Errors: those of
// read_toml; kUsage with line and column for a name that is no setting and a value that the setting
// does not take; kUsage for settings that contradict each other, for a file that anybody may
// write, and for one that is no regular file.
Result<ServeConfig> make_config(const GivenOptions& command_line, const std::string& file);

// A file that reads back as the same settings.
std::string to_toml(const ServeConfig& config);

}  // namespace tern::cli
