// Byte-level BPE, tokenizer.ggml.model "gpt2": a pre-tokenizer cuts the text, each byte of a
// pre-token is a token, and pairs merge by the ranks of the vocabulary.
#pragma once

#include <array>
#include <memory>

#include "core/result.h"
#include "text/pre_tokenizer.h"
#include "text/text_model.h"
#include "text/token_index.h"
#include "text/vocabulary.h"

namespace tern::text {

class ByteLevelBpe : public TextModel {
 public:
  // `words` has the normal tokens of the vocabulary by their bytes and outlives the model. Errors:
  // kMalformed where a merge makes no token, or where the vocabulary lacks a byte and U+FFFD, too.
  static Result<std::unique_ptr<const TextModel>> create(const PreTokenizer& pre_tokenizer,
                                                         const std::vector<Token>& tokens,
                                                         const std::vector<Merge>& merges,
                                                         const TokenIndex& words);

  void encode(std::string_view text, BpeEncoder& bpe, std::vector<TokenId>& out) const override;

 private:
  ByteLevelBpe(const PreTokenizer& pre_tokenizer, const TokenIndex& words, std::size_t merges)
      : pre_tokenizer_(pre_tokenizer), words_(words), merges_(merges) {}

  Result<void> index_bytes();
  Result<void> index_merges(const std::vector<Token>& tokens, const std::vector<Merge>& merges);

  const PreTokenizer& pre_tokenizer_;
  const TokenIndex& words_;
  MergeTable merges_;
  // The tokens of each byte: its own, or those of U+FFFD. Few vocabularies lack one.
  std::array<std::vector<TokenId>, 256> byte_tokens_;
};

}  // namespace tern::text
