#include "engine/sequence.h"

#include <algorithm>
#include <string>

namespace tern::engine {

using text::TokenId;

namespace {

constexpr std::uint64_t kMostLogitBytes = 32u << 20;

}  // namespace

std::uint64_t logit_bytes(const model::Model& model, std::uint32_t rows) {
  return std::uint64_t{rows} * model.config().vocab * sizeof(float);
}

std::uint32_t most_logit_rows(const model::Model& model) {
  return static_cast<std::uint32_t>(
      std::max<std::uint64_t>(kMostLogitBytes / logit_bytes(model, 1), 1));
}

Result<std::uint32_t> checked_context(std::uint32_t wanted, std::uint32_t trained) {
  if (wanted > trained) {
    return Error{ErrorCode::kUsage,
                 "expected at most " + std::to_string(trained) +
                     " tokens, which the model was trained for, found " + std::to_string(wanted),
                 "context"};
  }
  return wanted == 0 ? trained : wanted;
}

Result<Sequence> Sequence::create(const model::Model& model, const SequenceOptions& options) {
  TERN_ASSIGN(const std::uint32_t context,
              checked_context(options.context, model.config().context));
  if (options.prefill_chunk == 0) {
    return Error{ErrorCode::kUsage, "expected at least 1 token, found 0", "prefill chunk"};
  }
  const std::uint64_t logits = logit_bytes(model, most_logit_rows(model));
  StepperOptions wanted;
  wanted.rows = std::min(options.prefill_chunk, context);
  wanted.pages = backend::KvPool::pages_for(context);
  wanted.available_memory =
      options.available_memory > logits ? options.available_memory - logits : 0;
  wanted.kv_type = options.kv_type;
  TERN_ASSIGN(std::unique_ptr<Stepper> stepper, Stepper::create(model, wanted));
  Sequence sequence(*stepper, context);
  sequence.own_ = std::move(stepper);
  return sequence;
}

Result<Sequence> Sequence::create(Stepper& stepper, std::uint32_t context) {
  TERN_ASSIGN(const std::uint32_t checked,
              checked_context(context, stepper.model().config().context));
  return Sequence(stepper, checked);
}

Result<void> Sequence::check(std::span<const TokenId> tokens) const {
  if (failed_) {
    return Error{ErrorCode::kUsage, "expected a sequence that has not failed, found one that has",
                 "sequence"};
  }
  if (tokens.size() > room()) {
    return Error{ErrorCode::kContextLength,
                 std::to_string(tokens_.size() + tokens.size()) +
                     " tokens do not fit into the context of " + std::to_string(context_) +
                     "; shorten the prompt or choose a larger context",
                 "prompt"};
  }
  for (const TokenId token : tokens) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < model().config().vocab) continue;
    return Error{ErrorCode::kUsage,
                 "expected 0 to " + std::to_string(model().config().vocab - 1) + ", found " +
                     std::to_string(token),
                 "token"};
  }
  return {};
}

Result<std::size_t> Sequence::append(std::span<const TokenId> tokens,
                                     const AppendOptions& options) {
  TERN_TRY(check(tokens));
  const std::size_t chunk =
      options.every_logit ? std::min(most_logit_rows(model()), stepper_->rows()) : stepper_->rows();
  std::size_t done = 0;
  while (done < tokens.size() && !options.stop.stop_requested()) {
    const std::size_t count = std::min(chunk, tokens.size() - done);
    TERN_TRY(append_chunk(tokens.subspan(done, count), done + count == tokens.size(), options));
    done += count;
    if (options.progress) options.progress(done, tokens.size());
  }
  return done;
}

// Keys and values of the tokens that go stay where they are: nothing reads beyond the last token,
// and the next ones are written over them.
Result<void> Sequence::truncate(std::size_t count) {
  if (count > tokens_.size()) {
    return Error{ErrorCode::kUsage,
                 "expected at most the " + std::to_string(tokens_.size()) +
                     " tokens that there are, found " + std::to_string(count),
                 "truncate"};
  }
  tokens_.resize(count);
  logits_.clear();
  found_ = 0;
  return {};
}

Result<void> Sequence::pretend(std::span<const TokenId> tokens) {
  TERN_TRY(check(tokens));
  if (!tokens_.empty()) {
    return Error{ErrorCode::kUsage,
                 "expected an empty sequence, found " + std::to_string(tokens_.size()) + " tokens",
                 "pretend"};
  }
  TERN_TRY(cache_->fill(static_cast<std::uint32_t>(tokens.size())));
  tokens_.assign(tokens.begin(), tokens.end());
  return {};
}

void Sequence::keep_last_logits() {
  const std::span<const float> last = logits();
  logits_ = std::vector<float>(last.begin(), last.end());
}

Result<void> Sequence::append_chunk(std::span<const TokenId> tokens, bool last,
                                    const AppendOptions& options) {
  const auto first = static_cast<std::uint32_t>(tokens_.size());
  Advance advance{this, tokens};
  if (options.every_logit) {
    advance.logits = Advance::Logits::kEvery;
  } else if (!last || options.top) {
    advance.logits = Advance::Logits::kNone;
  }
  if (last) advance.top = options.top;
  TERN_TRY(stepper_->step({&advance, 1}));
  if (advance.failed) return *advance.failed;
  if (!options.every_logit) return {};
  const std::size_t vocab = model().config().vocab;
  for (std::uint32_t i = 0; i < tokens.size(); ++i) {
    options.every_logit(first + i, every_logit().subspan(i * vocab, vocab));
  }
  keep_last_logits();
  return {};
}

}  // namespace tern::engine
