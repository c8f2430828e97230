// One sequence: its tokens, its keys and values, and the logits after its last token.
//
// A Sequence belongs to one thread at a time, together with its stepper. The model outlives it, and
// a stepper that it shares with others does.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "core/result.h"
#include "engine/stepper.h"
#include "format/kv_type.h"
#include "model/model.h"
#include "text/token.h"

namespace tern::engine {

struct SequenceOptions {
  std::uint32_t context = 0;  // most tokens, prompt and answer; 0: what the model was trained for
  std::uint32_t prefill_chunk = 256;  // tokens computed at once; the results do not depend on it
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  format::KvType kv_type = format::KvType::kF16;  // of the keys and values that it remembers
};

// The context that was asked for, in tokens, 0 being what the model was trained for. Errors: kUsage
// for more than that.
Result<std::uint32_t> checked_context(std::uint32_t wanted, std::uint32_t trained);

// Where the logits after every token are asked for, they stand in memory at once: of so many tokens
// at most.
std::uint32_t most_logit_rows(const model::Model& model);
std::uint64_t logit_bytes(const model::Model& model, std::uint32_t rows);

class Sequence {
 public:
  // Receives the logits after the token at `position`.
  using LogitSink = std::function<void(std::uint32_t position, std::span<const float> logits)>;
  using Progress = std::function<void(std::size_t done, std::size_t total)>;

  // A sequence with a stepper of its own. Errors: kUsage for a context beyond the model's or an
  // empty chunk, kOutOfMemory.
  static Result<Sequence> create(const model::Model& model, const SequenceOptions& options = {});
  // One that shares a stepper with others. Errors: kUsage for a context beyond the model's; 0 is
  // the model's.
  static Result<Sequence> create(Stepper& stepper, std::uint32_t context = 0);

  Sequence(Sequence&&) = default;
  Sequence& operator=(Sequence&&) = delete;  // would end the stepper before its cache

  const model::Model& model() const { return stepper_->model(); }
  std::span<const text::TokenId> tokens() const { return tokens_; }
  std::uint32_t context() const { return context_; }
  format::KvType kv_type() const { return stepper_->kv_type(); }
  std::uint32_t room() const { return context_ - static_cast<std::uint32_t>(tokens_.size()); }
  backend::KvCache& cache() { return *cache_; }

  struct AppendOptions {
    std::stop_token stop = {};  // looked at between chunks
    Progress progress = nullptr;
    LogitSink every_logit = nullptr;  // asks for the logits of every position
    std::optional<TopLogits> top = {};
  };
  // Computes `tokens` in steps of its own, chunk by chunk. Returns how many were taken: fewer than
  // given only where `stop` was requested. Errors: kUsage for a token outside of the vocabulary,
  // kContextLength where the tokens do not fit, kNumeric, kOutOfMemory; an error leaves the
  // sequence unusable.
  Result<std::size_t> append(std::span<const text::TokenId> tokens, const AppendOptions& options);
  Result<std::size_t> append(std::span<const text::TokenId> tokens) { return append(tokens, {}); }

  // Forgets all but the first `count` tokens; the next ones are computed as if the others had never
  // been. There are no logits until then. Errors: kUsage for more than it has.
  Result<void> truncate(std::size_t count);

  // Takes the first tokens of an empty sequence as if they were computed, with pseudo-random keys
  // and values: to measure a long sequence. Errors: as append; kUsage where it is not empty.
  Result<void> pretend(std::span<const text::TokenId> tokens);

  // [vocab] after the last token that append() was given; empty before, and where it was asked for
  // the largest: then they are candidates(), ascending by token.
  std::span<const float> logits() const {
    return every_logit().last(std::min<std::size_t>(logits_.size(), model().config().vocab));
  }
  // [tokens][vocab] of the last step, where it was asked for those of every token.
  std::span<const float> every_logit() const { return logits_; }
  // Forgets those of the other tokens, and gives their memory back.
  void keep_last_logits();
  // [tokens of the last step][hidden], what the last norm makes of the tokens, where the step was
  // asked for them; empty else. There until the stepper's next step.
  std::span<const float> hidden() const { return hidden_; }
  std::span<const backend::TokenLogit> candidates() const {
    return std::span(candidates_).first(found_);
  }

 private:
  friend class Stepper;
  Sequence(Stepper& stepper, std::uint32_t context)
      : stepper_(&stepper), context_(context), cache_(stepper.pool().make_cache()) {}

  Result<void> check(std::span<const text::TokenId> tokens) const;
  Result<void> append_chunk(std::span<const text::TokenId> tokens, bool last,
                            const AppendOptions& options);

  std::unique_ptr<Stepper> own_;  // outlives the cache
  Stepper* stepper_;
  std::uint32_t context_;
  std::unique_ptr<backend::KvCache> cache_;
  std::vector<text::TokenId> tokens_;
  std::vector<float> logits_;
  std::span<const float> hidden_;
  std::vector<backend::TokenLogit> candidates_;  // room for the vocabulary once it was asked for
  std::size_t found_ = 0;
  bool failed_ = false;
};

}  // namespace tern::engine
