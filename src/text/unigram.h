// SentencePiece's unigram model, tokenizer.ggml.model "t5": of all ways to cut a text into tokens,
// the one whose scores have the largest sum. A character that no token begins with becomes the
// tokens of its bytes, or, in a vocabulary without them, the unknown token, of which neighbours are
// one.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/result.h"
#include "text/byte_tokens.h"
#include "text/text_model.h"
#include "text/token_trie.h"
#include "text/vocabulary.h"

namespace tern::text {

class Unigram : public TextModel {
 public:
  // `tokens` outlives the model. Errors: kMalformed where there are neither all 256 byte tokens nor
  // an unknown token, kUnsupported for very long tokens.
  static Result<std::unique_ptr<const TextModel>> create(const std::vector<Token>& tokens,
                                                         std::optional<TokenId> unknown);

  void encode(std::string_view text, BpeEncoder& bpe, std::vector<TokenId>& out) const override;

 private:
  static constexpr TokenId kNoToken = -1;
  // The best way to the end of a piece.
  struct Node {
    float sum = 0.0f;
    TokenId token = kNoToken;
    std::size_t begin = 0;
    bool reached = false;
  };

  explicit Unigram(const std::vector<Token>& tokens) : tokens_(tokens) {}

  Result<void> index_tokens();
  float score_of(TokenId token) const;
  std::vector<Node> best_ends(std::string_view text) const;  // by end
  void append(std::string_view piece, TokenId token, std::vector<TokenId>& out) const;

  const std::vector<Token>& tokens_;
  TokenTrie pieces_;  // normal and user-defined tokens
  float unknown_score_ = 0.0f;
  std::optional<ByteTokens> bytes_;
  TokenId unknown_ = 0;
};

}  // namespace tern::text
