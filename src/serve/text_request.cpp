// The body of /v1/completions, whose prompts are texts or tokens, one or several.
#include <boost/json/array.hpp>
#include <utility>

#include "serve/request_fields.h"
#include "text/utf8.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

constexpr std::size_t kMostPrompts = 64;
constexpr std::uint32_t kMaxTokens = 16;  // OpenAI's default here

class PromptReader {
 public:
  PromptReader(Fields& fields, const ServedModel& model, CompletionRequest& request)
      : fields_(fields), model_(model), request_(request) {
    if (const auto special = fields.boolean("add_special_tokens"); special && !*special) {
      options_ = {.add_bos = false, .add_eos = false};
    }
  }

  void read(const json::value& prompt) {
    if (!prompt.is_array()) return add(prompt);
    const json::array& items = prompt.get_array();
    if (!items.empty() && items[0].is_number()) return add(prompt);
    if (items.empty() || items.size() > kMostPrompts) {
      return fail(std::to_string(items.size()) + " prompts");
    }
    for (const json::value& item : items) add(item);
  }

 private:
  void add(const json::value& prompt) {
    if (prompt.is_string()) {
      const std::string text(prompt.get_string());
      if (text.size() > model_.longest_text) {
        return fail("a text of " + std::to_string(text.size()) +
                    " bytes, more than the context can hold");
      }
      request_.prompts.push_back(model_.tokenizer.encode(text, options_));
      request_.echoes.push_back(text);
      if (request_.prompts.back().empty()) fail("an empty one");
    } else if (prompt.is_array()) {
      add_tokens(prompt.get_array());
    } else {
      fail(kind_of(prompt));
    }
  }
  void add_tokens(const json::array& items) {
    auto tokens = read_tokens(items, model_.tokenizer);
    if (!tokens) {
      return fail("a token that is none of 0 to " +
                  std::to_string(model_.tokenizer.vocab_size() - 1));
    }
    if (tokens->empty()) return fail("an empty one");
    request_.echoes.push_back(text::replace_invalid_utf8(model_.tokenizer.decode(*tokens)));
    request_.prompts.push_back(std::move(*tokens));
  }
  void fail(const std::string& found) {
    fields_.fail("prompt", "a text, tokens, or 1 to " + std::to_string(kMostPrompts) +
                               " of them, found " + found);
  }

  Fields& fields_;
  const ServedModel& model_;
  CompletionRequest& request_;
  text::EncodeOptions options_;
};

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
  PromptReader reader(fields, model, request);
  if (const json::value* prompt = fields.find("prompt")) {
    reader.read(*prompt);
  } else {
    fields.fail("prompt", "a text or tokens, found nothing");
  }
  check_room(fields, request, "prompt", defaults);
  if (auto error = fields.error()) return std::move(*error);
  if (!echo) request.echoes.assign(request.prompts.size(), "");
  return request;
}

}  // namespace tern::serve
