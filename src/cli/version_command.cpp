// tern version: what this program is and what it found under it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/build_info.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "core/cpu_features.h"
#include "core/machine.h"
#include "kernels/registry.h"

namespace tern::cli {
namespace {

// Those that this CPU can run, or the others.
std::string tier_names(std::uint32_t features, bool runs_here) {
  std::vector<std::string_view> names;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (kernels::table_by_name(table->name, features).ok() == runs_here) {
      names.push_back(table->name);
    }
  }
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

Result<ExitCode> version(Output& output) {
  TERN_ASSIGN(const kernels::KernelTable* chosen, choose_tier(""));
  const std::uint32_t features = detect_cpu_features();
  TERN_TRY(output.write(
      fmt::format("tern {} (commit {})\n"
                  "build     {}, {}\n"
                  "tiers     {}; chosen: {}\n"
                  "          {}: not on this CPU\n"
                  "cpu       {}; features: {}\n"
                  "may use   {} cores, {} MiB of memory\n",
                  kVersion, kGitCommit, kCompiler, kBuildType, tier_names(features, true),
                  chosen->name, tier_names(features, false), printable(cpu_model()),
                  describe_cpu_features(features), usable_cores(), available_memory() >> 20)));
  return ExitCode::kOk;
}

}  // namespace

Command add_version_command(CLI::App& tern) {
  CLI::App* parser =
      tern.add_subcommand("version", "Say what this program is: commit, compiler, tiers, CPU.\n");
  parser->footer("Example: tern version\n");
  return {parser, version};
}

}  // namespace tern::cli
