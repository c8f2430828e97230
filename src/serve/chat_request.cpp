// The body of /v1/chat/completions.
#include <boost/json/array.hpp>
#include <utility>

#include "serve/request_fields.h"

namespace tern::serve {

namespace json = boost::json;

std::variant<CompletionRequest, ApiError> read_chat_request(const json::object& body,
                                                            const ServedModel& model,
                                                            const CompletionDefaults& defaults) {
  CompletionRequest request;
  request.chat = true;
  Fields fields(body);
  read_common(fields, model, defaults, request);
  const auto newer = max_tokens(fields, "max_completion_tokens");
  const auto older = max_tokens(fields, "max_tokens");
  request.answer.max_tokens = newer ? newer : older ? older : defaults.max_tokens;
  const bool logprobs = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (logprobs) request.answer.logprobs = static_cast<std::uint32_t>(top.value_or(0));
  if (top && !logprobs) fields.fail("top_logprobs", "logprobs to be true beside it, found it not");
  fields.refuse({"tools", "tool_choice", "functions", "function_call", "response_format", "audio",
                 "prediction", "reasoning_effort", "verbosity", "web_search_options",
                 "chat_template_kwargs"});
  fields.accept({"parallel_tool_calls"});
  if (const json::array* wanted = fields.array("modalities")) {
    for (const json::value& kind : *wanted) {
      if (kind == json::value("text")) continue;
      fields.fail({400, "modalities: this model gives text only", "invalid_request_error",
                   "modalities", "unsupported_media"});
    }
  }
  const json::array* messages = fields.array("messages");
  if (messages == nullptr) fields.fail("messages", "an array, found nothing");
  if (auto error = fields.error()) return std::move(*error);
  auto prompt = read_chat_prompt(*messages, model);
  if (auto* error = std::get_if<ApiError>(&prompt)) return std::move(*error);
  request.prompts.push_back(std::move(std::get<std::vector<text::TokenId>>(prompt)));
  check_room(fields, request, "messages", defaults.context);
  if (auto error = fields.error()) return std::move(*error);
  return request;
}

}  // namespace tern::serve
