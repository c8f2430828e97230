// SentencePiece's BPE with byte fallback, tokenizer.ggml.model "llama": the characters of a text
// are symbols; two neighbours become one where the vocabulary has a token of their bytes, that of
// the highest score first, the leftmost of equals. A character that remains and is no token becomes
// the tokens of its bytes.
//
// This is byte-pair encoding whose merges are known beforehand: each way to cut a token in two that
// are tokens or characters is a merge, and its rank follows from the score.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "core/keyed_hash.h"
#include "core/result.h"
#include "text/byte_tokens.h"
#include "text/text_model.h"
#include "text/token_index.h"
#include "text/vocabulary.h"

namespace tern::text {

class SentencePieceBpe : public TextModel {
 public:
  // `tokens` and `words`, the normal tokens by their bytes, outlive the model. Errors: kMalformed
  // where one of the 256 byte tokens is missing or there twice, kUnsupported for very long tokens.
  static Result<std::unique_ptr<const TextModel>> create(const std::vector<Token>& tokens,
                                                         const TokenIndex& words);

  void encode(std::string_view text, BpeEncoder& bpe, std::vector<TokenId>& out) const override;

 private:
  SentencePieceBpe(const std::vector<Token>& tokens, const TokenIndex& words)
      : tokens_(tokens), words_(words) {}

  Result<void> index_merges();
  void add_merges_of(TokenId token, std::uint32_t rank, std::vector<Merge>& merges);
  std::optional<TokenId> symbol_of(std::string_view part);

  const std::vector<Token>& tokens_;
  const TokenIndex& words_;
  ByteTokens bytes_;
  MergeTable merges_{0};
  // Characters that are part of tokens but none themselves: symbols from tokens_.size() on.
  std::unordered_map<std::string_view, TokenId, KeyedHash> tokenless_;
  std::vector<std::string_view> tokenless_bytes_;
};

}  // namespace tern::text
