#include "cli/generation_options.h"

#include <CLI/CLI.hpp>
#include <limits>
#include <random>

#include "cli/one_of.h"
#include "cli/streams.h"

namespace tern::cli {
namespace {

// One less than the largest: what the parser makes of any larger number.
constexpr std::int64_t kMostSeed = std::numeric_limits<std::int64_t>::max() - 1;

void add_length_options(CLI::App& parser, GenerationOptions& options) {
  parser
      .add_option("-n,--predict", options.max_tokens,
                  "At most so many tokens; -1: until the text or the context ends")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{-1}, std::int64_t{std::numeric_limits<std::int32_t>::max()})
                  .description(""))
      ->capture_default_str();
  parser
      .add_option("-c,--ctx-size", options.context,
                  "Most tokens, prompt and continuation together; 0: what the model\n"
                  "was trained for")
      ->type_name("N")
      ->capture_default_str();
  parser.add_option("--stop", options.stops, "End before this text; can be given repeatedly")
      ->type_name("TEXT")
      ->check(not_empty)
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
}

void add_sampling_options(CLI::App& parser, engine::SamplingOptions& sampling) {
  const auto add = [&](const char* names, auto& value, const char* help) {
    parser.add_option(names, value, help)->type_name("X")->capture_default_str();
  };
  add("--temp", sampling.temperature, "Temperature; 0: always the likeliest token");
  add("--top-k", sampling.top_k, "Only the K likeliest tokens; 0: all");
  add("--top-p", sampling.top_p, "Only the likeliest tokens of this probability in sum; 1: all");
  add("--min-p", sampling.min_p,
      "Only tokens of at least this share of the likeliest's probability;\n0: all");
  add("--repeat-penalty", sampling.repeat_penalty, "Divides the logits of recent tokens; 1: off");
  add("--repeat-last-n", sampling.repeat_last_n, "How many tokens are recent");
}

}  // namespace

void add_generation_options(CLI::App& parser, GenerationOptions& options) {
  add_model_option(parser, options.model);
  add_length_options(parser, options);
  add_sampling_options(parser, options.sampling);
  parser
      .add_option("--seed", options.seed,
                  "The same seed gives the same text, on any tier; -1: random")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{-1}, kMostSeed).description(""))
      ->capture_default_str();
  add_compute_options(parser, options.compute);
  add_head_option(parser, options.head);
  add_cache_option(parser, options.compute.cache);
  add_tune_option(parser, options.compute.tune);
  parser.add_flag_callback(
      "--no-verify", [&options] { options.verify = false; }, "Skip the self-proof of the model");
}

engine::GenerateRequest request_of(const GenerationOptions& options) {
  engine::GenerateRequest request;
  request.answer.sampling = options.sampling;
  request.answer.sampling.seed = options.seed >= 0 ? static_cast<std::uint64_t>(options.seed)
                                                   : std::uint64_t{std::random_device{}()};
  if (options.max_tokens >= 0)
    request.answer.max_tokens = static_cast<std::uint32_t>(options.max_tokens);
  request.answer.stops = options.stops;
  return request;
}

Result<model::HeadMode> head_mode(const GenerationOptions& options) {
  TERN_ASSIGN(const engine::Sampler sampler, engine::Sampler::create(options.sampling));
  const bool decides = sampler.decisive(0).has_value();  // at any position alike
  const bool unused = options.head == model::HeadMode::kAuto && !decides;
  return unused ? model::HeadMode::kExact : options.head;
}

void report_head(const model::Model& model, Progress& progress) {
  const std::string& reason = model.head().no_copy_for;
  if (reason.empty()) return;
  progress.clear();
  write_stderr("tern: head: all logits are computed for each token: " + reason + "\n");
}

}  // namespace tern::cli
