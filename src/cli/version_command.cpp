// tern version: what this program is and what it found under it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/build_info.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "core/cpu_features.h"
#include "core/machine.h"
#include "kernels/registry.h"

namespace tern::cli {
namespace {

std::string tier_names() {
  std::string names;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if (!names.empty()) names += ", ";
    names += table->name;
  }
  return names;
}

Result<ExitCode> version(Output& output) {
  TERN_ASSIGN(const kernels::KernelTable* chosen, choose_tier(""));
  const std::string features = describe_cpu_features(detect_cpu_features());
  TERN_TRY(output.write(
      fmt::format("tern {} (commit {})\n"
                  "build     {}, {}\n"
                  "tiers     {}; chosen: {}\n"
                  "cpu       {}; features: {}\n"
                  "may use   {} cores, {} MiB of memory\n",
                  kVersion, kGitCommit, kCompiler, kBuildType, tier_names(), chosen->name,
                  printable(cpu_model()), features, usable_cores(), available_memory() >> 20)));
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
