#include "engine/stepper.h"

#include <string>

#include "core/machine.h"
#include "engine/sequence.h"

namespace tern::engine {

using text::TokenId;

Result<std::unique_ptr<Stepper>> Stepper::create(const model::Model& model,
                                                 const StepperOptions& options) {
  if (options.rows == 0) {
    return Error{ErrorCode::kUsage, "expected at least 1 token, found 0", "tokens of a step"};
  }
  backend::Backend& backend = model.backend();
  const std::uint64_t tokens = std::uint64_t{options.pages} * backend::KvPool::kPageTokens;
  TERN_TRY(require_memory("KV cache of " + std::to_string(tokens) + " tokens and workspace",
                          backend.pool_bytes(model.plan(), options.kv_type, options.pages) +
                              backend.workspace_bytes(model.plan(), options.rows),
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
  for (Advance& advance : work) TERN_TRY(add(advance));
  failures_.assign(batch_.size(), std::nullopt);
  TERN_TRY(
      model_.backend().submit(model_.plan(), {batch_, logits_, tops_, failures_}, *workspace_));
  if (logits_.empty()) model_.release_rows();
  take_answers(work);
  return {};
}

Result<void> Stepper::check(std::span<const Advance> work) const {
  std::size_t tokens = 0;
  std::size_t pages = 0;
  for (const Advance& advance : work) {
    const Sequence& sequence = *advance.sequence;
    if (advance.tokens.empty()) {
      return Error{ErrorCode::kUsage, "expected at least one token of each sequence, found none",
                   "step"};
    }
    TERN_TRY(sequence.check(advance.tokens));
    tokens += advance.tokens.size();
    const auto pages_for = [](std::size_t count) {
      return backend::KvPool::pages_for(static_cast<std::uint32_t>(count));
    };
    const std::size_t before = sequence.tokens().size();
    pages += pages_for(before + advance.tokens.size()) - pages_for(before);
  }
  if (tokens == 0 || tokens > rows_) {
    return Error{
        ErrorCode::kUsage,
        "expected 1 to " + std::to_string(rows_) + " tokens, found " + std::to_string(tokens),
        "step"};
  }
  if (pages > pool_->free_pages()) {
    return Error{ErrorCode::kOutOfMemory,
                 "expected " + std::to_string(pages) + " free pages of " +
                     std::to_string(backend::KvPool::kPageTokens) + " tokens, found " +
                     std::to_string(pool_->free_pages()) + " of " + std::to_string(pool_->pages()),
                 "KV pool"};
  }
  return {};
}

Result<void> Stepper::add(Advance& advance) {
  Sequence& sequence = *advance.sequence;
  const auto first = static_cast<std::uint32_t>(sequence.tokens_.size());
  const auto count = static_cast<std::uint32_t>(advance.tokens.size());
  TERN_TRY(sequence.cache_->reserve(first + count));
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
  if (!advance.top) return {};
  sequence.candidates_.resize(vocab);
  tops_.push_back({row + count - 1,
                   advance.top->count,
                   advance.top->tokens,
                   advance.top->always,
                   {},
                   sequence.candidates_});
  return {};
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
    sequence.tokens_.insert(sequence.tokens_.end(), advance.tokens.begin(), advance.tokens.end());
  }
}

}  // namespace tern::engine
