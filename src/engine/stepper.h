// A step: tokens of any number of sequences, computed in one pass over the model's weights.
//
// A Stepper owns what its sequences share: the pool of their keys and values, and the workspace of
// a step. Which sequences meet in a step, and how their tokens are divided among steps, changes no
// result. It belongs to one thread at a time, together with its sequences, and outlives them; the
// model outlives it.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/result.h"
#include "format/kv_type.h"
#include "model/model.h"
#include "text/token.h"

namespace tern::engine {

class Sequence;

struct StepperOptions {
  std::uint32_t rows = 256;     // most tokens of a step
  std::uint32_t pages = 0;      // for keys and values, of backend::KvPool::kPageTokens tokens each
  std::uint32_t sequences = 1;  // whose answers are counted in the memory asked for
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  format::KvType kv_type = format::KvType::kF16;  // of the keys and values
};

// Asks for the largest logits after a token instead of all: see backend::TopQuery.
struct TopLogits {
  std::uint32_t count = 1;
  std::uint32_t tokens = 0;
  std::span<const text::TokenId> always = {};  // ascending
  std::optional<GumbelDraw> draw = {};
};

// What becomes of one sequence in a step.
struct Advance {
  enum class Logits { kNone, kLast, kEvery };

  Sequence* sequence;
  std::span<const text::TokenId> tokens;  // at least one, which follow those that it has
  Logits logits = Logits::kLast;          // all logits, after which of these tokens
  std::optional<TopLogits> top = {};      // after the last one, beside all logits or with kNone
  bool hidden = false;                    // the hidden states of all of these tokens
  // Written: why this sequence can go no further, kNumeric. It is unusable, the others are not.
  std::optional<Error> failed = {};
};

class Stepper {
 public:
  // Errors: kUsage for no rows, kOutOfMemory.
  static Result<std::unique_ptr<Stepper>> create(const model::Model& model,
                                                 const StepperOptions& options);

  const model::Model& model() const { return model_; }
  std::uint32_t rows() const { return rows_; }
  format::KvType kv_type() const { return kv_type_; }
  // Of which sequences take pages as they grow, and give them back when they end.
  backend::KvPool& pool() { return *pool_; }

  // Computes the tokens of each sequence: all of this stepper, none twice. Errors, with which no
  // sequence has changed: kUsage for a token outside of the vocabulary, more tokens than rows() or
  // none, a sequence that failed before and largest logits that backend::TopQuery does not allow;
  // kContextLength for more than a sequence has room for; kOutOfMemory for more pages than are
  // free.
  Result<void> step(std::span<Advance> work);

 private:
  Stepper(const model::Model& model, const StepperOptions& options)
      : model_(model), rows_(options.rows), kv_type_(options.kv_type) {}

  Result<void> check(std::span<const Advance> work) const;
  Result<void> check_one(const Advance& advance) const;
  void add(Advance& advance);
  void take_answers(std::span<Advance> work);

  const model::Model& model_;
  std::uint32_t rows_;
  format::KvType kv_type_;
  std::unique_ptr<backend::KvPool> pool_;
  std::unique_ptr<backend::Workspace> workspace_;
  // Of the step at hand.
  std::vector<backend::BatchRow> batch_;
  std::vector<backend::LogitQuery> logits_;
  std::vector<backend::TopQuery> tops_;
  std::vector<backend::HiddenQuery> hidden_;
  std::vector<float> states_;  // that they ask for
  std::vector<std::optional<Error>> failures_;
};

}  // namespace tern::engine
