// tern bench: how fast a model is here, beside how fast this machine could be.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/tuning.h"
#include "core/cpu_features.h"
#include "core/machine.h"
#include "diagnose/measure/bench_report.h"
#include "kernels/registry.h"

namespace tern::cli {
namespace {

struct BenchCommandOptions {
  std::string model;
  ComputeOptions compute;
  model::HeadMode head = model::HeadMode::kAuto;
  std::vector<std::uint32_t> prefills = {512};
  std::uint32_t decode = 128;
  std::uint32_t depth = 16;
  std::vector<std::uint32_t> batches;
  std::uint32_t repetitions = 7;
  bool json = false;
};

std::vector<const kernels::KernelTable*> usable_tiers() {
  const std::uint32_t features = detect_cpu_features();
  std::vector<const kernels::KernelTable*> usable;
  for (const kernels::KernelTable* table : kernels::all_tables()) {
    if ((table->required_features & ~features) == 0) usable.push_back(table);
  }
  return usable;
}

Result<ExitCode> bench(const BenchCommandOptions& chosen, Output& output) {
  TERN_ASSIGN(const std::string path, model_path(chosen.model));
  std::stop_source stop;
  const Interrupt interrupt(stop);  // before threads are made
  Progress progress;
  diagnose::BenchOptions options;
  TERN_ASSIGN(options.tier, choose_tier(chosen.compute.tier));
  const auto tiers = usable_tiers();
  options.tiers = tiers;
  options.open = [&] { return open_model(path); };
  options.path = path;
  TERN_ASSIGN(const format::GgufFile file, open_model(path));
  TERN_ASSIGN(MachineTuning tuning,
              tuning_for(chosen.compute.tune, {options.tier, chosen.compute.threads}, file,
                         stop.get_token(), progress));
  options.threads = tuning.threads;
  options.tuning = std::move(tuning.plans);
  options.head = chosen.head;
  options.kv_type = chosen.compute.kv;
  options.prefills = chosen.prefills;
  if (options.prefills == std::vector<std::uint32_t>{0}) options.prefills.clear();
  options.decode = chosen.decode;
  options.depth = chosen.depth;
  options.batches = chosen.batches;
  options.repetitions.count = chosen.repetitions;
  options.stop = stop.get_token();
  options.progress = [&](std::string_view step, std::uint64_t done, std::uint64_t total) {
    progress.show(step, done, total);
  };
  TERN_ASSIGN(std::optional<diagnose::BenchReport> report, diagnose::bench(options));
  progress.clear();
  if (!report) return ExitCode::kInterrupted;
  report->model = printable(report->model);
  report->source = printable(report->source);
  report->tuning = printable(tuning.outcome);
  TERN_TRY(output.write(chosen.json ? to_json(*report) + "\n" : to_text(*report)));
  return ExitCode::kOk;
}

void add_count(CLI::App& parser, const char* names, std::uint32_t& value, std::uint32_t least,
               const char* help) {
  parser.add_option(names, value, help)
      ->type_name("N")
      ->check(CLI::Range(least, 1u << 20).description(""))
      ->capture_default_str();
}

// The numbers of "512,2048" behind those in `values`. What is wrong with the text; empty: nothing.
std::string add_numbers(std::string_view text, std::uint32_t least,
                        std::vector<std::uint32_t>& values) {
  constexpr std::uint32_t kMost = 1u << 20;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::string_view item = text.substr(begin, text.find(',', begin) - begin);
    std::uint32_t value = 0;
    const char* const last = item.data() + item.size();
    const auto [end, error] = std::from_chars(item.data(), last, value);
    if (error != std::errc() || end != last || value < least || value > kMost) {
      return fmt::format("expected numbers of {} to {} between commas, found \"{}\" in {}", least,
                         kMost, item, text.empty() ? "an empty list" : text);
    }
    values.push_back(value);
    begin += item.size() + 1;
  }
  return "";
}

// Not CLI11's own lists, which leave out items that are empty.
void add_counts(CLI::App& parser, const char* names, std::vector<std::uint32_t>& values,
                std::uint32_t least, const char* help) {
  const std::string name = std::string(names).substr(std::string_view(names).find("--"));
  const auto read = [&values, least, name](const std::vector<std::string>& lists) {
    values.clear();
    for (const std::string& list : lists) {
      const std::string wrong = add_numbers(list, least, values);
      if (!wrong.empty()) throw CLI::ValidationError(name, wrong);
    }
  };
  CLI::Option* const option =
      parser.add_option_function<std::vector<std::string>>(names, read, help)->type_name("N,...");
  if (!values.empty()) option->default_str(fmt::format("{}", fmt::join(values, ",")));
}

}  // namespace

Command add_bench_command(CLI::App& tern) {
  const auto options = std::make_shared<BenchCommandOptions>();
  CLI::App* parser =
      tern.add_subcommand("bench",
                          "Measure a model beside what this machine could do at most.\n"
                          "Prefill, decode, loading and memory; and, before and after, how fast "
                          "the cores read memory and "
                          "how\nmany int8 multiply-accumulates each tier can do, for which 2 GiB "
                          "of memory are needed.\n");
  parser->footer(
      "Examples:\n"
      "  tern bench -m model.gguf\n"
      "  tern bench -m model.gguf -p 0 -n 64 -t 4 --json > decode.json\n");
  add_model_option(*parser, options->model);
  add_counts(*parser, "-p,--prefill", options->prefills, 0,
             "Tokens of the prompt, or of several in turn: 512,2048;\n0: no prefill");
  add_count(*parser, "-n,--decode", options->decode, 0, "Tokens decoded; 0: no decode");
  add_count(*parser, "-d,--depth", options->depth, 1,
            "Tokens before the first decoded one; their keys and\nvalues are made up, for their "
            "values change no speed");
  add_counts(*parser, "-b,--batch", options->batches, 1,
             "Decode of so many sequences at once, too: 2,4,8");
  add_count(*parser, "-r,--repetitions", options->repetitions, 1,
            "Repetitions, of which the median and the quartiles are shown");
  add_compute_options(*parser, options->compute);
  add_head_option(*parser, options->head);
  add_tune_option(*parser, options->compute.tune);
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return bench(*options, output); }};
}

}  // namespace tern::cli
