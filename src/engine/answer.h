// The answer to a prompt: which token comes next, what text it makes, and what ends it.
//
// An Answer holds tokens, never logits, keys or values: it looks at a sequence that has computed
// its tokens, in whatever steps and in whatever company. So it outlives the sequence, and goes on
// with another one that has computed them again. One thread at a time; the tokenizer outlives it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "engine/logprobs.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/stop_scanner.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

namespace tern::engine {

enum class EndReason {
  kEndOfSequence,  // the model said so
  kStopString,
  kMaxTokens,
  kContextFull,
  kCancelled,
  kDeadline,
  kPooled,  // no answer was asked for, but the states of the prompt
};

// "end_of_sequence", "stop_string", "max_tokens", "context_full", "cancelled", "deadline",
// "pooled".
std::string_view name(EndReason reason);

// Of an empty prompt.
Error no_prompt();

// How many tokens there are: an embedding may be padded beyond the vocabulary, and those rows are
// none.
std::uint32_t known_tokens(const model::Model& model, const text::Tokenizer& tokenizer);

struct AnswerOptions {
  SamplingOptions sampling;
  std::optional<std::uint32_t> max_tokens;  // else until the context is full
  std::uint32_t min_tokens = 0;             // before that no stop string and no token ends it
  std::vector<std::string> stops;
  std::size_t shown_stops = 0;  // of `stops`, the first so many are part of the text they end
  std::vector<text::TokenId> stop_tokens = {};  // end it as the model's own do, ignore_end or not
  bool ignore_end = false;                      // go on after an end-of-generation token
  std::optional<std::uint32_t> logprobs;  // of each token, and of so many others: costs all logits
};

class Answer {
 public:
  // `prompt` is all that stands before the answer, at least one token. Errors: those of
  // Sampler::create; kUsage for an empty prompt.
  static Result<Answer> create(const text::Tokenizer& tokenizer,
                               std::span<const text::TokenId> prompt, AnswerOptions options);

  // The prompt and the answer so far: what a sequence holds before next() looks at it.
  std::span<const text::TokenId> tokens() const { return tokens_; }
  std::span<const text::TokenId> generated() const {
    return std::span(tokens_).subspan(prompt_tokens_);
  }
  std::size_t prompt_tokens() const { return prompt_tokens_; }

  // What next() needs to be asked for with the last of tokens(): no value for all logits. Its spans
  // hold until next().
  std::optional<TopLogits> wanted(const model::Model& model);

  struct Piece {
    std::optional<text::TokenId> token;  // added to tokens()
    std::string text;                    // that this completes: whole UTF-8 only, often empty
    std::optional<EndReason> end;        // there is no next piece
    // Of the token, or of the one that ended the answer, then of the most probable.
    std::vector<TokenLogprob> logprobs;
  };
  // How many tokens of the prompt score() has not scored.
  std::size_t unscored() const { return prompt_tokens_ - scored_; }
  // The log-probabilities of the prompt's next tokens, and of `count` others beside each, as far as
  // `sequence` has the logits after every token of its last step. The first token has none, as
  // nothing stands before it. None comes twice, though another sequence computed it again.
  std::vector<std::vector<TokenLogprob>> score(const Sequence& sequence, std::uint32_t count);
  // Chooses the token after tokens(), which `sequence` holds. Errors: those of Sampler::sample.
  Result<Piece> next(const Sequence& sequence);
  // The text that was held back, of an answer that ends without a last piece.
  std::string finish();

  std::size_t searches() const { return searches_; }    // tokens chosen from the largest logits
  std::size_t head_rows() const { return head_rows_; }  // rows of the head computed for them

 private:
  Answer(const text::Tokenizer& tokenizer, std::span<const text::TokenId> prompt,
         AnswerOptions options, Sampler sampler);

  std::uint32_t position() const { return static_cast<std::uint32_t>(tokens_.size()); }
  // The largest logits that are enough; no value for all.
  std::optional<Decisive> decisive() const {
    return options_.logprobs ? std::nullopt : sampler_.decisive(position());
  }
  Result<text::TokenId> sample(const Sequence& sequence);
  bool too_few() const { return generated().size() < options_.min_tokens; }
  bool enough() const { return options_.max_tokens && generated().size() >= *options_.max_tokens; }

  const text::Tokenizer* tokenizer_;
  AnswerOptions options_;
  Sampler sampler_;
  text::StreamDecoder decoder_;
  StopScanner scanner_;
  std::vector<text::TokenId> tokens_;
  std::size_t prompt_tokens_;
  std::size_t scored_ = 1;             // of them, from the first on
  std::vector<text::TokenId> always_;  // of wanted()
  std::size_t searches_ = 0;
  std::size_t head_rows_ = 0;
};

}  // namespace tern::engine
