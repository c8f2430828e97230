// tern chat: a conversation with a model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/chat.h"
#include "cli/chosen_template.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/runtime.h"
#include "core/machine.h"

namespace tern::cli {
namespace {

constexpr const char* kAbout =
    "Talk with a model, turn by turn, as the chat template in its file has it.\n"
    "Standard input is what you say: a message a line, or commands, which /help shows. Answers go "
    "to\n"
    "standard output. Ctrl-C stops an answer, Ctrl-D ends the conversation.\n";

constexpr const char* kExamples =
    "Examples:\n"
    "  tern chat -m model.gguf --system \"Be brief.\"\n"
    "  tern chat --chat-template plain              the embedded model knows no turns\n"
    "  printf 'Hello\\n/save talk.json\\n' | tern chat -m model.gguf --temp 0\n";

struct ChatOptions : GenerationOptions {
  std::string system;
  std::string chat_template;  // a name or a file; empty: the model's own
  ColorUse color = ColorUse::kAuto;
};

void greet(const ChatConsole& console, const Runtime& runtime, const ChosenTemplate& chosen,
           const engine::ChatSession& session, std::uint64_t seed) {
  console.note(fmt::format(
      "{}, template {}, {} tokens of context, {}, {}, seed {}. /help shows the commands.",
      model_name(runtime.model), chosen.name, session.context(), runtime.backend->tier(),
      runtime.model.proof().proved ? "proved" : "not proved (--no-verify)", seed));
}

Result<ExitCode> chat(const ChatOptions& options, Output& output) {
  TERN_ASSIGN(const std::string path, model_path(options.model));
  ChatConsole console(output, options.color);
  TERN_ASSIGN(const WakePipe wake, WakePipe::create());
  ChatSignals signals(wake);  // before threads are made
  Progress progress;
  TERN_ASSIGN(const model::HeadMode head, head_mode(options));
  TERN_ASSIGN(const Runtime runtime,
              load_runtime(path, options.compute, options.verify, head, progress));
  report_head(runtime.model, progress);
  TERN_ASSIGN(const ChosenTemplate chosen,
              choose_template(options.chat_template, runtime.model.file(), runtime.tokenizer));
  TERN_ASSIGN(engine::ChatSession session,
              engine::ChatSession::create(
                  runtime.model, runtime.tokenizer, chosen.chat,
                  {options.context, kPrefillChunk, available_memory(), options.compute.kv}));
  progress.clear();
  engine::GenerateRequest request = request_of(options);
  request.answer.stops.insert(request.answer.stops.end(), chosen.stops.begin(), chosen.stops.end());
  const std::unique_ptr<LineReader> lines = make_line_reader(wake, console.colour());
  if (stdin_is_terminal()) greet(console, runtime, chosen, session, request.answer.sampling.seed);
  return Chat(session, console, signals, *lines, std::move(request), options.system).run();
}

}  // namespace

Command add_chat_command(CLI::App& tern) {
  const auto options = std::make_shared<ChatOptions>();
  CLI::App* parser = tern.add_subcommand("chat", kAbout);
  parser->footer(kExamples);
  parser->add_option("--system", options->system, "What the model is told before all else")
      ->type_name("TEXT");
  parser
      ->add_option("--chat-template", options->chat_template,
                   "Instead of the model's own: " + template_choices())
      ->type_name("NAME")
      ->check(not_empty);
  add_generation_options(*parser, *options);
  add_color_option(*parser, options->color);
  return {parser, [options](Output& output) { return chat(*options, output); }};
}

}  // namespace tern::cli
