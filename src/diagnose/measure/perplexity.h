// How well a model predicts a text: the negative log-likelihood (NLL) of its tokens in nats.
//
// Windows of `context` tokens move by `stride`. The first window scores all of its tokens but the
// first, each later one only what is new in it, its last `stride` tokens. So every token but the
// first is scored once, with at least context - stride tokens before it from the second window on.
// Each window is computed afresh from position 0. The text gets a begin-of-text token where the
// vocabulary adds one, at the start of the first window alone.
//
// Probabilities are a softmax over all logits in double, by fixed_math.h and in the order of the
// vocabulary: the same figures on every machine.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/kv_type.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern::diagnose {

// The mean of values that come one at a time, and how sure it is.
class RunningMean {
 public:
  void add(double value);
  std::uint64_t count() const { return count_; }
  double mean() const { return mean_; }
  // s / sqrt(n), with s the standard deviation by n - 1; none below two values. It takes the values
  // as independent.
  std::optional<double> standard_error() const;

 private:
  std::uint64_t count_ = 0;
  double mean_ = 0.0;
  double squares_ = 0.0;  // of the distances from the mean, summed
};

// The negative logarithm of the softmax of `logits` at `token`, which is less than their number.
double negative_log_likelihood(std::span<const float> logits, text::TokenId token);

struct TokenizedText {
  std::vector<text::TokenId> tokens;
  std::vector<std::uint32_t> bytes;  // of the text of each token
};
TokenizedText tokenize(const text::Tokenizer& tokenizer, std::string_view text);

struct Perplexity {
  std::uint32_t context = 0;  // as it was
  std::uint32_t stride = 0;
  std::uint64_t windows = 0;        // scored in whole
  std::uint64_t total_windows = 0;  // of the text, or as few as were asked for
  RunningMean nll;                  // nats a scored token
  std::uint64_t bytes = 0;          // of the scored tokens
  std::uint64_t computed = 0;       // tokens that went through the model
  bool cancelled = false;

  // exp(mean), and exp(mean -+ 1.96 standard errors): the bounds of its 95% confidence interval,
  // which one token has not.
  double perplexity() const;
  std::optional<double> lower() const;
  std::optional<double> upper() const;
  // mean * tokens / (bytes * ln 2).
  double bits_per_byte() const;
};

struct PerplexityOptions {
  std::uint32_t context = 0;  // tokens of a window; 0: as many as the model was trained for
  std::uint32_t stride = 0;   // 0: half of the context
  std::uint64_t windows = 0;  // at most as many; 0: all of the text
  format::KvType kv_type = format::KvType::kF16;
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  std::stop_token stop = {};
  std::function<void(const Perplexity&)> on_window = nullptr;  // after each whole window
};

// Errors: kUsage for a context or stride out of range and for fewer than three tokens; those of
// Sequence. A requested stop gives what was scored until then.
Result<Perplexity> measure_perplexity(const model::Model& model, const TokenizedText& text,
                                      const PerplexityOptions& options);

}  // namespace tern::diagnose
