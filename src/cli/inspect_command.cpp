// tern inspect: what a GGUF file holds, whether Tern can run it or not.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/inspect_report.h"
#include "cli/options.h"

namespace tern::cli {
namespace {

struct InspectOptions {
  std::string model;
  bool tensors = false;
  bool json = false;
};

Result<ExitCode> inspect(const InspectOptions& options, Output& output) {
  TERN_ASSIGN(const format::GgufFile file, open_model(options.model));
  TERN_TRY(output.write(options.json ? inspect_json(file, options.tensors)
                                     : inspect_text(file, options.tensors)));
  return ExitCode::kOk;
}

}  // namespace

Command add_inspect_command(CLI::App& tern) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* parser =
      tern.add_subcommand("inspect",
                          "Show what a GGUF file holds.\n"
                          "Format, configuration, metadata, tensors. Every check of the reader is "
                          "made; whether Tern\nruns such a model is said, and is no error.\n");
  parser->footer(
      "Examples:\n"
      "  tern inspect -m model.gguf\n"
      "  tern inspect --tensors --json | jq '.tensors[0]'\n");
  add_model_option(*parser, options->model);
  parser->add_flag("--tensors", options->tensors, "List every tensor");
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return inspect(*options, output); }};
}

}  // namespace tern::cli
