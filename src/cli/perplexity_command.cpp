// tern perplexity: how well a model predicts a text. The figures go to standard output, a line for
// each window to standard error.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/runtime.h"
#include "cli/streams.h"
#include "core/machine.h"
#include "diagnose/measure/perplexity.h"

namespace tern::cli {
namespace {

struct CommandOptions {
  std::string model;
  std::string file;
  diagnose::PerplexityOptions measure;
  ComputeOptions compute;
  bool json = false;
};

// Less than the largest numbers: those are what the parser makes of any larger one.
constexpr std::uint32_t kMostTokens = 1u << 31;
constexpr std::uint64_t kMostWindows = std::uint64_t{1} << 32;

constexpr std::string_view kOneToken = "one token has no";

std::string error_text(const diagnose::Perplexity& result) {
  const auto error = result.nll.standard_error();
  return error ? fmt::format(" +- {:.5f} nats a token", *error)
               : fmt::format(" nats; {} standard error", kOneToken);
}

std::string interval_text(const diagnose::Perplexity& result) {
  if (!result.lower()) return fmt::format("; {} confidence interval", kOneToken);
  return fmt::format(", 95% between {:.4f} and {:.4f}", *result.lower(), *result.upper());
}

boost::json::value number_or_null(const std::optional<double>& number) {
  return number ? boost::json::value(*number) : boost::json::value(nullptr);
}

std::string to_text(const Runtime& runtime, const CommandOptions& options,
                    const diagnose::Perplexity& result, double seconds) {
  return fmt::format(
      "model           {}, {}, {} threads, keys and values in {}\n"
      "text            {}: {} tokens scored, {} bytes{}\n"
      "windows         {} of {} tokens, stride {}\n"
      "NLL             {:.5f}{}\n"
      "perplexity      {:.4f}{}\n"
      "bits per byte   {:.4f}\n"
      "speed           {:.1f} tok/s\n",
      model_name(runtime.model), runtime.backend->tier(), runtime.backend->threads(),
      name(options.compute.kv), printable(options.file), result.nll.count(), result.bytes,
      result.cancelled ? ", then interrupted" : "", result.windows, result.context, result.stride,
      result.nll.mean(), error_text(result), result.perplexity(), interval_text(result),
      result.bits_per_byte(), static_cast<double>(result.computed) / seconds);
}

std::string to_json(const Runtime& runtime, const CommandOptions& options,
                    const diagnose::Perplexity& result, double seconds) {
  boost::json::object object;
  object["model"] = model_name(runtime.model);
  object["architecture"] = runtime.model.config().architecture;
  object["tier"] = runtime.backend->tier();
  object["threads"] = runtime.backend->threads();
  object["kv"] = name(options.compute.kv);
  object["context"] = result.context;
  object["stride"] = result.stride;
  object["windows"] = result.windows;
  object["cancelled"] = result.cancelled;
  object["tokens"] = result.nll.count();
  object["bytes"] = result.bytes;
  object["nll"] = result.nll.mean();
  object["nll_standard_error"] = number_or_null(result.nll.standard_error());
  object["perplexity"] = {{"value", result.perplexity()},
                          {"lower", number_or_null(result.lower())},
                          {"upper", number_or_null(result.upper())}};
  object["bits_per_byte"] = result.bits_per_byte();
  object["computed_tokens"] = result.computed;
  object["seconds"] = seconds;
  object["tokens_per_second"] = static_cast<double>(result.computed) / seconds;
  return boost::json::serialize(object) + "\n";
}

Result<ExitCode> perplexity(const CommandOptions& options, Output& output) {
  TERN_ASSIGN(const std::string text, read_all(options.file));
  TERN_ASSIGN(const std::string path, model_path(options.model));
  std::stop_source stop;
  Interrupt interrupt(stop);  // before threads are made
  Progress progress;
  TERN_ASSIGN(const Runtime runtime,
              load_runtime(path, options.compute, true, model::HeadMode::kExact, progress,
                           stop.get_token()));
  progress.clear();
  diagnose::PerplexityOptions measure = options.measure;
  measure.available_memory = available_memory();
  measure.kv_type = options.compute.kv;
  measure.stop = stop.get_token();
  measure.on_window = [](const diagnose::Perplexity& so_far) {
    write_stderr(fmt::format("window {}/{}: {} tokens, perplexity {:.4f}\n", so_far.windows,
                             so_far.total_windows, so_far.nll.count(), so_far.perplexity()));
  };
  const auto start = std::chrono::steady_clock::now();
  TERN_ASSIGN(const diagnose::Perplexity result,
              diagnose::measure_perplexity(runtime.model,
                                           diagnose::tokenize(runtime.tokenizer, text), measure));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (result.nll.count() > 0) {
    TERN_TRY(output.write(options.json ? to_json(runtime, options, result, seconds.count())
                                       : to_text(runtime, options, result, seconds.count())));
  }
  return result.cancelled ? ExitCode::kInterrupted : ExitCode::kOk;
}

}  // namespace

Command add_perplexity_command(CLI::App& tern) {
  const auto options = std::make_shared<CommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "perplexity",
      "Measure how well a model predicts a text: perplexity and bits per byte.\n"
      "Windows of the context move by the stride; each token but the first is scored once.\n");
  parser->footer(
      "Examples:\n"
      "  tern perplexity -m model.gguf -f book.txt\n"
      "  tern perplexity -m model.gguf -f book.txt --ctx-size 512 --chunks 20 --json\n");
  add_model_option(*parser, options->model);
  parser->add_option("-f,--file", options->file, "The text, every byte; - for standard input")
      ->type_name("FILE")
      ->check(not_empty)
      ->required();
  parser
      ->add_option("-c,--ctx-size", options->measure.context,
                   "Tokens of a window; 0: all that "
                   "the model was trained for")
      ->type_name("N")
      ->check(CLI::Range(0u, kMostTokens).description(""))
      ->capture_default_str();
  parser->add_option("--stride", options->measure.stride, "Tokens between windows; 0: half of one")
      ->type_name("N")
      ->check(CLI::Range(0u, kMostTokens).description(""))
      ->capture_default_str();
  parser->add_option("--chunks", options->measure.windows, "At most so many windows; 0: all")
      ->type_name("N")
      ->check(CLI::Range(std::uint64_t{0}, kMostWindows).description(""))
      ->capture_default_str();
  add_compute_options(*parser, options->compute);
  add_cache_option(*parser, options->compute.cache);
  add_tune_option(*parser, options->compute.tune);
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return perplexity(*options, output); }};
}

}  // namespace tern::cli
