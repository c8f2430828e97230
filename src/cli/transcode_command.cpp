// tern transcode: from one ternary type to another, with a proof that no trit changed.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/written_model.h"
#include "convert/transcode.h"
#include "core/machine.h"

namespace tern::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct TranscodeCommandOptions {
  std::string source;
  std::string output;
  std::string type;
  std::string head;
  std::uint32_t threads = 0;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string summary(const TranscodeCommandOptions& options, const convert::TranscodeReport& report,
                    double seconds) {
  std::string text = fmt::format(
      "{}: {}, {:.1f} MB from {:.1f} MB in {:.1f} s; the certificate of its {} matrices is that of "
      "the source\n",
      printable(options.output), options.type, static_cast<double>(report.output_bytes) / 1e6,
      static_cast<double>(report.input_bytes) / 1e6, seconds, report.matrices);
  if (report.scales_beside != 0) {
    text += fmt::format(
        "tern: {} scales are f32 tensors beside their matrices, because {} cannot hold them\n",
        report.scales_beside, options.type);
  }
  if (!report.not_carried.empty()) {
    std::string keys;
    for (const std::string& key : report.not_carried) keys += " " + printable(key);
    text += "tern: a checkpoint has no place for these keys, which were left:" + keys + "\n";
  }
  return text + resumed_and_rounded(report.resumed_tensors, report.rounded_values);
}

Result<ExitCode> transcode(const TranscodeCommandOptions& options, Output& output) {
  TERN_ASSIGN(const std::string path, model_path(options.source));
  const auto start = Clock::now();
  std::stop_source stop;
  Interrupt interrupt(stop);
  Progress progress;
  convert::TranscodeOptions job;
  job.source = path;
  job.output = options.output;
  job.ternary = std::nullopt;
  if (options.type != kPacked) job.ternary = type_named(options.type);
  if (!options.head.empty()) job.head = type_named(options.head);
  job.threads = options.threads != 0 ? options.threads : usable_cores();
  job.stop = stop.get_token();
  job.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("transcode " + rate_text(done, total - done, seconds_since(start)), done, total);
  };
  const auto report = convert::transcode(job);
  progress.clear();
  if (!report && interrupt.happened()) {
    write_stderr(fmt::format("tern: {}: interrupted; the same command goes on from here\n",
                             printable(options.output)));
    return ExitCode::kInterrupted;
  }
  if (!report) return report.error();
  write_stderr(summary(options, *report, seconds_since(start)));
  TERN_TRY(output.write("certificate " + report->certificate + "\n"));
  return ExitCode::kOk;
}

}  // namespace

Command add_transcode_command(CLI::App& tern) {
  const auto options = std::make_shared<TranscodeCommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "transcode",
      "Write a model with another type of ternary matrices.\n"
      "Trits, scales and their direction stay as they are: the file is read again before it "
      "appears,\nand its certificate of trit identity, which is printed, is that of the source. "
      "hf_packed writes\na checkpoint of Hugging Face: packed uint8 in model.safetensors, "
      "config.json and tokenizer.\n");
  parser->footer(
      "Examples:\n"
      "  tern transcode model-i2_s.gguf -o model-tq1_0.gguf --type tq1_0\n"
      "  tern transcode model-tq2_0.gguf -o small.gguf --type iq1_bn --head q6_k\n"
      "  tern transcode model-i2_s.gguf -o checkpoint --type hf_packed\n"
      "  tern inspect -m model-tq1_0.gguf --certificate\n");
  parser->add_option("source", options->source, "GGUF file, or a folder as `tern convert` reads it")
      ->type_name("IN")
      ->check(not_empty)
      ->required();
  parser
      ->add_option("-o,--output", options->output,
                   "The file; what is there is replaced when the new one is whole.\n"
                   "For hf_packed a folder, new or empty")
      ->type_name("OUT")
      ->check(not_empty)
      ->required();
  add_any_type_option(*parser, options->type)->required();
  add_head_type_option(*parser, options->head);
  parser->add_option("-t,--threads", options->threads, "Without it as many as cores may be used")
      ->type_name("N")
      ->check(CLI::Range(1u, 1024u).description(""));
  return {parser, [options](Output& output) { return transcode(*options, output); }};
}

}  // namespace tern::cli
