// What a StreamDecoder promises of any tokens: each piece is whole UTF-8, and all pieces together
// are the text of Tokenizer::decode().
#pragma once

#include <span>
#include <string>

#include "check.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tern::fuzz {

inline void require_streaming(const text::Tokenizer& tokenizer,
                              std::span<const text::TokenId> ids) {
  text::StreamDecoder decoder(tokenizer, true);
  std::string streamed;
  for (const text::TokenId id : ids) {
    const std::string piece = decoder.push(id);
    require(text::replace_invalid_utf8(piece) == piece);
    streamed += piece;
  }
  streamed += decoder.finish();
  require(streamed == text::replace_invalid_utf8(tokenizer.decode(ids, true)));
}

}  // namespace tern::fuzz
