// Chooses the next token from logits.
//
// In order: repetition penalty, presence and frequency penalty, bias and masks, top-k, top-p,
// min-p, temperature, then the largest logit/T + gumbel(seed, position, token), ties to the lowest
// id: an exact sample from the remaining distribution that depends only on logits, seed and
// position. Temperature 0 takes the largest logit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "core/gumbel.h"
#include "core/result.h"
#include "text/token.h"

namespace tern::engine {

using TokenBias = backend::TokenLogit;

struct SamplingOptions {
  float temperature = 0.8f;
  std::uint32_t top_k = 40;          // 0: all
  float top_p = 0.95f;               // 1: all
  float min_p = 0.05f;               // 0: all
  float repeat_penalty = 1.0f;       // 1: none
  std::uint32_t repeat_last_n = 64;  // tokens that the penalty looks back on
  float presence_penalty = 0.0f;     // taken from the logit of each token of the answer so far
  float frequency_penalty = 0.0f;    // the same, as often as it came
  std::vector<TokenBias> bias = {};  // added to logits; -infinity masks. Each token once
  std::vector<text::TokenId> held_off = {};  // masked until the answer has min_tokens
  std::uint32_t min_tokens = 0;
  std::uint64_t seed = 0;
};

// The `count` tokens with the largest logits, or, with `draw`, with the largest of what it makes of
// them.
struct Decisive {
  std::uint32_t count = 1;
  std::optional<GumbelDraw> draw = {};
};

class Sampler {
 public:
  // The answer begins at position `answer`. Errors: kUsage for an option out of its range.
  static Result<Sampler> create(const SamplingOptions& options, std::size_t answer = 0);

  // What it may hold for each logit that it is given.
  static constexpr std::size_t kLogitBytes = sizeof(backend::TokenLogit) + sizeof(float);

  // The tokens one of which is chosen for `position`, unless penalties or bias change others; no
  // value where it may be any.
  std::optional<Decisive> decisive(std::uint32_t position) const;
  // The tokens whose logits penalties and bias change, ascending.
  std::vector<text::TokenId> changed(std::span<const text::TokenId> history) const;

  // The token for `position` (its index in the sequence). `history` are the tokens before it.
  // A logit of -infinity masks its token. Errors: kNumeric where one is a NaN or +infinity, or
  // where all are masked.
  Result<text::TokenId> sample(std::span<const float> logits, std::uint32_t position,
                               std::span<const text::TokenId> history);
  // The same from some of the logits, ascending by token: the changed() ones, and of the others at
  // least the decisive() ones.
  Result<text::TokenId> sample(std::span<const backend::TokenLogit> logits, std::uint32_t position,
                               std::span<const text::TokenId> history);

 private:
  using Candidate = backend::TokenLogit;

  Sampler(const SamplingOptions& options, std::size_t answer)
      : options_(options), answer_(answer) {}

  Result<text::TokenId> choose(std::uint32_t position, std::span<const text::TokenId> history);
  std::vector<text::TokenId> repeated(std::span<const text::TokenId> history) const;
  bool holds_off(std::span<const text::TokenId> history) const {
    return history.size() < answer_ + options_.min_tokens;
  }
  bool counts_answer() const {
    return options_.presence_penalty != 0.0f || options_.frequency_penalty != 0.0f;
  }
  void penalise(std::span<const text::TokenId> history);
  void penalise_answer(std::span<const text::TokenId> history);
  void add_bias();
  void hold_off(std::span<const text::TokenId> history);
  void drop_masked();
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  GumbelDraw draw(std::uint32_t position) const {
    return {options_.seed, position, options_.temperature};
  }
  text::TokenId largest_perturbed(std::uint32_t position) const;

  SamplingOptions options_;
  std::size_t answer_;
  std::vector<Candidate> candidates_;  // reused from token to token
  std::vector<float> logits_;          // of the candidates, likewise
};

}  // namespace tern::engine
