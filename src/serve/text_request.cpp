// The body of /v1/completions, whose prompts are texts or tokens, one or several.
#include <utility>

#include "serve/prompts.h"
#include "serve/request_fields.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

constexpr std::size_t kMostPrompts = 64;
constexpr std::uint32_t kMaxTokens = 16;  // OpenAI's default here

}  // namespace

std::variant<CompletionRequest, ApiError> read_completion_request(
    const json::object& body, const ServedModel& model, const CompletionDefaults& defaults) {
  CompletionRequest request;
  Fields fields(body);
  read_common(fields, model, defaults, request);
  request.answer.max_tokens = max_tokens(fields, "max_tokens").value_or(kMaxTokens);
  if (const auto logprobs = fields.integer("logprobs", 0, 20)) {
    request.answer.logprobs = static_cast<std::uint32_t>(*logprobs);
  }
  const bool echo = fields.boolean("echo").value_or(false);
  if (echo && request.answer.logprobs) {
    fields.fail({400, "echo: not supported by this server beside logprobs; leave one of them out",
                 "invalid_request_error", "echo", "unsupported_parameter"});
  }
  fields.refuse({"suffix"});
  if (const auto best_of = fields.integer("best_of", 1, 16); best_of.value_or(1) != 1) {
    fields.refuse({"best_of"});
  }
  text::EncodeOptions options;
  if (const auto special = fields.boolean("add_special_tokens"); special && !*special) {
    options = {.add_bos = false, .add_eos = false};
  }
  Prompts prompts = read_prompts(fields, "prompt", kMostPrompts, options, model);
  request.prompts = std::move(prompts.tokens);
  request.echoes = std::move(prompts.texts);
  check_room(fields, request, "prompt", defaults);
  if (auto error = fields.error()) return std::move(*error);
  if (!echo) request.echoes.assign(request.prompts.size(), "");
  return request;
}

}  // namespace tern::serve
