#include "cli/run_options.h"

#include <CLI/CLI.hpp>

#include "cli/one_of.h"

namespace tern::cli {
namespace {

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
          ->type_name("FILE")
          ->check(not_empty);
  alone->type_name("")->excludes(flag)->excludes(file);
  flag->excludes(file);
  parser.add_flag("--special", options.parse_special,
                  "A name like <|eot_id|> in the prompt is that token, not text");
}

}  // namespace

CLI::App* add_run_options(CLI::App& tern, RunOptions& options) {
  CLI::App* parser = tern.add_subcommand("run", kAbout);
  parser->footer(kExamples);
  add_prompt_options(*parser, options);
  add_generation_options(*parser, options);
  parser->add_flag("--ignore-eos", options.ignore_end, "Go on after an end-of-text token");
  parser->add_flag("--json", options.json, "One JSON object at the end instead of text");
  parser->add_option("--events", options.events, "Write events there, a JSON object a line")
      ->type_name("FILE")
      ->check(not_empty);
  return parser;
}

Result<void> check(const RunOptions& options) {
  if (options.prompt || !options.prompt_file.empty()) return {};
  return Error{ErrorCode::kUsage, "a prompt is missing; for example: tern run \"Once upon a time\"",
               ""};
}

}  // namespace tern::cli
