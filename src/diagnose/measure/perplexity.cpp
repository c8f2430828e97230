#include "diagnose/measure/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "core/fixed_math.h"
#include "engine/sequence.h"

namespace tern::diagnose {
namespace {

constexpr double kNormalQuantile = 1.959963984540054;  // 97.5% of a normal distribution lie below

std::string range(std::uint64_t low, std::uint64_t high, std::uint64_t found) {
  return "expected " + std::to_string(low) + " to " + std::to_string(high) + ", found " +
         std::to_string(found);
}

Result<void> check(const Perplexity& sizes, std::uint32_t most, std::size_t tokens) {
  if (sizes.context < 2 || sizes.context > most) {
    return Error{ErrorCode::kUsage, range(2, most, sizes.context), "context"};
  }
  // A window must show at least one token before the first that it scores.
  if (sizes.stride >= sizes.context) {  // a stride of 0 means half of the context
    return Error{ErrorCode::kUsage,
                 range(1, sizes.context - 1, sizes.stride) + "; it is less than the context",
                 "stride"};
  }
  if (tokens < 3) {  // two scored ones, for an error of the mean
    return Error{ErrorCode::kUsage,
                 "expected at least 3 tokens, begin-of-text included, found " +
                     std::to_string(tokens) + "; give a longer text",
                 "text"};
  }
  return {};
}

std::uint64_t windows_of(std::size_t tokens, const Perplexity& sizes, std::uint64_t most) {
  const std::uint64_t rest = tokens > sizes.context ? tokens - sizes.context : 0;
  const std::uint64_t all = 1 + (rest + sizes.stride - 1) / sizes.stride;
  return most == 0 ? all : std::min(all, most);
}

// Scores text[first, end) in a window that begins at `begin`, before `first`.
Result<void> score(const model::Model& model, const TokenizedText& text, std::size_t begin,
                   std::size_t first, std::size_t end, const PerplexityOptions& options,
                   Perplexity& result) {
  engine::SequenceOptions sequence_options;
  sequence_options.context = result.context;
  sequence_options.available_memory = options.available_memory;
  sequence_options.kv_type = options.kv_type;
  TERN_ASSIGN(engine::Sequence sequence, engine::Sequence::create(model, sequence_options));
  const std::span<const text::TokenId> tokens(text.tokens);
  engine::Sequence::AppendOptions append;
  append.stop = options.stop;
  // Logits are needed from the last token before `first` on; the head is not computed before that.
  const auto shown = tokens.subspan(begin, first - 1 - begin);
  const auto scored = tokens.subspan(first - 1, end - first);
  TERN_ASSIGN(std::size_t taken, sequence.append(shown, append));
  result.computed += taken;
  if (taken == shown.size()) {
    append.every_logit = [&](std::uint32_t position, std::span<const float> logits) {
      const std::size_t next = begin + position + 1;
      result.nll.add(negative_log_likelihood(logits, text.tokens[next]));
      result.bytes += text.bytes[next];
    };
    TERN_ASSIGN(taken, sequence.append(scored, append));
    result.computed += taken;
    result.cancelled = taken < scored.size();
  } else {
    result.cancelled = true;
  }
  return {};
}

}  // namespace

void RunningMean::add(double value) {
  ++count_;
  const double distance = value - mean_;
  mean_ += distance / static_cast<double>(count_);
  squares_ += distance * (value - mean_);
}

std::optional<double> RunningMean::standard_error() const {
  if (count_ < 2) return std::nullopt;
  const auto n = static_cast<double>(count_);
  return std::sqrt(squares_ / (n - 1.0) / n);
}

double negative_log_likelihood(std::span<const float> logits, text::TokenId token) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += fixed_exp(static_cast<double>(logit) - largest);
  return fixed_log(sum) + (largest - static_cast<double>(logits[static_cast<std::size_t>(token)]));
}

TokenizedText tokenize(const text::Tokenizer& tokenizer, std::string_view text) {
  TokenizedText out;
  out.tokens = tokenizer.encode(text);
  bool begins = true;
  for (const text::TokenId token : out.tokens) {
    out.bytes.push_back(static_cast<std::uint32_t>(tokenizer.text_of(token, begins, false).size()));
  }
  return out;
}

double Perplexity::perplexity() const { return fixed_exp(nll.mean()); }
std::optional<double> Perplexity::lower() const {
  const auto error = nll.standard_error();
  return error ? std::optional(fixed_exp(nll.mean() - kNormalQuantile * *error)) : std::nullopt;
}
std::optional<double> Perplexity::upper() const {
  const auto error = nll.standard_error();
  return error ? std::optional(fixed_exp(nll.mean() + kNormalQuantile * *error)) : std::nullopt;
}
double Perplexity::bits_per_byte() const {
  return nll.mean() * static_cast<double>(nll.count()) /
         (static_cast<double>(bytes) * std::numbers::ln2);
}

Result<Perplexity> measure_perplexity(const model::Model& model, const TokenizedText& text,
                                      const PerplexityOptions& options) {
  Perplexity result;
  result.context = options.context == 0 ? model.config().context : options.context;
  result.stride = options.stride == 0 ? result.context / 2 : options.stride;
  const std::size_t count = text.tokens.size();
  TERN_TRY(check(result, model.config().context, count));
  result.total_windows = windows_of(count, result, options.windows);
  std::size_t first = 1;
  while (result.windows < result.total_windows) {
    const std::size_t begin = result.windows * result.stride;
    const std::size_t end = std::min<std::size_t>(begin + result.context, count);
    TERN_TRY(score(model, text, begin, first, end, options, result));
    if (result.cancelled) break;
    first = end;
    ++result.windows;
    if (options.on_window) options.on_window(result);
  }
  return result;
}

}  // namespace tern::diagnose
