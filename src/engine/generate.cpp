#include "engine/generate.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/stop_scanner.h"
#include "text/stream_decoder.h"

namespace tern::engine {
namespace {

using Clock = std::chrono::steady_clock;
using text::TokenId;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens to text: whole characters, stop strings cut off.
class TextStream {
 public:
  TextStream(const text::Tokenizer& tokenizer, const GenerateRequest& request, std::string& text)
      : decoder_(tokenizer, false, request.prompt),
        scanner_(request.stops),
        on_text_(request.on_text),
        text_(text) {}

  void push(TokenId token) { show(scanner_.push(decoder_.push(token))); }
  void finish() {
    show(scanner_.push(decoder_.finish()));
    show(scanner_.finish());
  }
  bool stopped() const { return scanner_.stopped(); }

 private:
  void show(const std::string& shown) {
    if (shown.empty()) return;
    text_ += shown;
    if (on_text_) on_text_(shown);
  }

  text::StreamDecoder decoder_;
  StopScanner scanner_;
  const std::function<void(std::string_view)>& on_text_;
  std::string& text_;
};

// Samples and appends until something ends the sequence; `generation` grows as it goes.
Result<EndReason> decode(Sequence& sequence, const text::Tokenizer& tokenizer,
                         const GenerateRequest& request, Sampler& sampler, TextStream& stream,
                         Generation& generation) {
  // An embedding may be padded beyond the vocabulary: those rows are no tokens.
  const std::size_t texts = std::min(sequence.logits().size(), tokenizer.vocab_size());
  for (;;) {
    if (request.cancel.stop_requested()) return EndReason::kCancelled;
    if (request.max_tokens && generation.tokens.size() >= *request.max_tokens) {
      return EndReason::kMaxTokens;
    }
    const auto position = static_cast<std::uint32_t>(sequence.tokens().size());
    TERN_ASSIGN(const TokenId token,
                sampler.sample(sequence.logits().first(texts), position, sequence.tokens()));
    if (!request.ignore_end && tokenizer.is_end_of_generation(token)) {
      return EndReason::kEndOfSequence;
    }
    generation.tokens.push_back(token);
    stream.push(token);
    if (stream.stopped()) return EndReason::kStopString;
    if (sequence.room() == 0) return EndReason::kContextFull;
    if (request.max_tokens && generation.tokens.size() >= *request.max_tokens) {
      return EndReason::kMaxTokens;  // before computing logits that nobody reads
    }
    TERN_TRY(sequence.append({&token, 1}));
  }
}

void report(const Generation& generation, telemetry::Telemetry& telemetry) {
  telemetry.counter("engine.prompt_tokens").add(generation.prompt_tokens);
  telemetry.counter("engine.generated_tokens").add(generation.tokens.size());
  telemetry.emit({"sequence.finished",
                  {{"reason", std::string(name(generation.end))},
                   {"prompt_tokens", std::uint64_t{generation.prompt_tokens}},
                   {"generated_tokens", std::uint64_t{generation.tokens.size()}},
                   {"prefill_seconds", generation.prefill_seconds},
                   {"decode_seconds", generation.decode_seconds}}});
}

}  // namespace

std::string_view name(EndReason reason) {
  switch (reason) {
    case EndReason::kEndOfSequence: return "end_of_sequence";
    case EndReason::kStopString: return "stop_string";
    case EndReason::kMaxTokens: return "max_tokens";
    case EndReason::kContextFull: return "context_full";
    case EndReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

Result<Generation> generate(Sequence& sequence, const text::Tokenizer& tokenizer,
                            const GenerateRequest& request, telemetry::Telemetry& telemetry) {
  if (request.prompt.empty()) {
    return Error{ErrorCode::kUsage,
                 "expected at least one token (this model adds no begin-of-text token)", "prompt"};
  }
  TERN_ASSIGN(Sampler sampler, Sampler::create(request.sampling));
  Generation generation;
  const auto prefill_start = Clock::now();
  TERN_ASSIGN(generation.prompt_tokens,
              sequence.append(request.prompt, {request.cancel, request.on_prefill, nullptr}));
  generation.prefill_seconds = seconds_since(prefill_start);
  const auto decode_start = Clock::now();
  if (generation.prompt_tokens < request.prompt.size()) {
    generation.end = EndReason::kCancelled;
  } else {
    TextStream stream(tokenizer, request, generation.text);
    TERN_ASSIGN(generation.end, decode(sequence, tokenizer, request, sampler, stream, generation));
    stream.finish();
  }
  generation.decode_seconds = seconds_since(decode_start);
  report(generation, telemetry);
  return generation;
}

}  // namespace tern::engine
