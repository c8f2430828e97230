// Log-probabilities in OpenAI's two forms.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/logprobs.h"
#include "text/tokenizer.h"

namespace tern::serve {

// {"token", "logprob", "bytes", "top_logprobs": [...]} of a chat. The first of `found` is the token
// itself, the others are the most probable.
boost::json::object chat_logprobs(const text::Tokenizer& tokenizer,
                                  std::span<const engine::TokenLogprob> found);

// The four lists of a completion, of one token alone, whose text begins at `offset`, in characters.
// `found` is empty where nothing stands before it: null, then.
boost::json::object text_logprobs(const text::Tokenizer& tokenizer, text::TokenId token,
                                  std::span<const engine::TokenLogprob> found, std::size_t offset);

// Where tokens begin in the text that a StreamDecoder makes of them, in characters: U+FFFD is one,
// for bytes that are none.
class TextOffset {
 public:
  // Of the next token, whose text is `bytes`; that goes on with a character: where this begins.
  std::size_t next(std::string_view bytes);
  // The text ends; what follows is another one behind it.
  void end();

 private:
  std::size_t whole_ = 0;
  std::string pending_;  // the beginning of a character
};

// Those of a whole answer, as the text of its reply at once: a tree of them would take several
// times the memory.
class LogprobsText {
 public:
  explicit LogprobsText(bool chat);

  // What `logprobs` of an event would be, with the lists of one token. Returns how many bytes it
  // adds.
  std::size_t add(const boost::json::object& token);
  // Writes the object behind `text`; its memory is free then.
  void move_to(std::string& text);

 private:
  struct List {
    const char* name;
    std::string items;
  };
  std::vector<List> lists_;
  const char* end_;
};

}  // namespace tern::serve
