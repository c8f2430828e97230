#include "engine/stepper.h"

#include <algorithm>
#include <string>

#include "core/machine.h"
#include "engine/sampler.h"
#include "engine/sequence.h"

namespace tern::engine {

using text::TokenId;

namespace {

// The largest logits of a sequence, all of them, and its sampler's.
std::uint64_t answer_bytes(const model::Model& model, std::uint32_t sequences) {
  constexpr std::size_t kBytes = sizeof(backend::TokenLogit) + sizeof(float) + Sampler::kLogitBytes;
  return std::uint64_t{sequences} * model.config().vocab * kBytes;
}

std::uint64_t hidden_bytes(const model::Model& model, std::uint32_t rows) {
  return std::uint64_t{rows} * model.config().hidden * sizeof(float);
}

}  // namespace

Result<std::unique_ptr<Stepper>> Stepper::create(const model::Model& model,
                                                 const StepperOptions& options) {
  if (options.rows == 0) {
    return Error{ErrorCode::kUsage, "expected at least 1 token, found 0", "tokens of a step"};
  }
  backend::Backend& backend = model.backend();
  const std::uint64_t tokens = std::uint64_t{options.pages} * backend::KvPool::kPageTokens;
  TERN_TRY(require_memory("KV cache of " + std::to_string(tokens) + " tokens and workspace",
                          backend.pool_bytes(model.plan(), options.kv_type, options.pages) +
                              backend.workspace_bytes(model.plan(), options.rows) +
                              answer_bytes(model, options.sequences) +
                              hidden_bytes(model, options.rows),
                          options.available_memory));
  std::unique_ptr<Stepper> stepper(new Stepper(model, options));
  stepper->pool_ = backend.make_pool(model.plan(), options.kv_type, options.pages);
  TERN_ASSIGN(stepper->workspace_, backend.make_workspace(model.plan(), options.rows));
  return stepper;
}

Result<void> Stepper::step(std::span<Advance> work) {
  TERN_TRY(check(work));
  batch_.clear();
  logits_.clear();
  tops_.clear();
  hidden_.clear();
  for (const Advance& advance : work) {  // what can fail goes before what changes a sequence
    Sequence& sequence = *advance.sequence;
    const std::size_t after = sequence.tokens_.size() + advance.tokens.size();
    TERN_TRY(sequence.cache_->reserve(static_cast<std::uint32_t>(after)));
    if (const std::size_t room = sequence.tokens_.capacity(); room < after) {
      sequence.tokens_.reserve(std::max(after, 2 * room));
    }
  }
  std::size_t hidden = 0;
  for (const Advance& advance : work) hidden += advance.hidden ? advance.tokens.size() : 0;
  if (hidden > 0) states_.reserve(std::size_t{rows_} * model_.config().hidden);  // and no more
  states_.resize(hidden * model_.config().hidden);  // stays where it is, then
  for (Advance& advance : work) add(advance);
  failures_.assign(batch_.size(), std::nullopt);
  TERN_TRY(model_.backend().submit(model_.plan(), {batch_, logits_, tops_, hidden_, failures_},
                                   *workspace_));
  if (logits_.empty()) model_.release_head();
  take_answers(work);
  return {};
}

Result<void> Stepper::check_one(const Advance& advance) const {
  const auto refused = [](const char* message) {
    return Error{ErrorCode::kUsage, message, "step"};
  };
  if (advance.sequence->stepper_ != this) {
    return refused("expected sequences of this stepper, found one of another");
  }
  if (advance.tokens.empty()) {
    return refused("expected at least one token of each sequence, found none");
  }
  TERN_TRY(advance.sequence->check(advance.tokens));
  if (!advance.top) return {};
  const auto& [count, tokens, always, draw] = *advance.top;
  if (count < 1 || count > backend::TopQuery::kMostCount || tokens > model_.config().vocab) {
    return refused("expected 1 to 256 largest logits of at most the vocabulary's tokens");
  }
  if (draw && !draw->valid()) {
    return refused("expected a draw with a temperature from 0.01 to 100");
  }
  if (!std::is_sorted(always.begin(), always.end())) {
    return refused("expected ascending tokens to compute always");
  }
  return {};
}

Result<void> Stepper::check(std::span<const Advance> work) const {
  std::size_t tokens = 0;
  std::size_t pages = 0;
  std::vector<const Sequence*> seen;
  for (const Advance& advance : work) {
    TERN_TRY(check_one(advance));
    const Sequence& sequence = *advance.sequence;
    seen.push_back(&sequence);
    tokens += advance.tokens.size();
    const auto after = static_cast<std::uint32_t>(sequence.tokens_.size() + advance.tokens.size());
    const std::uint32_t held = sequence.cache_->pages();
    pages += std::max(backend::KvPool::pages_for(after), held) - held;
  }
  std::sort(seen.begin(), seen.end());
  if (std::adjacent_find(seen.begin(), seen.end()) != seen.end()) {
    return Error{ErrorCode::kUsage, "expected each sequence once, found one twice", "step"};
  }
  if (tokens == 0 || tokens > rows_) {
    return Error{
        ErrorCode::kUsage,
        "expected 1 to " + std::to_string(rows_) + " tokens, found " + std::to_string(tokens),
        "step"};
  }
  return pool_->require(pages);
}

void Stepper::add(Advance& advance) {
  Sequence& sequence = *advance.sequence;
  const auto first = static_cast<std::uint32_t>(sequence.tokens_.size());
  const auto count = static_cast<std::uint32_t>(advance.tokens.size());
  advance.failed.reset();
  const auto row = static_cast<std::uint32_t>(batch_.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    batch_.push_back({advance.tokens[i], first + i, sequence.cache_.get()});
  }
  const std::size_t vocab = model_.config().vocab;
  const std::uint32_t wanted = advance.logits == Advance::Logits::kEvery  ? count
                               : advance.logits == Advance::Logits::kLast ? 1
                                                                          : 0;
  sequence.found_ = 0;
  sequence.logits_.resize(wanted * vocab);
  for (std::uint32_t i = 0; i < wanted; ++i) {
    logits_.push_back(
        {row + count - wanted + i, std::span(sequence.logits_).subspan(i * vocab, vocab)});
  }
  const std::size_t width = model_.config().hidden;
  sequence.hidden_ = {};
  if (advance.hidden) {
    sequence.hidden_ = std::span(states_).subspan(hidden_.size() * width, count * width);
    for (std::uint32_t i = 0; i < count; ++i) {
      hidden_.push_back({row + i, std::span(states_).subspan(hidden_.size() * width, width)});
    }
  }
  if (!advance.top) return;
  sequence.candidates_.resize(vocab);
  tops_.push_back({row + count - 1,
                   advance.top->count,
                   advance.top->tokens,
                   advance.top->always,
                   {},
                   advance.top->draw,
                   sequence.candidates_});
}

void Stepper::take_answers(std::span<Advance> work) {
  std::size_t row = 0;
  std::size_t top = 0;
  for (Advance& advance : work) {
    Sequence& sequence = *advance.sequence;
    for (std::size_t i = 0; i < advance.tokens.size(); ++i, ++row) {
      if (failures_[row] && !advance.failed) advance.failed = std::move(failures_[row]);
    }
    if (advance.top) sequence.found_ = tops_[top++].found;
    sequence.failed_ = advance.failed.has_value();
    sequence.tokens_.insert(sequence.tokens_.end(), advance.tokens.begin(), advance.tokens.end());
  }
}

}  // namespace tern::engine
