// tern chat: a conversation with a model.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "cli/chat.h"
#include "cli/command.h"
#include "cli/generation_options.h"
#include "cli/printable.h"
#include "cli/runtime.h"
#include "core/machine.h"
#include "text/named_templates.h"

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

struct ChosenTemplate {
  text::ChatTemplate chat;
  std::string name;
  std::vector<std::string> stops;
};

std::string choices() {
  std::string all;
  for (const auto& named : text::named_templates()) all += std::string(named.name) + ", ";
  return all + "or a file";
}

Result<ChosenTemplate> choose_template(const std::string& wanted, const Runtime& runtime) {
  if (wanted.empty()) {
    auto own = text::ChatTemplate::from_gguf(runtime.model.file());
    if (own) return ChosenTemplate{std::move(*own), "of the model", {}};
    Error error = std::move(own.error());
    if (error.code == ErrorCode::kUsage)
      error.message += "; choose one: --chat-template " + choices();
    return error;
  }
  if (const text::NamedTemplate* named = text::find_named_template(wanted)) {
    TERN_TRY(check_tokens(*named, runtime.tokenizer));
    TERN_ASSIGN(text::ChatTemplate chat, text::ChatTemplate::parse(named->source));
    return ChosenTemplate{std::move(chat), wanted, named->stops};
  }
  if (!std::filesystem::exists(wanted)) {
    return Error{ErrorCode::kUsage, "expected " + choices() + ", found no file of that name",
                 "--chat-template " + wanted};
  }
  TERN_ASSIGN(const std::string source, read_all(wanted));
  auto chat = text::ChatTemplate::parse(source);
  if (!chat) return in_context(wanted, std::move(chat.error()));
  return ChosenTemplate{std::move(*chat), wanted, {}};
}

void greet(const ChatConsole& console, const Runtime& runtime, const ChosenTemplate& chosen,
           const engine::ChatSession& session, std::uint64_t seed) {
  console.note(fmt::format(
      "{}, template {}, {} tokens of context, {}, {}, seed {}. /help shows the commands.",
      model_name(runtime.model), chosen.name, session.context(), runtime.backend->tier(),
      runtime.model.proof().proved ? "proved" : "not proved (--no-verify)", seed));
}

Result<ExitCode> chat(const ChatOptions& options, Output& output) {
  ChatConsole console(output, options.color);
  TERN_ASSIGN(const WakePipe wake, WakePipe::create());
  ChatSignals signals(wake);  // before threads are made
  Progress progress;
  TERN_ASSIGN(const model::HeadMode head, head_mode(options));
  TERN_ASSIGN(const Runtime runtime,
              load_runtime(options.model, options.compute, options.verify, head, progress));
  report_head(runtime.model, progress);
  TERN_ASSIGN(const ChosenTemplate chosen, choose_template(options.chat_template, runtime));
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
                   "Instead of the model's own: " + choices())
      ->type_name("NAME");
  add_generation_options(*parser, *options);
  add_color_option(*parser, options->color);
  return {parser, [options](Output& output) { return chat(*options, output); }};
}

}  // namespace tern::cli
