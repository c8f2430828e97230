// tern tune: measures how this machine reads the matrices of a model fastest, and keeps it.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/tuning.h"
#include "text/utf8.h"

namespace tern::cli {
namespace {

struct TuneCommandOptions {
  std::string model;
  ComputeOptions compute;
  bool json = false;
};

Result<ExitCode> tune(const TuneCommandOptions& options, Output& output) {
  TERN_ASSIGN(const std::string path, model_path(options.model));
  std::stop_source stop;
  const Interrupt interrupt(stop);  // before threads are made
  Progress progress;
  TERN_ASSIGN(const kernels::KernelTable* tier, choose_tier(options.compute.tier));
  TERN_ASSIGN(const format::GgufFile file, open_model(path));
  TERN_ASSIGN(auto report,
              measure_tuning({tier, options.compute.threads}, file, stop.get_token(), progress));
  if (!report) return ExitCode::kInterrupted;
  report->made_by = printable(report->made_by);
  report->kept_in =
      options.json ? text::replace_invalid_utf8(report->kept_in) : printable(report->kept_in);
  TERN_TRY(output.write(options.json ? to_json(*report) + "\n" : to_text(*report)));
  return ExitCode::kOk;
}

}  // namespace

Command add_tune_command(CLI::App& tern) {
  const auto options = std::make_shared<TuneCommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "tune",
      "Measure how this machine reads the matrices of a model fastest.\n"
      "How many threads, unless -t says so; packings, streams and prefetching of each shape; in "
      "turns, in\nseconds. With AMX, from how many rows on its registers are taken. Only what is "
      "clearly faster\nthan one thread a core and the tier's own way is kept, on disk, where every "
      "command finds it. It\nchanges no result.\n");
  parser->footer(
      "Examples:\n"
      "  tern tune -m model.gguf\n"
      "  tern tune -m model.gguf -t 4 --json > tuning.json\n");
  add_model_option(*parser, options->model);
  add_team_options(*parser, options->compute);
  parser->get_option("--threads")->description("Threads; without it as many as are found fastest");
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return tune(*options, output); }};
}

}  // namespace tern::cli
