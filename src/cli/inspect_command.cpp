// tern inspect: what a GGUF file holds, whether Tern can run it or not.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/inspect_facts.h"
#include "cli/inspect_report.h"
#include "cli/model_source.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "cli/remote_model.h"

namespace tern::cli {
namespace {

struct InspectOptions {
  std::string model;
  bool tensors = false;
  bool quick = false;
  bool certificate = false;
  bool json = false;
};

Result<ExitCode> report(const format::GgufFile& file, bool quick, const InspectOptions& options,
                        Output& output) {
  TERN_ASSIGN(InspectFacts facts, inspect_facts(file, quick));
  if (options.certificate) TERN_TRY(add_certificate(file, facts));
  TERN_TRY(output.write(options.json ? inspect_json(file, facts, options.tensors)
                                     : inspect_text(file, facts, options.tensors)));
  return ExitCode::kOk;
}

// What the cache lacks stays where it is: the head says all but trits.
Result<ExitCode> inspect(const InspectOptions& options, Output& output) {
  TERN_ASSIGN(const auto ref, model_ref(options.model));
  std::string path = options.model;
  if (ref) {
    TERN_ASSIGN(const auto cached, cached_model(*ref));
    if (!cached && options.certificate) {
      return Error{ErrorCode::kUsage, "the certificate needs all trits; `tern pull` brings them",
                   options.model};
    }
    if (!cached) {
      TERN_ASSIGN(const RemoteModel remote, open_remote_model(*ref));
      if (!options.quick) {
        write_stderr(fmt::format(
            "tern: {}: {:.1f} MB of its head were read, no trits; `tern pull` brings the rest\n",
            printable(remote.file.source()), static_cast<double>(remote.brought_bytes) / 1e6));
      }
      return report(remote.file, true, options, output);
    }
    path = *cached;
  }
  TERN_ASSIGN(const format::GgufFile file, open_model(path));
  return report(file, options.quick, options, output);
}

}  // namespace

Command add_inspect_command(CLI::App& tern) {
  const auto options = std::make_shared<InspectOptions>();
  CLI::App* parser = tern.add_subcommand(
      "inspect",
      "Show what a GGUF file holds.\n"
      "Format, configuration, metadata, tensors; trits and scales, what it takes to "
      "run, and what\nis odd. Every check of the reader is made; whether Tern runs "
      "such a model is said, and is no\nerror.\n");
  parser->footer(
      "Examples:\n"
      "  tern inspect -m model.gguf\n"
      "  tern inspect --tensors --json | jq '.tensors[0]'\n");
  add_model_option(*parser, options->model);
  parser->add_flag("--tensors", options->tensors, "List every tensor");
  parser->add_flag("--quick", options->quick,
                   "Neither count trits nor measure this machine's memory");
  parser->add_flag("--certificate", options->certificate,
                   "One hash of all trits and scales, whatever their type; see tern transcode");
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return inspect(*options, output); }};
}

}  // namespace tern::cli
