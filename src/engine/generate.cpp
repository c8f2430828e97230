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

// The computing side of a generation: asks the head for no more than the sampler needs.
class Decoder {
 public:
  Decoder(Sequence& sequence, const text::Tokenizer& tokenizer, Sampler& sampler,
          Generation& generation)
      : sequence_(sequence),
        sampler_(sampler),
        generation_(generation),
        // An embedding may be padded beyond the vocabulary: those rows are no tokens.
        texts_(std::min<std::size_t>(sequence.model().config().vocab, tokenizer.vocab_size())) {}

  Result<std::size_t> append(std::span<const TokenId> tokens, Sequence::AppendOptions options) {
    std::vector<TokenId> always;
    if (const auto count = sampler_.decisive()) {
      always = sampler_.penalised(recent_with(tokens));
      options.top = {*count, static_cast<std::uint32_t>(texts_), always};
    }
    TERN_ASSIGN(const std::size_t done, sequence_.append(tokens, options));
    if (options.top && done == tokens.size()) {
      ++generation_.searches;
      generation_.head_rows += sequence_.candidates().size();
    }
    return done;
  }

  Result<TokenId> sample() {
    const auto position = static_cast<std::uint32_t>(sequence_.tokens().size());
    if (sampler_.decisive()) {
      return sampler_.sample(sequence_.candidates(), position, sequence_.tokens());
    }
    return sampler_.sample(sequence_.logits().first(texts_), position, sequence_.tokens());
  }

 private:
  // The end of the sequence as it will be, as far as a penalty looks back.
  std::vector<TokenId> recent_with(std::span<const TokenId> tokens) const {
    const auto before = sequence_.tokens();
    const auto span = std::min<std::size_t>(before.size(), sampler_.options().repeat_last_n);
    std::vector<TokenId> recent(before.end() - static_cast<std::ptrdiff_t>(span), before.end());
    recent.insert(recent.end(), tokens.begin(), tokens.end());
    return recent;
  }

  Sequence& sequence_;
  Sampler& sampler_;
  Generation& generation_;
  std::size_t texts_;
};

// Samples and appends until something ends the sequence; `generation` grows as it goes.
Result<EndReason> decode(Decoder& decoder, const Sequence& sequence,
                         const text::Tokenizer& tokenizer, const GenerateRequest& request,
                         TextStream& stream, Generation& generation) {
  for (;;) {
    if (request.cancel.stop_requested()) return EndReason::kCancelled;
    if (request.max_tokens && generation.tokens.size() >= *request.max_tokens) {
      return EndReason::kMaxTokens;
    }
    TERN_ASSIGN(const TokenId token, decoder.sample());
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
    TERN_TRY(decoder.append({&token, 1}, {}));
  }
}

void report(const Generation& generation, telemetry::Telemetry& telemetry) {
  telemetry.counter("engine.prompt_tokens").add(generation.prompt_tokens);
  telemetry.counter("engine.generated_tokens").add(generation.tokens.size());
  telemetry.counter("engine.head_searches").add(generation.searches);
  telemetry.counter("engine.head_rows").add(generation.head_rows);
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
  Decoder decoder(sequence, tokenizer, sampler, generation);
  const auto prefill_start = Clock::now();
  TERN_ASSIGN(generation.prompt_tokens,
              decoder.append(request.prompt, {request.cancel, request.on_prefill}));
  generation.prefill_seconds = seconds_since(prefill_start);
  const auto decode_start = Clock::now();
  if (generation.prompt_tokens < request.prompt.size()) {
    generation.end = EndReason::kCancelled;
  } else {
    TextStream stream(tokenizer, request, generation.text);
    TERN_ASSIGN(generation.end, decode(decoder, sequence, tokenizer, request, stream, generation));
    stream.finish();
  }
  generation.decode_seconds = seconds_since(decode_start);
  report(generation, telemetry);
  return generation;
}

}  // namespace tern::engine
