#include "engine/sequence.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/machine.h"

namespace tern::engine {

using text::TokenId;

namespace {

constexpr std::uint64_t kMostLogitBytes = 32u << 20;

std::uint64_t logit_row_bytes(const model::Model& model) {
  return std::uint64_t{model.config().vocab} * sizeof(float);
}

}  // namespace

Result<Sequence> Sequence::create(const model::Model& model, const SequenceOptions& options) {
  const std::uint32_t trained = model.config().context;
  const std::uint32_t context = options.context == 0 ? trained : options.context;
  if (context > trained) {
    return Error{ErrorCode::kUsage,
                 "expected at most " + std::to_string(trained) +
                     " tokens, which the model was trained for, found " + std::to_string(context),
                 "context"};
  }
  if (options.prefill_chunk == 0) {
    return Error{ErrorCode::kUsage, "expected at least 1 token, found 0", "prefill chunk"};
  }
  Sequence sequence(model, context, std::min(options.prefill_chunk, context));
  sequence.kv_type_ = options.kv_type;
  backend::Backend& backend = model.backend();
  const std::uint32_t pages = backend::KvPool::pages_for(context);
  TERN_TRY(require_memory("KV cache of " + std::to_string(context) + " tokens and workspace",
                          backend.pool_bytes(model.plan(), options.kv_type, pages) +
                              backend.workspace_bytes(model.plan(), sequence.chunk_) +
                              std::max(kMostLogitBytes, logit_row_bytes(model)),
                          options.available_memory));
  sequence.pool_ = backend.make_pool(model.plan(), options.kv_type, pages);
  sequence.cache_ = sequence.pool_->make_cache();
  TERN_ASSIGN(sequence.workspace_, backend.make_workspace(model.plan(), sequence.chunk_));
  return sequence;
}

Result<void> Sequence::check(std::span<const TokenId> tokens) const {
  if (tokens.size() > room()) {
    return Error{ErrorCode::kContextLength,
                 std::to_string(tokens_.size() + tokens.size()) +
                     " tokens do not fit into the context of " + std::to_string(context_) +
                     "; shorten the prompt or choose a larger context",
                 "prompt"};
  }
  for (const TokenId token : tokens) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < model_->config().vocab) continue;
    return Error{ErrorCode::kUsage,
                 "expected 0 to " + std::to_string(model_->config().vocab - 1) + ", found " +
                     std::to_string(token),
                 "token"};
  }
  return {};
}

Result<std::size_t> Sequence::append(std::span<const TokenId> tokens,
                                     const AppendOptions& options) {
  TERN_TRY(check(tokens));
  // All logits of a chunk stand in memory at once.
  const std::size_t chunk =
      options.every_logit
          ? std::clamp<std::size_t>(kMostLogitBytes / logit_row_bytes(*model_), 1, chunk_)
          : chunk_;
  std::size_t done = 0;
  while (done < tokens.size() && !options.stop.stop_requested()) {
    const std::size_t count = std::min(chunk, tokens.size() - done);
    TERN_TRY(append_chunk(tokens.subspan(done, count), done + count == tokens.size(), options));
    done += count;
    if (options.progress) options.progress(done, tokens.size());
  }
  return done;
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

Result<void> Sequence::append_chunk(std::span<const TokenId> tokens, bool last,
                                    const AppendOptions& options) {
  const auto first = static_cast<std::uint32_t>(tokens_.size());
  TERN_TRY(cache_->reserve(first + static_cast<std::uint32_t>(tokens.size())));
  rows_.clear();
  for (std::uint32_t i = 0; i < tokens.size(); ++i) {
    rows_.push_back({tokens[i], first + i, cache_.get()});
  }
  std::vector<std::uint32_t> logit_rows;
  if (options.every_logit) {
    logit_rows.resize(tokens.size());
    std::iota(logit_rows.begin(), logit_rows.end(), 0u);
  } else if (last && !options.top) {
    logit_rows.push_back(static_cast<std::uint32_t>(tokens.size() - 1));
  }
  TERN_TRY(submit(logit_rows, last ? options.top : std::nullopt));
  if (logit_rows.empty()) model_->release_rows();
  const std::size_t vocab = model_->config().vocab;
  if (options.every_logit) {
    for (std::uint32_t i = 0; i < tokens.size(); ++i) {
      options.every_logit(first + i, std::span(logits_).subspan(i * vocab, vocab));
    }
    std::copy(logits_.end() - static_cast<std::ptrdiff_t>(vocab), logits_.end(), logits_.begin());
    logits_.resize(vocab);
  }
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  return {};
}

// Computes rows_, of which the last is asked for its largest logits.
Result<void> Sequence::submit(std::span<const std::uint32_t> logit_rows,
                              const std::optional<TopLogits>& top) {
  const std::size_t vocab = model_->config().vocab;
  logits_.resize(logit_rows.size() * vocab);
  backend::Batch batch{rows_, logit_rows, logits_};
  found_ = 0;
  if (!top) return model_->backend().submit(model_->plan(), batch, *workspace_);
  candidates_.resize(vocab);
  backend::TopQuery query{static_cast<std::uint32_t>(rows_.size() - 1),
                          top->count,
                          top->tokens,
                          top->always,
                          {},
                          candidates_};
  batch.tops = {&query, 1};
  TERN_TRY(model_->backend().submit(model_->plan(), batch, *workspace_));
  found_ = query.found;
  return {};
}

}  // namespace tern::engine
