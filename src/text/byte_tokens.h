// The tokens of the 256 bytes in a SentencePiece vocabulary: what a character becomes that has no
// token of its own.
#pragma once

#include <array>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/vocabulary.h"

namespace tern::text {

// Whether there is any.
bool has_byte_tokens(const std::vector<Token>& tokens);

class ByteTokens {
 public:
  // Errors: kMalformed where one of the 256 is missing or there twice.
  static Result<ByteTokens> create(const std::vector<Token>& tokens);
  void append(std::string_view bytes, std::vector<TokenId>& out) const {
    for (const char byte : bytes) out.push_back(tokens_[static_cast<unsigned char>(byte)]);
  }

 private:
  std::array<TokenId, 256> tokens_{};
};

}  // namespace tern::text
