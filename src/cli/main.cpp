// tern: the command line. Parses, runs one command, and turns its outcome into an exit status.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "cli/build_info.h"
#include "cli/bus_error.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/help.h"
#include "cli/printable.h"
#include "cli/streams.h"

namespace tern::cli {
namespace {

constexpr const char* kAbout =
    "Tern runs BitNet language models: ternary weights, 8-bit activations, the same bits on every\n"
    "tier and number of threads.\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  tern run \"Once upon a time\"                  the embedded model writes\n"
    "  tern run -m model.gguf -p \"Dear\" -n 64       a model of yours writes 64 tokens\n"
    "  tern serve -m model.gguf                     answers OpenAI's clients over HTTP\n"
    "  tern chat -m model.gguf                      a conversation with it\n"
    "  tern inspect -m model.gguf                   what the file holds\n"
    "  echo -n \"text\" | tern tokenize --ids -       its tokens\n"
    "  tern verify -m model.gguf                    is it sound, and does it compute as it should\n"
    "  tern bench -m model.gguf                     how fast is it, and how fast could it be\n"
    "  tern bench-serve http://127.0.0.1:8080       how a server fares under load\n"
    "  tern tune -m model.gguf                      once: which way of reading is fastest here\n"
    "  tern pull bitnet-2b-4t                       a model is downloaded; -m takes its name\n"
    "  tern convert FOLDER -o model.gguf            a checkpoint of Hugging Face becomes such a "
    "file\n"
    "  tern transcode model.gguf -o x.gguf --type tq1_0   the same trits in another layout\n"
    "  tern synth --shape 2b4t --type i2_s -o x.gguf   random weights, a real shape: to measure "
    "with\n"
    "`tern COMMAND --help` says more.\n\n";

// The parser takes 010 for an octal 8 and 0x10 for 16.
void take_numbers_as_decimal(CLI::App& command) {
  const auto without_zeros = [](std::string& text) -> std::string {
    const std::size_t begin = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", begin), text.size());
    const std::string_view rest = std::string_view(text).substr(end);
    if (rest.starts_with('x') || rest.starts_with('X')) {
      return "expected a decimal number, found " + text;
    }
    if (end == begin || !rest.empty()) return "";
    text.erase(begin, std::min(text.find_first_not_of('0', begin), text.size() - 1) - begin);
    return "";
  };
  for (CLI::Option* option : command.get_options([](const CLI::Option*) { return true; })) {
    const std::string type = option->get_type_name();
    if (type != "N" && type != "N,..." && type != "X") continue;  // NAME may be 007
    option->transform(CLI::Validator(without_zeros, ""));
  }
  for (CLI::App* inner : command.get_subcommands([](const CLI::App*) { return true; })) {
    take_numbers_as_decimal(*inner);
  }
}

ExitCode report(const Error& error) {
  write_stderr("tern: " + printable(error.to_string()) + "\n");
  return exit_code(error.code);
}

Result<ExitCode> dispatch(std::span<const Command> commands, Output& output) {
  try {
    for (const Command& command : commands) {
      if (command.parser->parsed()) return command.action(output);
    }
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kOutOfMemory, "the memory ran out; free some, or use a smaller model",
                 ""};
  } catch (const std::system_error& error) {  // of std::thread
    return Error{ErrorCode::kOutOfMemory, error.what(), "a resource of the system ran out"};
  }
  return Error{ErrorCode::kUsage, "a command is missing", ""};
}

// Whether the parser took a text "++" for the end of the command, and dropped it without a word.
bool dropped_a_text(const CLI::App& tern, std::span<char* const> arguments) {
  constexpr std::string_view kEnd = "++";
  const auto rest = std::find(arguments.begin(), arguments.end(), std::string_view("--"));
  auto dropped = std::count(arguments.begin(), rest, kEnd);
  for (const CLI::App* command : tern.get_subcommands()) {
    for (const CLI::Option* option : command->get_options()) {
      const auto& values = option->results();
      dropped -= std::count(values.begin(), values.end(), kEnd);
    }
  }
  return dropped > 0;
}

Error usage_error(const CLI::App& tern, const std::string& what) {
  const auto chosen = tern.get_subcommands();
  const std::string command = chosen.empty() ? "" : chosen.front()->get_name() + " ";
  return Error{ErrorCode::kUsage, what + "; see `tern " + command + "--help`", ""};
}

Result<ExitCode> parse_and_dispatch(int argc, char** argv, Output& output) {
  CLI::App tern(kAbout, "tern");
  tern.formatter(help_formatter());
  tern.footer(std::string(kExamples) + kExitCodeHelp);
  tern.require_subcommand(0, 1);
  tern.set_version_flag("--version", std::string("tern ") + kVersion, "Print the version and exit");
  tern.set_help_flag("-h,--help", "Print this help and exit");
  const std::array commands{
      add_run_command(tern),         add_chat_command(tern),       add_serve_command(tern),
      add_embed_command(tern),       add_inspect_command(tern),    add_diff_command(tern),
      add_tokenize_command(tern),    add_verify_command(tern),     add_bench_command(tern),
      add_bench_serve_command(tern), add_perplexity_command(tern), add_synth_command(tern),
      add_convert_command(tern),     add_transcode_command(tern),  add_pull_command(tern),
      add_list_command(tern),        add_rm_command(tern),         add_cache_command(tern),
      add_replay_command(tern),      add_tune_command(tern),       add_schema_command(tern),
      add_version_command(tern)};
  take_numbers_as_decimal(tern);
  if (argc == 1) {  // nothing was asked for: say what could be
    write_stderr(tern.help());
    return ExitCode::kUsage;
  }
  try {
    tern.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    TERN_TRY(output.write(tern.help()));
    return ExitCode::kOk;
  } catch (const CLI::CallForVersion& version) {
    TERN_TRY(output.write(std::string(version.what()) + "\n"));
    return ExitCode::kOk;
  } catch (const CLI::ParseError& error) {
    return usage_error(tern, error.what());
  }
  if (dropped_a_text(tern, {argv, static_cast<std::size_t>(argc)})) {
    return usage_error(tern, "expected ++ behind --, where it is a text, found it before");
  }
  return dispatch(commands, output);
}

int run(int argc, char** argv) {
  prepare_streams();
  explain_bus_errors();
  Output output;
  const Result<ExitCode> outcome = parse_and_dispatch(argc, argv, output);
  if (outcome) return static_cast<int>(*outcome);
  if (output.reader_gone()) return static_cast<int>(ExitCode::kReaderGone);
  return static_cast<int>(report(outcome.error()));
}

}  // namespace
}  // namespace tern::cli

int main(int argc, char** argv) { return tern::cli::run(argc, argv); }
