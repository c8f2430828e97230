// Log-probabilities in OpenAI's two forms.
#pragma once

#include <boost/json/object.hpp>
#include <span>

#include "engine/logprobs.h"
#include "text/tokenizer.h"

namespace tern::serve {

// {"token", "logprob", "bytes", "top_logprobs": [...]} of a chat. The first of `found` is the token
// itself, the others are the most probable.
boost::json::object chat_logprobs(const text::Tokenizer& tokenizer,
                                  std::span<const engine::TokenLogprob> found);

// The four lists of a completion, empty.
boost::json::object no_text_logprobs();
// The lists of a completion, of this token alone; the same is added to `columns`, which has those
// of all. `offset` is where the token's text begins, in characters, and grows by it.
boost::json::object text_logprobs(const text::Tokenizer& tokenizer,
                                  std::span<const engine::TokenLogprob> found,
                                  boost::json::object& columns, std::size_t& offset);

}  // namespace tern::serve
