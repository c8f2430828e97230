#include "cli/chat.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/utf8.h"

namespace tern::cli {
namespace {

constexpr std::string_view kBlock = R"(""")";  // around a message of many lines

Error usage(std::string message) { return {ErrorCode::kUsage, std::move(message), "chat"}; }

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

}  // namespace

void ChatSignals::await_line() {
  const std::lock_guard lock(mutex_);
  during_ = During::kLine;
  happened_ = false;
}

std::stop_source ChatSignals::begin_answer() {
  const std::lock_guard lock(mutex_);
  during_ = During::kAnswer;
  happened_ = false;
  stop_ = std::stop_source();
  return stop_;
}

bool ChatSignals::happened() const {
  const std::lock_guard lock(mutex_);
  return happened_;
}

void ChatSignals::on_sigint() {
  const std::lock_guard lock(mutex_);
  happened_ = true;
  if (during_ == During::kStart) die_of_sigint();
  if (during_ == During::kLine) wake_.wake();
  if (during_ == During::kAnswer) stop_.request_stop();
}

Chat::Chat(engine::ChatSession& session, ChatConsole& console, ChatSignals& signals,
           LineReader& lines, engine::GenerateRequest request, std::string system)
    : session_(session),
      console_(console),
      signals_(signals),
      lines_(lines),
      request_(std::move(request)),
      system_(std::move(system)),
      interactive_(stdin_is_terminal()) {}

Result<ExitCode> Chat::run() {
  for (bool warned = false; !ended_;) {
    TERN_ASSIGN(const InputLine message, next_message());
    if (message.kind == InputLine::Kind::kEnd) break;
    if (message.kind == InputLine::Kind::kInterrupted) {
      if (warned || !interactive_) return ExitCode::kInterrupted;
      console_.note("Ctrl-C again, or Ctrl-D, leaves");
      warned = true;
      continue;
    }
    warned = false;
    auto outcome = act(text::replace_invalid_utf8(message.text), !message.text.starts_with(kBlock));
    TERN_TRY(console_.written());
    if (!outcome) {
      if (!interactive_) return std::move(outcome.error());
      console_.error(outcome.error());
    } else if (signals_.happened() && !interactive_) {
      return ExitCode::kInterrupted;
    }
  }
  return ExitCode::kOk;
}

// A line, or what stands between two lines of three quotes, with these.
Result<InputLine> Chat::next_message() {
  signals_.await_line();
  TERN_ASSIGN(InputLine first, lines_.read("> "));
  if (!first.text.starts_with(kBlock)) return first;
  while (first.text.size() < 2 * kBlock.size() || !first.text.ends_with(kBlock)) {
    TERN_ASSIGN(const InputLine next, lines_.read("| "));
    if (next.kind == InputLine::Kind::kInterrupted) return next;
    if (next.kind == InputLine::Kind::kEnd) {
      return usage("expected \"\"\" at the end of the message, found the end of the input");
    }
    first.text += "\n" + next.text;
  }
  return first;
}

Result<void> Chat::act(const std::string& text, bool may_be_command) {
  if (may_be_command) {
    if (trimmed(text).empty()) return {};
    return text.starts_with('/') ? obey(text) : say(text);
  }
  std::string inside = text.substr(kBlock.size(), text.size() - 2 * kBlock.size());
  if (inside.starts_with('\n')) inside.erase(0, 1);
  if (inside.ends_with('\n')) inside.pop_back();
  return say(std::move(inside));
}

Result<void> Chat::obey(std::string_view line) {
  const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
  for (const Command& command : commands()) {
    if (command.action == nullptr || command.name != line.substr(0, end)) continue;
    return (this->*command.action)(trimmed(line.substr(end)));
  }
  return usage("expected a command of those that /help shows, found " +
               std::string(line.substr(0, end)) +
               "; a message that begins with / stands between \"\"\" and \"\"\"");
}

Result<void> Chat::say(std::string text) {
  messages_.push_back({"user", std::move(text)});
  return answer();
}

// To the last message, which is the user's. It goes where there is no answer.
Result<void> Chat::answer() {
  std::stop_source stop = signals_.begin_answer();
  Progress progress;
  engine::GenerateRequest request = request_;
  request.cancel = stop.get_token();
  request.on_prefill = [&](std::size_t done, std::size_t total) {
    progress.show("prefill", done, total);
  };
  request.on_text = [&](std::string_view piece) {
    progress.clear();
    console_.write(piece);
    if (!console_.written()) stop.request_stop();
  };
  auto generation = session_.answer(all(), std::move(request), telemetry_);
  progress.clear();
  console_.end_line();
  if (!generation) {
    messages_.pop_back();
    if (generation.error().code != ErrorCode::kContextLength) return std::move(generation.error());
    Error error = std::move(generation.error());
    error.message +=
        "; the message was not sent: /undo, /edit or /clear make room, or start with a larger -c";
    return error;
  }
  if (generation->end == engine::EndReason::kCancelled && generation->text.empty()) {
    messages_.pop_back();
    console_.note("stopped before there was an answer; the message was taken back");
    return {};
  }
  messages_.push_back({"assistant", generation->text});
  report(*generation);
  return {};
}

void Chat::report(const engine::Generation& generation) const {
  using enum engine::EndReason;
  if (generation.end == kContextFull) {
    console_.note(
        fmt::format("the context of {} tokens is full, and the answer is cut: /undo, /edit "
                    "or /clear make room, or start with a larger -c",
                    session_.context()));
  }
  if (!interactive_) return;
  if (generation.end == kCancelled) console_.note("stopped");
  if (generation.end == kMaxTokens) console_.note("cut at -n tokens");
  const std::size_t steps = generation.tokens.empty() ? 0 : generation.tokens.size() - 1;
  const double rate = generation.decode_seconds > 0.0
                          ? static_cast<double>(steps) / generation.decode_seconds
                          : 0.0;
  console_.note(fmt::format("{} tokens, {:.1f} tok/s, {} of {} tokens of context",
                            generation.tokens.size(), rate, session_.tokens(), session_.context()));
}

std::vector<text::ChatMessage> Chat::all() const {
  std::vector<text::ChatMessage> messages;
  if (!system_.empty()) messages.push_back({"system", system_});
  messages.insert(messages.end(), messages_.begin(), messages_.end());
  return messages;
}

}  // namespace tern::cli
