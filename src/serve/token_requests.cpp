#include "serve/token_requests.h"

#include <boost/json/array.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/json.h"
#include "serve/completion_request.h"
#include "serve/fields.h"
#include "serve/request_fields.h"
#include "text/utf8.h"

namespace tern::serve {

namespace json = boost::json;

Answered parse_body(std::string_view body) {
  auto value = parse_json(body, {.bytes = body.size(), .depth = 32});  // which the server bounds
  if (!value) {
    return ApiError{400, "the body: " + value.error().to_string(), "invalid_request_error", "",
                    "invalid_json"};
  }
  if (!value->is_object()) {
    return ApiError{400, "expected a body that is an object, found " + kind_of(*value)};
  }
  return std::move(value->get_object());
}

Answered tokenize(const json::object& body, const ServedModel& model) {
  Fields fields(body);
  read_model(fields, model);
  const auto content = fields.string("content");
  if (!content) fields.fail("content", "a string, found nothing");
  if (content && content->size() > model.longest_text) {
    fields.fail("content", "at most " + std::to_string(model.longest_text) +
                               " bytes, which is all that the context may hold, found " +
                               std::to_string(content->size()));
  }
  text::EncodeOptions options;
  if (!fields.boolean("add_special").value_or(true)) options.add_bos = options.add_eos = false;
  options.parse_special = fields.boolean("parse_special").value_or(false);
  const bool pieces = fields.boolean("with_pieces").value_or(false);
  if (auto error = fields.error()) return std::move(*error);
  json::array tokens;
  for (const text::TokenId token : model.tokenizer.encode(*content, options)) {
    if (!pieces) {
      tokens.push_back(token);
      continue;
    }
    const std::string piece(model.tokenizer.token_bytes(token));
    tokens.push_back({{"id", token}, {"piece", text::replace_invalid_utf8(piece)}});
  }
  return json::object{{"tokens", std::move(tokens)}};
}

// As many tokens as /tokenize gives of any text: one a byte, BOS and EOS.
Answered detokenize(const json::object& body, const ServedModel& model) {
  const std::size_t most = model.longest_text + 2;
  Fields fields(body);
  read_model(fields, model);
  const json::array* given = fields.array("tokens");
  if (given == nullptr) fields.fail("tokens", "an array, found nothing");
  if (given != nullptr && given->size() > most) {
    fields.fail("tokens", "at most " + std::to_string(most) +
                              ", as many as /tokenize gives, found " +
                              std::to_string(given->size()));
  }
  const auto tokens = given == nullptr ? std::nullopt : read_tokens(*given, model.tokenizer);
  if (given != nullptr && !tokens) {
    fields.fail("tokens", "ids of 0 to " + std::to_string(model.tokenizer.vocab_size() - 1));
  }
  if (auto error = fields.error()) return std::move(*error);
  return json::object{
      {"content", text::replace_invalid_utf8(model.tokenizer.decode(*tokens, true))}};
}

Answered apply_template(const json::object& body, const ServedModel& model) {
  Fields fields(body);
  read_model(fields, model);
  const json::array* messages = fields.array("messages");
  if (messages == nullptr) fields.fail("messages", "an array, found nothing");
  text::ChatPromptOptions options;
  read_prompt_end(fields, options);
  options.arguments = template_arguments(fields);
  fields.refuse({"tools"});
  if (auto error = fields.error()) return std::move(*error);
  auto prompt = read_chat_prompt(*messages, model, options);
  if (auto* error = std::get_if<ApiError>(&prompt)) return std::move(*error);
  const auto& tokens = std::get<std::vector<text::TokenId>>(prompt);
  return json::object{{"prompt", text::replace_invalid_utf8(model.tokenizer.decode(tokens, true))}};
}

}  // namespace tern::serve
