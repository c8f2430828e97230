// How a run of plain text, without names of tokens in it, becomes tokens: one class for each
// tokenizer.ggml.model. Immutable once built; may be used by any number of threads at once.
#pragma once

#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/token.h"

namespace tern::text {

class TextModel {
 public:
  TextModel() = default;
  TextModel(const TextModel&) = delete;
  TextModel& operator=(const TextModel&) = delete;
  virtual ~TextModel() = default;

  // Appends the tokens of `text`. `bpe` is the caller's, so that its buffers serve many runs.
  virtual void encode(std::string_view text, BpeEncoder& bpe, std::vector<TokenId>& out) const = 0;
};

}  // namespace tern::text
