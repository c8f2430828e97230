#include <algorithm>
#include <boost/json/array.hpp>

#include "core/shortened.h"
#include "serve/completion_request.h"
#include "serve/fields.h"
#include "serve/request_fields.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

constexpr std::size_t kMostArguments = 64;
constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};

// Payloads of media-v1 and of OpenAI's form.
bool is_medium(std::string_view type) {
  for (const std::string_view kind : {"image", "audio", "video", "file"}) {
    if (type.find(kind) != std::string_view::npos) return true;
  }
  return false;
}

std::optional<ApiError> add_part(const json::value& part, const std::string& where,
                                 std::string& text) {
  if (!part.is_object()) {
    return ApiError{400, where + ": expected an object, found " + kind_of(part),
                    "invalid_request_error", where};
  }
  Fields fields(part.get_object(), where + ".");
  const auto type = fields.string("type");
  if (!type) fields.fail("type", "\"text\", found nothing");
  if (type && is_medium(*type)) {
    return ApiError{400, where + ": this model takes text only, found " + shortened(*type),
                    "invalid_request_error", where, "unsupported_media"};
  }
  if (type && *type != "text") fields.fail("type", "\"text\", found \"" + shortened(*type) + "\"");
  const auto found = fields.string("text");
  if (!found) fields.fail("text", "a string, found nothing");
  if (found) text += *found;
  fields.accept({"cache_control"});  // prefixes are found without
  return fields.error();
}

// An assistant may have said nothing.
std::optional<ApiError> read_content(Fields& fields, const std::string& where, bool may_lack,
                                     std::string& text) {
  const json::value* content = fields.find("content");
  if (content == nullptr) {
    if (may_lack) return std::nullopt;
    fields.fail("content", "a string or an array of parts, found nothing");
  } else if (content->is_string()) {
    text = std::string(content->get_string());
  } else if (content->is_array()) {
    const json::array& parts = content->get_array();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (auto error = add_part(parts[i], where + ".content[" + std::to_string(i) + "]", text)) {
        return error;
      }
    }
  } else {
    fields.fail("content", "a string or an array of parts, found " + kind_of(*content));
  }
  return std::nullopt;
}

std::optional<ApiError> read_message(const json::value& value, const std::string& where,
                                     text::ChatMessage& message) {
  if (!value.is_object()) {
    return ApiError{400, where + ": expected an object, found " + kind_of(value),
                    "invalid_request_error", where};
  }
  Fields fields(value.get_object(), where + ".");
  message.role = fields.string("role").value_or("");
  if (std::find(std::begin(kRoles), std::end(kRoles), message.role) == std::end(kRoles)) {
    fields.fail("role", "system, developer, user, assistant or tool, found \"" +
                            shortened(message.role) + "\"");
  }
  if (message.role == "developer") message.role = "system";  // its newer name
  // Before the content, which a call of tools may lack: it is not what is wrong.
  fields.refuse({"tool_calls", "function_call", "audio", "refusal", "tool_call_id", "annotations",
                 "reasoning_content", "reasoning"});
  const bool may_lack = message.role == "assistant";
  if (auto error = read_content(fields, where, may_lack, message.content)) return error;
  message.name = fields.string("name");
  const auto type = fields.string("type");
  if (type && *type != "text" && *type != "message") {
    fields.fail("type", "\"text\" or \"message\", found \"" + shortened(*type) + "\"");
  }
  return fields.error();
}

text::jinja::Value template_value(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return {};
    case json::kind::bool_: return value.get_bool();
    case json::kind::int64: return value.get_int64();
    case json::kind::uint64: return static_cast<double>(value.get_uint64());
    case json::kind::double_: return value.get_double();
    case json::kind::string: return std::string(value.get_string());
    case json::kind::array: {
      text::jinja::List list;
      for (const json::value& item : value.get_array()) list.items.push_back(template_value(item));
      return list;
    }
    case json::kind::object: break;
  }
  text::jinja::Dict dict;  // without a look for equal names: parse_json() has ruled them out
  for (const auto& [name, item] : value.get_object()) {
    dict.items.emplace_back(std::string(name), template_value(item));
  }
  return dict;
}

// Each message makes a token at least, or no template shows it: more than the context has are not
// even read.
std::variant<std::vector<text::ChatMessage>, ApiError> read_messages(const json::array& messages,
                                                                     std::uint32_t context) {
  if (messages.empty()) {
    return ApiError{400, "messages: expected at least one, found none", "invalid_request_error",
                    "messages"};
  }
  if (messages.size() > context) {
    return too_long("messages", "messages: a list of " + std::to_string(messages.size()) +
                                    " exceeds the available context size of " +
                                    std::to_string(context) + " tokens; shorten it");
  }
  std::vector<text::ChatMessage> read(messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (auto error = read_message(messages[i], "messages[" + std::to_string(i) + "]", read[i])) {
      return std::move(*error);
    }
  }
  return read;
}

}  // namespace

text::jinja::Variables template_arguments(Fields& fields) {
  text::jinja::Variables arguments;
  const json::object* found = fields.object("chat_template_kwargs");
  if (found == nullptr) return arguments;
  if (found->size() > kMostArguments) {
    fields.fail("chat_template_kwargs", "at most " + std::to_string(kMostArguments) +
                                            " names, found " + std::to_string(found->size()));
    return arguments;
  }
  for (const auto& [name, value] : *found) {
    arguments.emplace_back(std::string(name), template_value(value));
  }
  return arguments;
}

void read_prompt_end(Fields& fields, text::ChatPromptOptions& options) {
  const auto opens = fields.boolean("add_generation_prompt");
  options.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  options.add_generation_prompt = opens.value_or(!options.continue_final_message);
  if (options.continue_final_message && options.add_generation_prompt) {
    fields.fail("add_generation_prompt",
                "false beside continue_final_message, which goes on with an answer that has begun, "
                "found true");
  }
}

std::variant<std::vector<text::TokenId>, ApiError> read_chat_prompt(
    const json::array& messages, const ServedModel& model, text::ChatPromptOptions options) {
  auto read = read_messages(messages, model.context);
  if (auto* error = std::get_if<ApiError>(&read)) return std::move(*error);
  if (!model.chat_template) {
    return ApiError{400,
                    "this model has no chat template; use /v1/completions, or start the server "
                    "with --chat-template",
                    "invalid_request_error", "messages", "no_chat_template"};
  }
  std::size_t bytes = 0;
  for (const text::ChatMessage& message : std::get<std::vector<text::ChatMessage>>(read)) {
    bytes += message.content.size() + message.name.value_or("").size();
  }
  if (bytes > model.longest_text) {
    return too_long("messages", "messages: a text of " + std::to_string(bytes) +
                                    " bytes exceeds the available context size; shorten it");
  }
  options.most_bytes = model.longest_text;
  auto prompt = text::chat_prompt(*model.chat_template, model.tokenizer,
                                  std::get<std::vector<text::ChatMessage>>(read), options);
  if (prompt) return std::move(*prompt);
  ApiError error = api_error(prompt.error(), "messages");
  error.param = "messages";
  if (prompt.error().code == ErrorCode::kOutOfMemory) {  // a limit of templates
    error.status = 400;
    error.type = "invalid_request_error";
  }
  return error;
}

}  // namespace tern::serve
