// The options of `tern run`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "engine/sampler.h"

namespace CLI {  // NOLINT: not ours to name
class App;
}

namespace tern::cli {

struct RunOptions {
  std::optional<std::string> prompt;
  std::string prompt_file;  // "-": standard input
  std::string model;
  ComputeOptions compute;
  model::HeadMode head = model::HeadMode::kAuto;
  std::int64_t max_tokens = -1;  // -1: to the end of the text or of the context
  std::uint32_t context = 0;     // 0: what the model was trained for
  engine::SamplingOptions sampling;
  std::int64_t seed = -1;  // -1: chosen at random
  std::vector<std::string> stops;
  bool ignore_end = false;
  bool verify = true;
  bool parse_special = false;
  bool json = false;
  std::string events;  // empty: none
};

// Adds the subcommand; `options` outlives the parser.
CLI::App* add_run_options(CLI::App& tern, RunOptions& options);

// What the parser cannot see. Errors: kUsage.
Result<void> check(const RunOptions& options);

}  // namespace tern::cli
