// The options of `tern run`.
#pragma once

#include <optional>
#include <string>

#include "cli/generation_options.h"

namespace CLI {  // NOLINT: not ours to name
class App;
}

namespace tern::cli {

struct RunOptions : GenerationOptions {
  std::optional<std::string> prompt;
  std::string prompt_file;  // "-": standard input
  bool ignore_end = false;
  bool parse_special = false;
  bool json = false;
  std::string events;  // empty: none
};

// Adds the subcommand; `options` outlives the parser.
CLI::App* add_run_options(CLI::App& tern, RunOptions& options);

// What the parser cannot see. Errors: kUsage.
Result<void> check(const RunOptions& options);

}  // namespace tern::cli
