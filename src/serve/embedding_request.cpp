#include "serve/embedding_request.h"

#include <utility>

#include "core/shortened.h"
#include "serve/prompts.h"
#include "serve/request_fields.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

constexpr std::size_t kMostInputs = 2048;  // OpenAI's limit

void check_lengths(Fields& fields, const Prompts& inputs, std::uint32_t context) {
  for (std::size_t i = 0; i < inputs.tokens.size(); ++i) {
    const std::size_t tokens = inputs.tokens[i].size();
    if (tokens <= context) continue;
    fields.fail(too_long("input", "input[" + std::to_string(i) + "]: " + std::to_string(tokens) +
                                      " tokens, but this model's maximum context length is " +
                                      std::to_string(context) +
                                      " tokens; shorten the text or divide it"));
  }
}

bool read_encoding(Fields& fields) {
  const auto encoding = fields.string("encoding_format");
  if (encoding && *encoding != "float" && *encoding != "base64") {
    fields.fail("encoding_format", "float or base64, found \"" + shortened(*encoding) + "\"");
  }
  return encoding == "base64";
}

}  // namespace

std::variant<EmbeddingRequest, ApiError> read_embedding_request(
    const json::object& body, const ServedModel& model, const CompletionDefaults& defaults) {
  if (!model.pooling) {
    return ApiError{400,
                    "this model is no embedding model: its file does not say how hidden states "
                    "become a vector; ask one that does, or start the server with --pooling",
                    "invalid_request_error", "model", "no_embeddings"};
  }
  EmbeddingRequest request;
  Fields fields(body);
  read_model(fields, model);
  const std::uint32_t width = model.model.config().hidden;
  request.dimensions =
      static_cast<std::uint32_t>(fields.integer("dimensions", 1, width).value_or(width));
  request.base64 = read_encoding(fields);
  request.priority = read_priority(fields, defaults);
  request.deadline = read_deadline(fields, defaults);
  fields.accept({"user"});
  Prompts inputs = read_prompts(fields, "input", kMostInputs, model);
  check_lengths(fields, inputs, defaults.context);
  if (auto error = fields.error()) return std::move(*error);
  request.inputs = std::move(inputs.tokens);
  return request;
}

}  // namespace tern::serve
