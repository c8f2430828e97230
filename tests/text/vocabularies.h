// Small vocabularies for tests.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace tern::text {

// The 256 bytes, the id of each being its value.
inline Vocabulary byte_vocabulary(std::string pre_tokenizer = "gpt-2") {
  Vocabulary v;
  for (int byte = 0; byte < 256; ++byte) {
    v.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kNormal});
  }
  v.pre_tokenizer = std::move(pre_tokenizer);
  return v;
}

// The tokens of its bytes in such a vocabulary.
inline std::vector<TokenId> ids_of_bytes(std::string_view text) {
  std::vector<TokenId> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

inline TokenId add_token(Vocabulary& v, std::string_view bytes,
                         TokenKind kind = TokenKind::kNormal) {
  v.tokens.push_back({std::string(bytes), kind});
  return static_cast<TokenId>(v.tokens.size() - 1);
}

inline TokenId id_of(const Vocabulary& v, std::string_view bytes) {
  for (std::size_t i = 0; i < v.tokens.size(); ++i) {
    if (v.tokens[i].bytes == bytes) return static_cast<TokenId>(i);
  }
  return -1;
}

// A merge with the next free rank; the token that it makes is added where it is new.
inline TokenId add_merge(Vocabulary& v, std::string_view left, std::string_view right) {
  const std::string joined = std::string(left) + std::string(right);
  TokenId result = id_of(v, joined);
  if (result < 0) result = add_token(v, joined);
  v.merges.push_back(
      {id_of(v, left), id_of(v, right), result, static_cast<std::uint32_t>(v.merges.size())});
  return result;
}

// SentencePiece: the 256 byte tokens, the id of each being its value; what is added has no score.
inline Vocabulary sentence_piece_vocabulary() {
  Vocabulary v;
  v.model = TokenizerModel::kSentencePiece;
  v.add_bos = false;
  for (int byte = 0; byte < 256; ++byte) {
    v.tokens.push_back({std::string(1, static_cast<char>(byte)), TokenKind::kByte});
  }
  return v;
}

inline TokenId add_piece(Vocabulary& v, std::string_view bytes, float score) {
  v.tokens.push_back({std::string(bytes), TokenKind::kNormal, score});
  return static_cast<TokenId>(v.tokens.size() - 1);
}

}  // namespace tern::text
