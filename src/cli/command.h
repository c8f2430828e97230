// One subcommand of `tern`: its options in the parser, and what it does once they are parsed.
#pragma once

#include <functional>

#include "cli/exit_code.h"
#include "cli/streams.h"
#include "core/result.h"

namespace CLI {  // NOLINT: not ours to name
class App;
}

namespace tern::cli {

struct Command {
  const CLI::App* parser;
  // Errors are printed, and turned into the exit status, by main().
  std::function<Result<ExitCode>(Output&)> action;
};

Command add_run_command(CLI::App& tern);
Command add_serve_command(CLI::App& tern);
Command add_replay_command(CLI::App& tern);
Command add_chat_command(CLI::App& tern);
Command add_inspect_command(CLI::App& tern);
Command add_tokenize_command(CLI::App& tern);
Command add_diff_command(CLI::App& tern);
Command add_embed_command(CLI::App& tern);
Command add_synth_command(CLI::App& tern);
Command add_perplexity_command(CLI::App& tern);
Command add_verify_command(CLI::App& tern);
Command add_bench_command(CLI::App& tern);
Command add_bench_serve_command(CLI::App& tern);
Command add_convert_command(CLI::App& tern);
Command add_cache_command(CLI::App& tern);
Command add_tune_command(CLI::App& tern);
Command add_schema_command(CLI::App& tern);
Command add_version_command(CLI::App& tern);

}  // namespace tern::cli
