// Turns tokens into text as they come, and never emits half a character: bytes wait until their
// UTF-8 sequence is whole. What can no longer become one is replaced by U+FFFD, one for each
// maximal subpart (Unicode, section 3.9). All pieces together equal replace_invalid_utf8() of
// Tokenizer::decode().
//
// A text that continues a prompt does not begin with a space to drop (Tokenizer::text_of) unless
// the prompt ends with a special token: `before` are the tokens that it continues.
//
// One per sequence, used by one thread at a time; the Tokenizer must outlive it.
#pragma once

#include <span>
#include <string>

#include "text/token.h"
#include "text/tokenizer.h"

namespace tern::text {

class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool render_special = false,
                         std::span<const TokenId> before = {})
      : tokenizer_(&tokenizer),
        render_special_(render_special),
        begins_(before.empty() || tokenizer.is_special(before.back())) {}

  // The text that this token completes; often empty for a part of a character.
  std::string push(TokenId token);
  // The end: what still waits becomes U+FFFD. The decoder is ready for another text.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool render_special_;
  bool begins_;
  std::string pending_;  // the beginning of one UTF-8 sequence, at most 3 bytes
};

}  // namespace tern::text
