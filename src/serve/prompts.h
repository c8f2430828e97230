// What a request is about, of completions and of embeddings: texts or tokens, one or several.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/fields.h"
#include "serve/served_model.h"
#include "text/tokenizer.h"

namespace tern::serve {

struct Prompts {
  std::vector<std::vector<text::TokenId>> tokens;
  std::vector<std::optional<std::string>> texts;  // the same, of those that came as text
};

// The field `name`: a text, tokens, or 1 to `most` of either, none of them empty; BOS and EOS of
// texts, where the tokenizer has them, unless `add_special_tokens` is false. What is wrong with it
// is told to `fields`.
Prompts read_prompts(Fields& fields, std::string_view name, std::size_t most,
                     const ServedModel& model);

}  // namespace tern::serve
