// tern synth: a model of random weights with the shape of a real one, to measure with.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "diagnose/synth/synth.h"

namespace tern::cli {
namespace {

using format::TensorType;

constexpr std::array kTernaryTypes{TensorType::kI2_S, TensorType::kTQ2_0, TensorType::kTQ1_0};
constexpr std::array kHeadTypes{TensorType::kF16, TensorType::kQ8_0, TensorType::kQ6_K};

// A number that does not fit is parsed as the largest; so that one is out of range.
constexpr std::int64_t kMostSeed = std::numeric_limits<std::int64_t>::max() - 1;

struct SynthCommandOptions {
  std::string shape;
  std::string ternary;
  std::string head = std::string(name(TensorType::kF16));
  std::int64_t seed = 0;
  std::uint32_t layers = 0;
  std::uint32_t context = 0;
  std::string output;
};

std::vector<std::string> shape_names() {
  std::vector<std::string> names;
  for (const auto& shape : diagnose::synth_shapes()) names.emplace_back(shape.name);
  return names;
}

template <std::size_t count>
std::vector<std::string> type_names(const std::array<TensorType, count>& types) {
  std::vector<std::string> names;
  for (const TensorType type : types) names.emplace_back(name(type));
  return names;
}

// `wanted` is one of them: the parser has checked it.
template <std::size_t count>
TensorType type_of(const std::array<TensorType, count>& types, std::string_view wanted) {
  return *std::ranges::find_if(types, [&](TensorType type) { return name(type) == wanted; });
}

Result<ExitCode> synth(const SynthCommandOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::stop_source stop;
  Interrupt interrupt(stop);
  Progress progress;
  diagnose::SynthOptions model{.shape = *diagnose::find_synth_shape(options.shape),
                               .layers = options.layers,
                               .ternary = type_of(kTernaryTypes, options.ternary),
                               .head = type_of(kHeadTypes, options.head),
                               .seed = static_cast<std::uint64_t>(options.seed)};
  if (options.context != 0) model.shape.context = options.context;
  model.progress = [&](std::uint64_t done, std::uint64_t total) {
    progress.show("write", done, total);
  };
  model.stop = stop.get_token();
  const auto written = diagnose::write_synth_model(options.output, model);
  progress.clear();
  if (!written && interrupt.happened()) {
    write_stderr(fmt::format("tern: {}: interrupted, not written\n", printable(options.output)));
    return ExitCode::kInterrupted;
  }
  TERN_ASSIGN(const std::uint64_t bytes, written);
  write_stderr(fmt::format("{}: {} of {} and {}, seed {}, {:.1f} MB of weights in {:.1f} s\n",
                           printable(options.output), options.shape, options.ternary, options.head,
                           options.seed, static_cast<double>(bytes) / 1e6,
                           std::chrono::duration<double>(Clock::now() - start).count()));
  return ExitCode::kOk;
}

}  // namespace

Command add_synth_command(CLI::App& tern) {
  const auto options = std::make_shared<SynthCommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "synth",
      "Write a model of random weights with the shape of a real one.\n"
      "It loads, runs and costs what the real one costs, and writes gibberish: a model to measure "
      "with.\nThe same options give the same bytes on every machine.\n");
  parser->footer(
      "Examples:\n"
      "  tern synth --shape 2b4t --type i2_s -o 2b4t.gguf && tern run -m 2b4t.gguf \"Hello\"\n"
      "  tern synth --shape 70b --type i2_s --head q6_k --layers 8 -o tenth-of-70b.gguf\n");
  parser->add_option("--shape", options->shape, "2b4t, large, 3b, 8b, 70b or 100b")
      ->type_name("NAME")
      ->check(CLI::IsMember(shape_names()).description(""))
      ->required();
  parser->add_option("--type", options->ternary, "Of the ternary matrices: i2_s, tq2_0 or tq1_0")
      ->type_name("TYPE")
      ->check(CLI::IsMember(type_names(kTernaryTypes)).description(""))
      ->required();
  parser->add_option("--head", options->head, "Of embedding and output: f16, q8_0 or q6_k")
      ->type_name("TYPE")
      ->check(CLI::IsMember(type_names(kHeadTypes)).description(""))
      ->capture_default_str();
  parser->add_option("--seed", options->seed, "Another number, other weights")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, kMostSeed).description(""))
      ->capture_default_str();
  parser->add_option("--layers", options->layers, "Layers; without it as many as the shape has")
      ->type_name("N")
      ->check(CLI::Range(1u, 1024u).description(""));
  parser
      ->add_option("--context", options->context,
                   "Most tokens of a sequence; without it as many as the shape's")
      ->type_name("N")
      ->check(CLI::Range(1u, 1u << 20).description(""));
  parser->add_option("-o,--output", options->output, "The file; what is there is replaced")
      ->type_name("FILE")
      ->check(not_empty)
      ->required();
  return {parser, [options](Output&) { return synth(*options); }};
}

}  // namespace tern::cli
