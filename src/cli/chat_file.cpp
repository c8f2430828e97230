#include "cli/chat_file.h"

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "cli/streams.h"
#include "core/atomic_file.h"
#include "core/json.h"

namespace tern::cli {
namespace {

namespace json = boost::json;
using text::ChatMessage;

std::string kind_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
    default: return "a number";
  }
}

// A key of an object that has no others than these.
Result<const json::object*> object_of(const json::value& value, const std::string& where,
                                      std::span<const std::string_view> keys) {
  const auto wrong = [&](const std::string& found) {
    std::string names;
    for (const auto key : keys) names += (names.empty() ? "" : " and ") + std::string(key);
    return Error{ErrorCode::kMalformed, "expected an object with " + names + ", found " + found,
                 where};
  };
  if (!value.is_object()) return wrong(kind_of(value));
  const json::object& object = value.get_object();
  for (const auto key : keys) {
    if (!object.contains(key)) return wrong("no " + std::string(key));
  }
  for (const auto& member : object) {
    if (std::find(keys.begin(), keys.end(), std::string_view(member.key())) == keys.end()) {
      return wrong("also " + std::string(member.key()));
    }
  }
  return &object;
}

Result<std::string> string_of(const json::value& value, const std::string& where) {
  if (value.is_string()) return std::string(value.get_string());
  return Error{ErrorCode::kMalformed, "expected a string, found " + kind_of(value), where};
}

Result<ChatMessage> message_of(const json::value& value, const std::string& where,
                               const std::vector<ChatMessage>& before) {
  static constexpr std::array<std::string_view, 2> kKeys{"role", "content"};
  TERN_ASSIGN(const json::object* object, object_of(value, where, kKeys));
  ChatMessage message;
  TERN_ASSIGN(message.role, string_of(object->at("role"), where + ".role"));
  TERN_ASSIGN(message.content, string_of(object->at("content"), where + ".content"));
  const bool after_user = !before.empty() && before.back().role == "user";
  if (message.role == (after_user ? "assistant" : "user")) return message;
  if (before.empty() && message.role == "system") return message;
  const std::string expected = after_user       ? "\"assistant\""
                               : before.empty() ? "\"system\" or \"user\""
                                                : "\"user\"";
  return Error{ErrorCode::kMalformed, "expected " + expected + ", found \"" + message.role + "\"",
               where + ".role"};
}

Result<std::vector<ChatMessage>> parse(std::string_view source) {
  TERN_ASSIGN(const json::value document, parse_json(source));
  static constexpr std::array<std::string_view, 1> kKeys{"messages"};
  TERN_ASSIGN(const json::object* object, object_of(document, "document", kKeys));
  const json::value& list = object->at("messages");
  if (!list.is_array()) {
    return Error{ErrorCode::kMalformed, "expected an array, found " + kind_of(list), "messages"};
  }
  std::vector<ChatMessage> messages;
  for (const json::value& value : list.get_array()) {
    const std::string where = "messages[" + std::to_string(messages.size()) + "]";
    TERN_ASSIGN(ChatMessage message, message_of(value, where, messages));
    messages.push_back(std::move(message));
  }
  return messages;
}

}  // namespace

Result<std::vector<ChatMessage>> load_chat(const std::string& path) {
  TERN_ASSIGN(const std::string source, read_all(path == "-" ? "./-" : path));
  auto messages = parse(source);
  if (!messages) return in_context(path, std::move(messages.error()));
  return messages;
}

Result<void> save_chat(const std::string& path, std::span<const ChatMessage> messages) {
  json::array list;
  for (const ChatMessage& message : messages) {
    list.push_back(json::object{{"role", message.role}, {"content", message.content}});
  }
  const std::string text = json::serialize(json::object{{"messages", std::move(list)}}) + "\n";
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  TERN_TRY(file.write(std::as_bytes(std::span(text))));
  return file.commit();
}

}  // namespace tern::cli
