#include "engine/answer.h"

#include <algorithm>
#include <utility>

namespace tern::engine {

using text::TokenId;

std::uint32_t known_tokens(const model::Model& model, const text::Tokenizer& tokenizer) {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(model.config().vocab, tokenizer.vocab_size()));
}

std::string_view name(EndReason reason) {
  switch (reason) {
    case EndReason::kEndOfSequence: return "end_of_sequence";
    case EndReason::kStopString: return "stop_string";
    case EndReason::kMaxTokens: return "max_tokens";
    case EndReason::kContextFull: return "context_full";
    case EndReason::kCancelled: return "cancelled";
    case EndReason::kDeadline: return "deadline";
    case EndReason::kPooled: return "pooled";
  }
  return "unknown";
}

Error no_prompt() {
  return {ErrorCode::kUsage, "expected at least one token (this model adds no begin-of-text token)",
          "prompt"};
}

namespace {

bool ends(TokenId token, const text::Tokenizer& tokenizer, const AnswerOptions& options) {
  const auto& own = options.stop_tokens;
  return (!options.ignore_end && tokenizer.is_end_of_generation(token)) ||
         std::find(own.begin(), own.end(), token) != own.end();
}

// All tokens that end an answer may not come before it has as many as it should.
void hold_off_ends(const text::Tokenizer& tokenizer, AnswerOptions& options) {
  options.sampling.min_tokens = options.min_tokens;
  if (options.min_tokens == 0) return;
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    if (ends(token, tokenizer, options)) options.sampling.held_off.push_back(token);
  }
}

}  // namespace

Result<Answer> Answer::create(const text::Tokenizer& tokenizer, std::span<const TokenId> prompt,
                              AnswerOptions options) {
  if (prompt.empty()) return no_prompt();
  hold_off_ends(tokenizer, options);
  TERN_ASSIGN(Sampler sampler, Sampler::create(options.sampling, prompt.size()));
  return Answer(tokenizer, prompt, std::move(options), std::move(sampler));
}

Answer::Answer(const text::Tokenizer& tokenizer, std::span<const TokenId> prompt,
               AnswerOptions options, Sampler sampler)
    : tokenizer_(&tokenizer),
      options_(std::move(options)),
      sampler_(std::move(sampler)),
      decoder_(tokenizer, false, prompt),
      scanner_(options_.stops, options_.shown_stops),
      tokens_(prompt.begin(), prompt.end()),
      prompt_tokens_(prompt.size()) {}

std::optional<TopLogits> Answer::wanted(const model::Model& model) {
  const auto largest = decisive();
  if (!largest) return std::nullopt;
  always_ = sampler_.changed(tokens_);
  return TopLogits{largest->count, known_tokens(model, *tokenizer_), always_, largest->draw};
}

Result<TokenId> Answer::sample(const Sequence& sequence) {
  if (!decisive()) {
    const auto logits = sequence.logits().first(known_tokens(sequence.model(), *tokenizer_));
    return sampler_.sample(logits, position(), tokens_);
  }
  ++searches_;
  head_rows_ += sequence.candidates().size();
  return sampler_.sample(sequence.candidates(), position(), tokens_);
}

std::vector<std::vector<TokenLogprob>> Answer::score(const Sequence& sequence,
                                                     std::uint32_t count) {
  const std::size_t vocab = sequence.model().config().vocab;
  const std::span<const float> logits = sequence.every_logit();
  const std::size_t first = sequence.tokens().size() - logits.size() / vocab;
  std::vector<std::vector<TokenLogprob>> found;
  for (std::size_t row = 0; row * vocab < logits.size() && unscored() > 0; ++row) {
    if (first + row + 1 < scored_) continue;
    const auto after = logits.subspan(row * vocab, known_tokens(sequence.model(), *tokenizer_));
    found.push_back(log_probabilities(after, tokens_[scored_++], count));
  }
  return found;
}

Result<Answer::Piece> Answer::next(const Sequence& sequence) {
  const auto limit = [&]() -> std::optional<EndReason> {
    if (enough()) return EndReason::kMaxTokens;
    if (tokens_.size() >= sequence.context()) return EndReason::kContextFull;
    return std::nullopt;
  };
  Piece piece;
  piece.end = limit();
  if (piece.end) return piece;
  TERN_ASSIGN(const TokenId token, sample(sequence));
  if (options_.logprobs) {
    const auto logits = sequence.logits().first(known_tokens(sequence.model(), *tokenizer_));
    piece.logprobs = log_probabilities(logits, token, *options_.logprobs);
  }
  if (ends(token, *tokenizer_, options_)) {
    piece.end = EndReason::kEndOfSequence;
  } else {
    tokens_.push_back(token);
    piece.token = token;
    piece.text = scanner_.push(decoder_.push(token), !too_few());
    piece.end = scanner_.stopped() ? EndReason::kStopString : limit();
  }
  if (piece.end) piece.text += finish();
  return piece;
}

std::string Answer::finish() {
  std::string text = scanner_.push(decoder_.finish());
  return text += scanner_.finish();
}

}  // namespace tern::engine
