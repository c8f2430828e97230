// The body of /v1/completions, whose prompts are texts or tokens, one or several.
#include <utility>

#include "serve/prompts.h"
#include "serve/request_fields.h"
#include "text/utf8.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

constexpr std::size_t kMostPrompts = 128;
constexpr std::uint32_t kMaxTokens = 16;  // OpenAI's default here

std::string text_of(const std::vector<text::TokenId>& tokens, const text::Tokenizer& tokenizer) {
  return text::replace_invalid_utf8(tokenizer.decode(tokens));
}

}  // namespace

std::variant<CompletionRequest, ApiError> read_completion_request(
    const json::object& body, const ServedModel& model, const CompletionDefaults& defaults) {
  CompletionRequest request;
  Fields fields(body);
  read_common(fields, model, defaults, request);
  const auto wanted = max_tokens(fields, "max_tokens", defaults);
  request.names_length = wanted && wanted != kAllThatFit;
  if (wanted != kAllThatFit) {
    request.answer.max_tokens = wanted ? wanted : default_tokens(kMaxTokens, defaults);
  }
  if (const auto logprobs = fields.integer("logprobs", 0, 20)) {
    request.answer.logprobs = static_cast<std::uint32_t>(*logprobs);
  }
  const bool echo = fields.boolean("echo").value_or(false);
  request.prompt_logprobs = echo && request.answer.logprobs;
  if (request.prompt_logprobs && request.stream) {
    fields.fail({400,
                 "echo: not supported by this server beside logprobs in a stream; leave one of "
                 "the three out",
                 "invalid_request_error", "echo", "unsupported_parameter"});
  }
  fields.refuse({"suffix"});
  Prompts prompts = read_prompts(fields, "prompt", kMostPrompts, model);
  request.prompts = std::move(prompts.tokens);
  check_room(fields, request, "prompt", defaults);
  if (wanted == kAllThatFit) request.answer.max_tokens = default_tokens(std::nullopt, defaults);
  if (auto error = fields.error()) return std::move(*error);
  request.echoes.resize(request.prompts.size());
  for (std::size_t i = 0; echo && i < request.prompts.size(); ++i) {
    request.echoes[i] = prompts.texts[i] ? std::move(*prompts.texts[i])
                                         : text_of(request.prompts[i], model.tokenizer);
  }
  return request;
}

}  // namespace tern::serve
