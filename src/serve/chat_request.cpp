// The body of /v1/chat/completions.
#include <algorithm>
#include <boost/json/array.hpp>
#include <utility>

#include "serve/request_fields.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

// {"type": "text"} asks for nothing else.
void read_format(Fields& fields) {
  const json::object* format = fields.object("response_format");
  if (format == nullptr) return;
  const json::value* type = format->if_contains("type");
  const auto asks = [](const auto& member) {
    return member.key() != "type" && !member.value().is_null();
  };
  const bool asks_more = std::any_of(format->begin(), format->end(), asks);
  if (!asks_more && type != nullptr && *type == json::value("text")) return;
  fields.fail({400, "response_format: not supported by this server but for text; leave it out",
               "invalid_request_error", "response_format", "unsupported_parameter"});
}

// The value of a field that stands for what is done without it.
void refuse_but(Fields& fields, std::string_view name,
                std::initializer_list<std::string_view> neutral) {
  const json::value* found = fields.find(name);
  const std::string_view choice =
      found != nullptr && found->is_string() ? std::string_view(found->get_string()) : "";
  if (std::find(neutral.begin(), neutral.end(), choice) == neutral.end()) fields.refuse({name});
}

}  // namespace

std::variant<CompletionRequest, ApiError> read_chat_request(const json::object& body,
                                                            const ServedModel& model,
                                                            const CompletionDefaults& defaults) {
  CompletionRequest request;
  request.chat = true;
  Fields fields(body);
  read_common(fields, model, defaults, request);
  const auto newer = max_tokens(fields, "max_completion_tokens", defaults);
  const auto older = max_tokens(fields, "max_tokens", defaults);
  const auto length = newer ? newer : older;
  request.names_length = length && length != kAllThatFit;
  if (request.names_length) request.answer.max_tokens = length;
  const bool logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = static_cast<std::uint32_t>(fields.integer("top_logprobs", 0, 20).value_or(0));
  if (logprobs) {
    request.answer.logprobs = top;
  } else if (top > 0) {
    fields.fail("top_logprobs", "logprobs to be true beside it, found it not");
  }
  fields.refuse({"tools", "functions"});
  refuse_but(fields, "tool_choice", {"none", "auto"});  // without tools none is called
  refuse_but(fields, "function_call", {"none", "auto"});
  refuse_but(fields, "verbosity", {"medium"});  // OpenAI's default
  fields.refuse({"audio", "prediction", "reasoning_effort", "web_search_options"});
  fields.accept_only({{"echo", false}, {"add_special_tokens", false}});
  read_format(fields);
  fields.accept({"parallel_tool_calls"});
  if (const json::array* wanted = fields.array("modalities")) {
    for (const json::value& kind : *wanted) {
      if (kind == json::value("text")) continue;
      fields.fail({400, "modalities: this model gives text only", "invalid_request_error",
                   "modalities", "unsupported_media"});
    }
  }
  text::ChatPromptOptions options;
  options.now = std::chrono::sys_seconds(std::chrono::seconds(defaults.created));
  read_prompt_end(fields, options);
  options.arguments = template_arguments(fields);
  const json::array* messages = fields.array("messages");
  if (messages == nullptr) fields.fail("messages", "an array, found nothing");
  if (auto error = fields.error()) return std::move(*error);
  auto prompt = read_chat_prompt(*messages, model, options);
  if (auto* error = std::get_if<ApiError>(&prompt)) return std::move(*error);
  request.prompts.push_back(std::move(std::get<std::vector<text::TokenId>>(prompt)));
  if (request.prompts[0].empty()) {
    return ApiError{400, "messages: expected some that the template shows, found none",
                    "invalid_request_error", "messages"};
  }
  request.answer.stops.insert(request.answer.stops.end(), model.chat_stops.begin(),
                              model.chat_stops.end());
  const auto otherwise = default_tokens(length ? std::nullopt : defaults.max_tokens, defaults);
  if (!request.names_length && otherwise) {  // which the client did not ask for
    const auto used = static_cast<std::uint32_t>(request.prompts[0].size());
    const std::uint32_t room = defaults.context - std::min(defaults.context, used);
    request.answer.max_tokens = std::min(*otherwise, std::max(room, 1u));
  }
  check_room(fields, request, "messages", defaults);
  if (auto error = fields.error()) return std::move(*error);
  return request;
}

}  // namespace tern::serve
