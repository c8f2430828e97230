#include "text/byte_tokens.h"

#include <algorithm>

#include "text/vocabulary_error.h"

namespace tern::text {

bool has_byte_tokens(const std::vector<Token>& tokens) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [](const Token& token) { return token.kind == TokenKind::kByte; });
}

Result<ByteTokens> ByteTokens::create(const std::vector<Token>& tokens) {
  ByteTokens made;
  made.tokens_.fill(-1);
  const auto malformed = [](std::string_view byte, const char* found) {
    return vocabulary_error(ErrorCode::kMalformed, "tokens",
                            "expected one byte token for each of the 256 bytes, found " +
                                std::string(found) + " for " + format::in_quotes(byte));
  };
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].kind != TokenKind::kByte) continue;
    TokenId& token = made.tokens_[static_cast<unsigned char>(tokens[i].bytes[0])];
    if (token >= 0) return malformed(tokens[i].bytes, "another");
    token = static_cast<TokenId>(i);
  }
  for (std::size_t value = 0; value < made.tokens_.size(); ++value) {
    const char byte = static_cast<char>(value);
    if (made.tokens_[value] < 0) return malformed({&byte, 1}, "none");
  }
  return made;
}

}  // namespace tern::text
