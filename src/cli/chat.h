// A conversation on a terminal, or by a script of lines.
#pragma once

#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "cli/chat_console.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/progress.h"
#include "engine/chat_session.h"

namespace tern::cli {

// What Ctrl-C means: the end of the process, of the wait for a line, or of an answer.
class ChatSignals {
 public:
  explicit ChatSignals(const WakePipe& wake) : wake_(wake), watch_([this] { on_sigint(); }) {}

  void await_line();
  std::stop_source begin_answer();
  bool happened() const;  // since the last of these two

 private:
  enum class During { kStart, kLine, kAnswer };
  void on_sigint();

  const WakePipe& wake_;
  mutable std::mutex mutex_;
  During during_ = During::kStart;
  std::stop_source stop_;
  bool happened_ = false;
  SigintWatch watch_;  // last: calls into the others
};

class Chat {
 public:
  // All are borrowed. `request` says how to sample and when to stop.
  Chat(engine::ChatSession& session, ChatConsole& console, ChatSignals& signals, LineReader& lines,
       engine::GenerateRequest request, std::string system);

  // Until the lines end. Errors: where no one is at the terminal, the first one; kIo where nothing
  // can be written.
  Result<ExitCode> run();

 private:
  struct Command {
    std::string_view name;
    std::string_view takes;  // what stands behind it
    std::string_view does;
    Result<void> (Chat::*action)(std::string_view argument);
  };
  static std::span<const Command> commands();

  Result<InputLine> next_message();
  Result<void> act(const std::string& text, bool may_be_command);
  Result<void> obey(std::string_view line);

  Result<void> say(std::string text);
  Result<void> answer();
  void report(const engine::Generation& generation) const;
  std::vector<text::ChatMessage> all() const;  // with the system message
  Result<void> need_turns() const;

  Result<void> help(std::string_view argument);
  Result<void> set_system(std::string_view argument);
  Result<void> history(std::string_view argument);
  Result<void> edit(std::string_view argument);
  Result<void> retry(std::string_view argument);
  Result<void> undo(std::string_view argument);
  Result<void> clear(std::string_view argument);
  Result<void> save(std::string_view argument);
  Result<void> load(std::string_view argument);
  Result<void> quit(std::string_view argument);

  engine::ChatSession& session_;
  ChatConsole& console_;
  ChatSignals& signals_;
  LineReader& lines_;
  engine::GenerateRequest request_;
  telemetry::Telemetry telemetry_;
  std::string system_;                       // empty: none
  std::vector<text::ChatMessage> messages_;  // users' and assistants' in turns
  bool interactive_;
  bool ended_ = false;
};

}  // namespace tern::cli
