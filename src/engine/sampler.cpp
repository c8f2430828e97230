#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

#include "core/fixed_math.h"
#include "core/fp_env.h"
#include "core/gumbel.h"

namespace tern::engine {
namespace {

using text::TokenId;

Error out_of_range(const char* option, const char* expected, double found) {
  return Error{ErrorCode::kUsage,
               std::string("expected ") + expected + ", found " + std::to_string(found), option};
}

// Of the candidates for top-p, so many are sorted first, and then so many times as many.
constexpr std::size_t kLeastSorted = 256;
constexpr std::size_t kSortedGrowth = 4;

bool is_before(const backend::TokenLogit& a, const backend::TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// So many Gumbel variates are bounded together.
constexpr std::size_t kMostBounded = 256;

// The first ones, of tokens that follow each other.
std::span<const backend::TokenLogit> consecutive(std::span<const backend::TokenLogit> candidates) {
  const std::size_t most = std::min(candidates.size(), kMostBounded);
  std::size_t count = 1;
  while (count < most && candidates[count].token == candidates[count - 1].token + 1) ++count;
  return candidates.first(count);
}

bool by_token(const TokenBias& a, const TokenBias& b) { return a.token < b.token; }

std::vector<TokenId> ascending(std::vector<TokenId> tokens) {
  std::sort(tokens.begin(), tokens.end());
  tokens.erase(std::unique(tokens.begin(), tokens.end()), tokens.end());
  return tokens;
}

}  // namespace

Result<Sampler> Sampler::create(const SamplingOptions& options, std::size_t answer) {
  // Written so that a NaN fails.
  if (!(options.temperature >= 0.0f && options.temperature <= 100.0f)) {
    return out_of_range("temperature", "0 to 100", options.temperature);
  }
  if (!(options.top_p > 0.0f && options.top_p <= 1.0f)) {
    return out_of_range("top-p", "more than 0 and at most 1", options.top_p);
  }
  if (!(options.min_p >= 0.0f && options.min_p <= 1.0f)) {
    return out_of_range("min-p", "0 to 1", options.min_p);
  }
  if (!(options.repeat_penalty >= 0.01f && options.repeat_penalty <= 100.0f)) {
    return out_of_range("repeat-penalty", "0.01 to 100", options.repeat_penalty);
  }
  if (!(std::fabs(options.presence_penalty) <= 100.0f)) {
    return out_of_range("presence-penalty", "-100 to 100", options.presence_penalty);
  }
  if (!(std::fabs(options.frequency_penalty) <= 100.0f)) {
    return out_of_range("frequency-penalty", "-100 to 100", options.frequency_penalty);
  }
  SamplingOptions sorted = options;
  std::sort(sorted.bias.begin(), sorted.bias.end(), by_token);
  std::sort(sorted.held_off.begin(), sorted.held_off.end());
  for (std::size_t i = 0; i < sorted.bias.size(); ++i) {
    const TokenBias& bias = sorted.bias[i];
    if (std::isnan(bias.logit) || bias.logit > 1000.0f) {
      return out_of_range("bias", "a number of at most 1000", bias.logit);
    }
    if (i > 0 && sorted.bias[i - 1].token == bias.token) {
      return out_of_range("bias", "each token once", bias.token);
    }
  }
  return Sampler(sorted, answer);
}

std::optional<Decisive> Sampler::decisive(std::uint32_t position) const {
  if (options_.temperature == 0.0f) return Decisive{.count = 1};
  if (options_.top_k >= 1 && options_.top_k <= backend::TopQuery::kMostCount) {
    return Decisive{.count = options_.top_k};
  }
  const bool all = options_.top_k == 0 && options_.top_p == 1.0f && options_.min_p == 0.0f;
  if (!all || !draw(position).valid()) return std::nullopt;
  return Decisive{.count = 1, .draw = draw(position)};
}

std::vector<TokenId> Sampler::repeated(std::span<const TokenId> history) const {
  if (options_.repeat_penalty == 1.0f) return {};
  const auto recent = history.last(std::min<std::size_t>(history.size(), options_.repeat_last_n));
  return ascending({recent.begin(), recent.end()});
}

std::vector<TokenId> Sampler::changed(std::span<const TokenId> history) const {
  std::vector<TokenId> tokens = repeated(history);
  if (counts_answer()) {
    const auto answer = history.subspan(std::min(answer_, history.size()));
    tokens.insert(tokens.end(), answer.begin(), answer.end());
  }
  for (const TokenBias& bias : options_.bias) tokens.push_back(bias.token);
  if (holds_off(history)) {
    tokens.insert(tokens.end(), options_.held_off.begin(), options_.held_off.end());
  }
  return ascending(std::move(tokens));
}

Result<TokenId> Sampler::sample(std::span<const float> logits, std::uint32_t position,
                                std::span<const TokenId> history) {
  candidates_.clear();
  candidates_.reserve(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates_.push_back({static_cast<TokenId>(i), logits[i]});
  }
  return choose(position, history);
}

Result<TokenId> Sampler::sample(std::span<const backend::TokenLogit> logits, std::uint32_t position,
                                std::span<const TokenId> history) {
  candidates_.assign(logits.begin(), logits.end());
  return choose(position, history);
}

Result<TokenId> Sampler::choose(std::uint32_t position, std::span<const TokenId> history) {
  const ScopedFpEnv fp_env;
  drop_masked();
  for (const Candidate& candidate : candidates_) {
    if (std::isfinite(candidate.logit)) continue;
    return Error{
        ErrorCode::kNumeric,
        "the logit of token " + std::to_string(candidate.token) + " is a NaN or an infinity",
        "position " + std::to_string(position)};
  }
  penalise(history);
  penalise_answer(history);
  add_bias();
  drop_masked();
  hold_off(history);
  if (candidates_.empty()) {
    return Error{ErrorCode::kNumeric, "no logit is finite", "position " + std::to_string(position)};
  }
  if (options_.temperature == 0.0f) {
    const auto best =
        std::max_element(candidates_.begin(), candidates_.end(),
                         [](const Candidate& a, const Candidate& b) { return a.logit < b.logit; });
    return best->token;  // max_element keeps the first, which has the lowest id
  }
  keep_top_k();
  keep_top_p();
  keep_min_p();
  return largest_perturbed(position);
}

void Sampler::penalise(std::span<const TokenId> history) {
  const std::vector<TokenId> recent = repeated(history);
  if (recent.empty()) return;
  for (Candidate& candidate : candidates_) {
    if (!std::binary_search(recent.begin(), recent.end(), candidate.token)) continue;
    candidate.logit = candidate.logit > 0.0f ? candidate.logit / options_.repeat_penalty
                                             : candidate.logit * options_.repeat_penalty;
  }
}

void Sampler::penalise_answer(std::span<const TokenId> history) {
  if (!counts_answer()) return;
  const auto answer = history.subspan(std::min(answer_, history.size()));
  std::vector<TokenId> tokens(answer.begin(), answer.end());
  std::sort(tokens.begin(), tokens.end());
  for (Candidate& candidate : candidates_) {
    const auto [first, last] = std::equal_range(tokens.begin(), tokens.end(), candidate.token);
    if (first == last) continue;
    const auto times = static_cast<float>(last - first);
    candidate.logit -= options_.presence_penalty + options_.frequency_penalty * times;
  }
}

void Sampler::add_bias() {
  auto bias = options_.bias.begin();
  for (Candidate& candidate : candidates_) {
    while (bias != options_.bias.end() && bias->token < candidate.token) ++bias;
    if (bias == options_.bias.end()) return;
    if (bias->token == candidate.token) candidate.logit += bias->logit;
  }
}

void Sampler::hold_off(std::span<const TokenId> history) {
  if (!holds_off(history)) return;
  std::erase_if(candidates_, [this](const Candidate& c) {
    return std::binary_search(options_.held_off.begin(), options_.held_off.end(), c.token);
  });
}

void Sampler::drop_masked() {
  std::erase_if(candidates_, [](const Candidate& c) {
    return c.logit == -std::numeric_limits<float>::infinity();
  });
}

// Sorts also where there are no more: top-p sums in this order, whoever left the others out.
void Sampler::keep_top_k() {
  if (options_.top_k == 0) return;
  const std::size_t count = std::min<std::size_t>(options_.top_k, candidates_.size());
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
  std::partial_sort(candidates_.begin(), end, candidates_.end(), is_before);
  candidates_.erase(end, candidates_.end());
}

// Sorts no more than it keeps, in parts: of a vocabulary that is a small share as a rule.
void Sampler::keep_top_p() {
  if (options_.top_p == 1.0f) return;
  const float largest = std::min_element(candidates_.begin(), candidates_.end(), is_before)->logit;
  logits_.clear();
  logits_.reserve(candidates_.size());
  for (const Candidate& candidate : candidates_) logits_.push_back(candidate.logit);
  const double total = fixed_exp_sum(logits_, largest);
  double kept = 0.0;
  std::size_t count = 0;
  std::size_t sorted = 0;
  while (count < candidates_.size() && kept < options_.top_p * total) {
    if (count == sorted) {
      sorted = std::min(candidates_.size(), std::max(kLeastSorted, kSortedGrowth * sorted));
      const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
      const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(count);
      std::nth_element(begin, end, candidates_.end(), is_before);
      std::sort(begin, end, is_before);
    }
    kept += fixed_exp(static_cast<double>(candidates_[count].logit) - largest);
    ++count;
  }
  candidates_.resize(std::max<std::size_t>(count, 1));
}

void Sampler::keep_min_p() {
  if (options_.min_p == 0.0f) return;
  float largest = -std::numeric_limits<float>::infinity();
  for (const Candidate& candidate : candidates_) largest = std::max(largest, candidate.logit);
  const double least = largest + fixed_log(options_.min_p);
  std::erase_if(candidates_, [&](const Candidate& c) { return c.logit < least; });
}

TokenId Sampler::largest_perturbed(std::uint32_t position) const {
  const GumbelDraw draw = this->draw(position);
  double best = -std::numeric_limits<double>::infinity();
  TokenId chosen = 0;
  std::array<float, kMostBounded> bounds;
  for (std::size_t at = 0; at < candidates_.size();) {
    const std::span<const Candidate> run = consecutive(std::span(candidates_).subspan(at));
    draw.bound(run.front().token, std::span(bounds).first(run.size()));
    for (std::size_t i = 0; i < run.size(); ++i) {
      const auto& [token, logit] = run[i];
      if (draw.scaled(logit) + bounds[i] < best) continue;  // cannot win
      const double perturbed = draw.perturbed(logit, token);
      const bool wins = perturbed > best || (perturbed == best && token < chosen);
      if (!wins) continue;
      best = perturbed;
      chosen = token;
    }
    at += run.size();
  }
  return chosen;
}

}  // namespace tern::engine
