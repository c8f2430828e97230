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

// The four lists of a completion, of this token alone. `offset` is where the token's text begins,
// in characters, and grows by it.
boost::json::object text_logprobs(const text::Tokenizer& tokenizer,
                                  std::span<const engine::TokenLogprob> found, std::size_t& offset);

// The lists of no token, of a chat or of a completion.
boost::json::object no_logprobs(bool chat);

}  // namespace tern::serve
