// From texts to vectors: the hidden states of a text's tokens, pooled into one and brought to
// length 1, as docs/numbers.md defines it.
//
// An Embedder belongs to one thread at a time; its model outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "arch/decoder_config.h"
#include "core/result.h"
#include "engine/stepper.h"
#include "format/kv_type.h"
#include "model/model.h"
#include "text/token.h"

namespace tern::engine {

struct EmbedderOptions {
  arch::Pooling pooling = arch::Pooling::kLast;
  bool normalize = true;      // to length 1
  std::uint32_t context = 0;  // most tokens of a text; 0: what the model was trained for
  std::uint32_t rows = 256;   // tokens computed at once; the results do not depend on it
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  format::KvType kv_type = format::KvType::kF16;
};

class Embedder {
 public:
  using Tokens = std::vector<text::TokenId>;
  // Receives the vector of each text, in their order. Its error ends the work.
  using Sink = std::function<Result<void>(std::size_t text, std::span<const float> embedding)>;

  // Errors: kUsage for no rows and a context beyond the model's, kOutOfMemory.
  static Result<Embedder> create(const model::Model& model, const EmbedderOptions& options);

  // Texts share steps, short ones whole; which do changes no vector. Returns how many texts were
  // taken: fewer than given only where `stop` was requested. Errors, naming the text: kUsage for
  // one without tokens or with one outside of the vocabulary, kContextLength, both before any is
  // computed; kNumeric; those of the sink.
  Result<std::size_t> embed(std::span<const Tokens> texts, const Sink& sink,
                            const std::stop_token& stop = {});

 private:
  class Text;
  Embedder(const EmbedderOptions& options, std::unique_ptr<Stepper> stepper)
      : options_(options), stepper_(std::move(stepper)) {}

  Result<void> check(std::span<const Tokens> texts) const;
  // Takes further texts and computes one step.
  Result<void> step(std::span<const Tokens> texts, std::size_t& taken,
                    std::vector<std::unique_ptr<Text>>& running);

  EmbedderOptions options_;
  std::unique_ptr<Stepper> stepper_;
};

}  // namespace tern::engine
