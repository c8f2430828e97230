#include "engine/generate.h"

#include <chrono>
#include <utility>

namespace tern::engine {
namespace {

using Clock = std::chrono::steady_clock;
using text::TokenId;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Appends and chooses until something ends the answer; `generation` grows as it goes.
Result<EndReason> decode(Sequence& sequence, Answer& answer, const GenerateRequest& request,
                         Generation& generation) {
  const auto show = [&](const std::string& text) {
    if (text.empty()) return;
    generation.text += text;
    if (request.on_text) request.on_text(text);
  };
  for (;;) {
    if (request.cancel.stop_requested()) {
      show(answer.finish());
      return EndReason::kCancelled;
    }
    TERN_ASSIGN(const Answer::Piece piece, answer.next(sequence));
    show(piece.text);
    if (piece.end) return *piece.end;
    Sequence::AppendOptions options;
    options.top = answer.wanted(sequence.model());
    TERN_TRY(sequence.append(answer.tokens().last(1), options));
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

Result<Generation> generate(Sequence& sequence, const text::Tokenizer& tokenizer,
                            const GenerateRequest& request, telemetry::Telemetry& telemetry) {
  if (request.prompt.empty()) return no_prompt();
  std::vector<TokenId> before(sequence.tokens().begin(), sequence.tokens().end());
  before.insert(before.end(), request.prompt.begin(), request.prompt.end());
  TERN_ASSIGN(Answer answer, Answer::create(tokenizer, before, request.answer));
  Generation generation;
  const auto prefill_start = Clock::now();
  TERN_ASSIGN(generation.prompt_tokens,
              sequence.append(request.prompt, {.stop = request.cancel,
                                               .progress = request.on_prefill,
                                               .top = answer.wanted(sequence.model())}));
  generation.prefill_seconds = seconds_since(prefill_start);
  const auto decode_start = Clock::now();
  generation.end = EndReason::kCancelled;
  if (generation.prompt_tokens == request.prompt.size()) {
    TERN_ASSIGN(generation.end, decode(sequence, answer, request, generation));
  }
  generation.decode_seconds = seconds_since(decode_start);
  generation.tokens.assign(answer.generated().begin(), answer.generated().end());
  generation.searches = answer.searches();
  generation.head_rows = answer.head_rows();
  report(generation, telemetry);
  return generation;
}

}  // namespace tern::engine
