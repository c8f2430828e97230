#include "text/chat_prompt.h"

#include <algorithm>
#include <utility>

#include "text/jinja/operations.h"
#include "text/utf8.h"

namespace tern::text {
namespace {

// A mark stands behind the first character of each name in a message; where it comes out of the
// template, the name is text. Noncharacters of Unicode are for such use; one that no message has.
Result<std::string> free_mark(std::span<const ChatMessage> messages) {
  for (char32_t c = 0xFDD0; c <= 0xFDEF; ++c) {
    std::string mark;
    append_utf8(mark, c);
    const auto has = [&](const ChatMessage& message) {
      return message.content.find(mark) != std::string::npos ||
             (message.name && message.name->find(mark) != std::string::npos);
    };
    if (std::none_of(messages.begin(), messages.end(), has)) return mark;
  }
  return Error{ErrorCode::kUsage,
               "expected fewer of the noncharacters U+FDD0 to U+FDEF in the messages, found all",
               "conversation"};
}

std::string marked(const std::string& content, std::string_view mark, const Tokenizer& tokenizer) {
  const std::vector<std::size_t> names = tokenizer.special_names(content);
  std::string out;
  std::size_t begin = 0;
  for (const std::size_t name : names) {
    const std::size_t behind = name + next_utf8(content, name).length;
    if (behind <= begin) continue;
    out.append(content, begin, behind - begin).append(mark);
    begin = behind;
  }
  return out.append(content, begin);
}

// Behind content that is to be continued; what has no mark has no two of them. As in transformers
// it ends with a space, which is lost where the template trims what it shows.
std::string end_mark(std::string_view mark) { return std::string(mark).append(mark) + " "; }

// Cuts a text off where `content`, the last of it that is to be continued, ends.
Result<void> cut_behind(std::string& text, std::string_view content, std::string_view mark) {
  const std::string end = end_mark(mark);
  const std::size_t at = text.rfind(std::string_view(end).substr(0, end.size() - 1));
  const bool trims = at != std::string::npos && text.compare(at, end.size(), end) != 0;
  text.resize(std::min(at, text.size()));
  if (trims) text = jinja::stripped(text, "", false, true);
  const bool whole = text.ends_with(jinja::stripped(content, "", true, trims));
  if (at != std::string::npos && whole) return {};
  return Error{ErrorCode::kUsage,
               "expected a template that shows the whole content of the last message, which is to "
               "be continued; it does not",
               "chat template"};
}

// Takes the marks out and says where they were.
std::vector<std::size_t> take_marks(std::string& text, std::string_view mark) {
  std::vector<std::size_t> places;
  std::string plain;
  std::size_t begin = 0;
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, begin)) {
    plain.append(text, begin, at - begin);
    places.push_back(plain.size());
    begin = at + mark.size();
  }
  if (places.empty()) return places;
  plain.append(text, begin);
  text = std::move(plain);
  return places;
}

jinja::Value name_of(const std::optional<TokenId>& token, const Tokenizer& tokenizer) {
  return token ? jinja::Value(tokenizer.token_bytes(*token)) : jinja::Value("");
}

// Messages are marked, and stay so.
void set(jinja::Variables& variables, const std::string& name, const jinja::Value& value) {
  if (name == "messages") return;
  std::erase_if(variables, [&](const auto& variable) { return variable.first == name; });
  variables.emplace_back(name, value);
}

}  // namespace

Result<std::vector<TokenId>> chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer,
                                         std::span<const ChatMessage> messages,
                                         const ChatPromptOptions& options) {
  TERN_ASSIGN(const std::string mark, free_mark(messages));
  const bool continues = options.continue_final_message;
  if (continues &&
      (messages.empty() || jinja::stripped(messages.back().content, "", true, true).empty())) {
    return Error{ErrorCode::kUsage, "expected a last message with content to continue, found none",
                 "conversation"};
  }
  jinja::List list;
  std::string content;  // of the last one, in the end
  for (const ChatMessage& message : messages) {
    content = marked(message.content, mark, tokenizer);
    const bool continued = continues && &message == &messages.back();
    jinja::Dict shown{
        {{"role", message.role}, {"content", continued ? content + end_mark(mark) : content}}};
    if (message.name) shown.set("name", marked(*message.name, mark, tokenizer));
    list.items.emplace_back(std::move(shown));
  }
  ChatInput input;
  input.now = options.now;
  input.variables = {{"messages", std::move(list)},
                     {"tools", jinja::Value()},  // as transformers gives them
                     {"documents", jinja::Value()},
                     {"add_generation_prompt", options.add_generation_prompt},
                     {"bos_token", name_of(tokenizer.bos(), tokenizer)},
                     {"eos_token", name_of(tokenizer.eos(), tokenizer)}};
  for (const auto& [name, value] : options.arguments) set(input.variables, name, value);
  TERN_ASSIGN(std::string text, chat.render(input));
  if (continues) TERN_TRY(cut_behind(text, content, mark));
  const std::vector<std::size_t> places = take_marks(text, mark);
  if (text.size() > options.most_bytes) {
    return Error{ErrorCode::kContextLength,
                 "a prompt of " + std::to_string(text.size()) +
                     " bytes exceeds the available context size; shorten it",
                 "chat template"};
  }
  return tokenizer.encode(
      text, {.add_bos = false, .add_eos = false, .parse_special = true, .no_names_at = places});
}

}  // namespace tern::text
