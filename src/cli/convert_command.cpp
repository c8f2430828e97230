// tern convert: from a checkpoint of Hugging Face to a GGUF file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/hub_access.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/written_model.h"
#include "convert/convert.h"
#include "core/folder.h"
#include "core/machine.h"
#include "hub/remote_folder.h"

namespace tern::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct ConvertCommandOptions {
  std::string source;
  std::string output;
  std::string type = "i2_s";
  std::string head = "f16";
  std::uint32_t threads = 0;
  std::uint64_t max_ram = 400;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string summary(const std::string& output, const convert::ConvertReport& report,
                    double seconds) {
  std::string text = fmt::format(
      "{}: {}, {} tensors, {:.1f} MB from {:.1f} MB in {:.1f} s, {:.0f} MB/s, sha256 {}\n",
      printable(output), report.architecture, report.tensors,
      static_cast<double>(report.output_bytes) / 1e6, static_cast<double>(report.input_bytes) / 1e6,
      seconds, static_cast<double>(report.input_bytes) / 1e6 / std::max(seconds, 1e-3),
      report.output_sha256);
  if (report.scales_beside != 0) {
    text += fmt::format("tern: {} scales are f32 tensors beside their matrices\n",
                        report.scales_beside);
  }
  return text + resumed_and_rounded(report.resumed_tensors, report.rounded_values);
}

// Where a checkpoint is read from; the folder refers to the hub.
struct Source {
  std::unique_ptr<hub::Hub> hub;
  std::unique_ptr<Folder> folder;
};

Result<Source> open_source(const ConvertCommandOptions& options, const std::stop_token& stop) {
  Source source;
  TERN_ASSIGN(const auto ref, model_ref(options.source));
  if (!ref) {
    TERN_ASSIGN(source.folder, open_folder(options.source));
    return source;
  }
  TERN_ASSIGN(source.hub, open_hub(stop));
  TERN_ASSIGN(hub::RemoteRevision revision, source.hub->look_up(*ref));
  hub::RemoteFolderOptions remote;
  const std::filesystem::path output = options.output;
  remote.spool = output.has_parent_path() ? output.parent_path() : std::filesystem::path(".");
  TERN_ASSIGN(source.folder,
              hub::open_remote_folder(*source.hub, std::move(revision), std::move(remote)));
  return source;
}

Result<ExitCode> convert_checkpoint(const ConvertCommandOptions& options) {
  const auto start = Clock::now();
  std::stop_source stop;
  Interrupt interrupt(stop);
  Progress progress;
  convert::ConvertOptions job;
  job.output = options.output;
  job.ternary = type_named(options.type);
  job.head = type_named(options.head);
  job.threads = options.threads != 0 ? options.threads : usable_cores();
  job.max_ram = options.max_ram << 20;
  job.stop = stop.get_token();
  job.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("convert " + rate_text(done, total - done, seconds_since(start)), done, total);
  };
  const auto report = [&]() -> Result<convert::ConvertReport> {
    TERN_ASSIGN(const Source source, open_source(options, job.stop));
    job.source = source.folder.get();
    return convert::convert(job);
  }();
  progress.clear();
  if (!report && interrupt.happened()) {
    write_stderr(fmt::format("tern: {}: interrupted; the same command goes on from here\n",
                             printable(options.output)));
    return ExitCode::kInterrupted;
  }
  if (!report) return report.error();
  write_stderr(summary(options.output, *report, seconds_since(start)));
  return ExitCode::kOk;
}

}  // namespace

Command add_convert_command(CLI::App& tern) {
  const auto options = std::make_shared<ConvertCommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "convert",
      "Convert a checkpoint of Hugging Face to a GGUF file.\n"
      "Safetensors with packed, ternary or master weights, the tokenizer, the chat template.\n"
      "Memory does not grow with the model; what was interrupted goes on with the same command.\n");
  parser->footer(
      "Examples:\n"
      "  tern convert bitnet-b1.58-2B-4T -o 2b4t.gguf && tern verify -m 2b4t.gguf\n"
      "  tern convert hf://tiiuae/Falcon3-1B-Instruct-1.58bit -o falcon3-1b.gguf\n"
      "  tern convert Falcon3-7B-Instruct-1.58bit -o falcon3.gguf --head q6_k\n");
  parser
      ->add_option("source", options->source,
                   "Folder with config.json and safetensors, or\n"
                   "hf://org/repo[@revision][/folder], which is read by ranges without\n"
                   "a copy of it")
      ->type_name("SOURCE")
      ->check(not_empty)
      ->required();
  parser
      ->add_option("-o,--output", options->output,
                   "The file; what is there is replaced when the new one is whole")
      ->type_name("FILE")
      ->check(not_empty)
      ->required();
  add_ternary_type_option(*parser, options->type)->capture_default_str();
  add_head_type_option(*parser, options->head)->capture_default_str();
  parser->add_option("-t,--threads", options->threads, "Without it as many as cores may be used")
      ->type_name("N")
      ->check(CLI::Range(1u, 1024u).description(""));
  parser->add_option("--max-ram", options->max_ram, "Most memory to use, in MB")
      ->type_name("N")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20).description(""))
      ->capture_default_str();
  return {parser, [options](Output&) { return convert_checkpoint(*options); }};
}

}  // namespace tern::cli
