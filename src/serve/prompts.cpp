#include "serve/prompts.h"

#include <boost/json/array.hpp>
#include <utility>

#include "serve/request_fields.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

class PromptReader {
 public:
  PromptReader(Fields& fields, std::string_view name, std::size_t most,
               const text::EncodeOptions& options, const ServedModel& model)
      : fields_(fields), name_(name), most_(most), options_(options), model_(model) {}

  Prompts read(const json::value& value) {
    add_all(value);
    return std::move(found_);
  }

 private:
  void add_all(const json::value& value) {
    if (!value.is_array()) return add(value);
    const json::array& items = value.get_array();
    if (!items.empty() && items[0].is_number()) return add(value);
    if (items.empty() || items.size() > most_) {
      return fail(std::to_string(items.size()) + " " + std::string(name_) + "s");
    }
    for (const json::value& item : items) add(item);
  }
  void add(const json::value& prompt) {
    if (prompt.is_string()) {
      add_text(std::string(prompt.get_string()));
    } else if (prompt.is_array()) {
      add_tokens(prompt.get_array());
    } else {
      fail(kind_of(prompt));
    }
  }
  void add_text(std::string text) {
    if (text.size() > model_.longest_text) {
      return fields_.fail(too_long(name_, std::string(name_) + ": a text of " +
                                              std::to_string(text.size()) +
                                              " bytes exceeds the available context size; "
                                              "shorten it"));
    }
    auto tokens = model_.tokenizer.encode(text, options_);
    if (tokens.empty()) return fail("an empty one");
    found_.tokens.push_back(std::move(tokens));
    found_.texts.push_back(std::move(text));
  }
  void add_tokens(const json::array& items) {
    if (items.size() > model_.context) {
      return fields_.fail(
          too_long(name_, std::string(name_) + "[" + std::to_string(found_.tokens.size()) +
                              "]: " + std::to_string(items.size()) +
                              " tokens, but this model's maximum context length is " +
                              std::to_string(model_.context) + " tokens; shorten it"));
    }
    auto tokens = read_tokens(items, model_.tokenizer);
    if (!tokens) {
      return fail("a token that is none of 0 to " +
                  std::to_string(model_.tokenizer.vocab_size() - 1));
    }
    if (tokens->empty()) return fail("an empty one");
    found_.texts.push_back(std::nullopt);
    found_.tokens.push_back(std::move(*tokens));
  }
  void fail(const std::string& found) {
    fields_.fail(name_,
                 "a text, tokens, or 1 to " + std::to_string(most_) + " of them, found " + found);
  }

  Fields& fields_;
  const std::string_view name_;
  const std::size_t most_;
  const text::EncodeOptions options_;
  const ServedModel& model_;
  Prompts found_;
};

}  // namespace

Prompts read_prompts(Fields& fields, std::string_view name, std::size_t most,
                     const ServedModel& model) {
  text::EncodeOptions options;
  if (!fields.boolean("add_special_tokens").value_or(true)) {
    options = {.add_bos = false, .add_eos = false};
  }
  if (const json::value* value = fields.find(name)) {
    return PromptReader(fields, name, most, options, model).read(*value);
  }
  fields.fail(name, "a text or tokens, found nothing");
  return {};
}

}  // namespace tern::serve
