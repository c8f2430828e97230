// The commands within a conversation: lines that begin with "/".
#include <fmt/format.h>

#include <array>
#include <charconv>

#include "cli/chat.h"
#include "cli/chat_file.h"

namespace tern::cli {
namespace {

Error usage(std::string message) { return {ErrorCode::kUsage, std::move(message), "chat"}; }

Result<void> expect_nothing(std::string_view argument) {
  if (argument.empty()) return {};
  return usage("expected nothing behind the command, found " + std::string(argument));
}

Result<void> expect_file(std::string_view argument) {
  if (!argument.empty()) return {};
  return usage("expected the name of a file behind the command, found none");
}

}  // namespace

std::span<const Chat::Command> Chat::commands() {
  static constexpr std::array<Command, 11> kAll{{
      {"/help", "", "shows this", &Chat::help},
      {"/system", "[TEXT]", "sets the system message, or removes it", &Chat::set_system},
      {"/history", "", "shows the conversation, its messages numbered", &Chat::history},
      {"/edit", "N TEXT", "asks the user's message N anew, and drops what followed", &Chat::edit},
      {"/retry", "", "answers the last message again, with the next seed", &Chat::retry},
      {"/undo", "", "drops the last message and its answer", &Chat::undo},
      {"/clear", "", "drops all but the system message", &Chat::clear},
      {"/save", "FILE", "writes the conversation, as JSON", &Chat::save},
      {"/load", "FILE", "goes on with a conversation that was saved", &Chat::load},
      {"/quit", "", "leaves, as Ctrl-D does", &Chat::quit},
      {"\"\"\"", "", "begins and ends a message of many lines", nullptr},
  }};
  return kAll;
}

Result<void> Chat::help(std::string_view argument) {
  TERN_TRY(expect_nothing(argument));
  for (const Command& command : commands()) {
    const std::string left = fmt::format("{} {}", command.name, command.takes);
    console_.write_own(console_.strong(fmt::format("  {:<14}", left)));
    console_.write_own(fmt::format(" {}\n", command.does));
  }
  return {};
}

Result<void> Chat::set_system(std::string_view argument) {
  system_ = argument;
  return {};
}

Result<void> Chat::history(std::string_view argument) {
  TERN_TRY(expect_nothing(argument));
  if (!system_.empty()) {
    console_.write_own(console_.strong("system:") + " ");
    console_.write(system_ + "\n");
  }
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    console_.write_own(console_.strong(fmt::format("{} {}:", i + 1, messages_[i].role)) + " ");
    console_.write(messages_[i].content);
    console_.end_line();
  }
  return {};
}

Result<void> Chat::need_turns() const {
  if (!messages_.empty()) return {};
  return usage("expected a conversation, found no message yet");
}

Result<void> Chat::edit(std::string_view argument) {
  TERN_TRY(need_turns());
  std::size_t number = 0;
  const char* const end = argument.data() + argument.size();
  const auto [rest, failure] = std::from_chars(argument.data(), end, number);
  const std::string_view text(rest, static_cast<std::size_t>(end - rest));
  if (failure != std::errc() || number == 0 || number > messages_.size() || number % 2 == 0 ||
      !text.starts_with(' ')) {
    return usage(fmt::format(
        "expected the number of a message of the user, 1 to {} in steps of two, and a new text; "
        "/history shows them",
        (messages_.size() - 1) / 2 * 2 + 1));
  }
  std::vector<text::ChatMessage> before = messages_;
  messages_.resize(number - 1);
  auto outcome = say(std::string(text.substr(1)));
  if (!outcome) messages_ = std::move(before);
  return outcome;
}

Result<void> Chat::retry(std::string_view argument) {
  TERN_TRY(expect_nothing(argument));
  TERN_TRY(need_turns());
  std::vector<text::ChatMessage> before = messages_;
  if (messages_.back().role == "assistant") messages_.pop_back();
  ++request_.answer.sampling.seed;
  auto outcome = answer();
  if (!outcome) messages_ = std::move(before);
  return outcome;
}

Result<void> Chat::undo(std::string_view argument) {
  TERN_TRY(expect_nothing(argument));
  TERN_TRY(need_turns());
  messages_.resize((messages_.size() - 1) / 2 * 2);
  return {};
}

Result<void> Chat::clear(std::string_view argument) {
  TERN_TRY(expect_nothing(argument));
  messages_.clear();
  return {};
}

Result<void> Chat::save(std::string_view argument) {
  TERN_TRY(expect_file(argument));
  return save_chat(std::string(argument), all());
}

Result<void> Chat::load(std::string_view argument) {
  TERN_TRY(expect_file(argument));
  TERN_ASSIGN(std::vector<text::ChatMessage> messages, load_chat(std::string(argument)));
  std::string system;
  if (!messages.empty() && messages.front().role == "system") {
    system = std::move(messages.front().content);
    messages.erase(messages.begin());
  }
  system_.swap(system);
  messages_.swap(messages);
  if (messages_.empty() || messages_.back().role == "assistant") return {};
  auto outcome = answer();  // to what waits for one
  if (!outcome) {
    system_ = std::move(system);
    messages_ = std::move(messages);
  }
  return outcome;
}

Result<void> Chat::quit(std::string_view argument) {
  TERN_TRY(expect_nothing(argument));
  ended_ = true;
  return {};
}

}  // namespace tern::cli
