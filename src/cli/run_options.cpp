#include "cli/run_options.h"

#include <CLI/CLI.hpp>
#include <limits>

namespace tern::cli {
namespace {

// One less than the largest: what the parser makes of any larger number.
constexpr std::int64_t kMostSeed = std::numeric_limits<std::int64_t>::max() - 1;

constexpr const char* kAbout =
    "Continue a prompt.\n"
    "The continuation, and nothing else, goes to standard output as it is made. Standard error "
    "gets "
    "one\nline at the end: tokens a second and their share of what this machine could do at most, "
    "the tier,\nwhether the model was proved, the tokens, why they end, and the seed, which "
    "repeats "
    "the text.\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  tern run \"Once upon a time\"\n"
    "  tern run -m model.gguf -n 64 --temp 0 -p \"The capital of France is\"\n"
    "  tern run -f letter.txt --seed 7 > answer.txt\n"
    "  git log -1 | tern run -f - -n 32 --json\n";

void add_prompt_options(CLI::App& parser, RunOptions& options) {
  CLI::Option* alone = parser.add_option("PROMPT", options.prompt, "The text to continue");
  CLI::Option* flag =
      parser.add_option("-p,--prompt", options.prompt, "The same; for a prompt that begins with -")
          ->type_name("PROMPT");
  CLI::Option* file =
      parser
          .add_option("-f,--file", options.prompt_file,
                      "Read the prompt from a file; -: standard input. A last newline is\n"
                      "dropped")
          ->type_name("FILE");
  alone->type_name("")->excludes(flag)->excludes(file);
  flag->excludes(file);
  parser.add_flag("--special", options.parse_special,
                  "A name like <|eot_id|> in the prompt is that token, not text");
}

void add_length_options(CLI::App& parser, RunOptions& options) {
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
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  parser.add_flag("--ignore-eos", options.ignore_end, "Go on after an end-of-text token");
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

CLI::App* add_run_options(CLI::App& tern, RunOptions& options) {
  CLI::App* parser = tern.add_subcommand("run", kAbout);
  parser->footer(kExamples);
  add_prompt_options(*parser, options);
  add_model_option(*parser, options.model);
  add_length_options(*parser, options);
  add_sampling_options(*parser, options.sampling);
  parser
      ->add_option("--seed", options.seed,
                   "The same seed gives the same text, on any tier; -1: random")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{-1}, kMostSeed).description(""))
      ->capture_default_str();
  add_compute_options(*parser, options.compute);
  add_head_option(*parser, options.head);
  add_cache_option(*parser, options.compute.cache);
  add_tune_option(*parser, options.compute.tune);
  parser->add_flag_callback(
      "--no-verify", [&options] { options.verify = false; }, "Skip the self-proof of the model");
  parser->add_flag("--json", options.json, "One JSON object at the end instead of text");
  parser->add_option("--events", options.events, "Write events there, a JSON object a line")
      ->type_name("FILE");
  return parser;
}

Result<void> check(const RunOptions& options) {
  if (options.prompt || !options.prompt_file.empty()) return {};
  return Error{ErrorCode::kUsage, "a prompt is missing; for example: tern run \"Once upon a time\"",
               ""};
}

}  // namespace tern::cli
