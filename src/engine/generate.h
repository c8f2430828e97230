// Continues a sequence token by token until something ends it.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "engine/answer.h"
#include "engine/sequence.h"
#include "telemetry/telemetry.h"
#include "text/tokenizer.h"

namespace tern::engine {

struct GenerateRequest {
  std::vector<text::TokenId> prompt;  // at least one token
  AnswerOptions answer;
  std::stop_token cancel;
  std::function<void(std::string_view)> on_text;  // whole UTF-8 only
  Sequence::Progress on_prefill;
};

struct Generation {
  EndReason end = EndReason::kMaxTokens;
  std::string text;                   // what on_text was given, end to end
  std::vector<text::TokenId> tokens;  // the generated ones
  std::size_t prompt_tokens = 0;      // of the prompt, computed
  std::size_t searches = 0;           // tokens whose largest logits alone were asked for
  std::size_t head_rows = 0;          // rows of the head that they computed exactly, in sum
  double prefill_seconds = 0.0;
  double decode_seconds = 0.0;  // of the tokens after the first
};

// Errors: those of Answer::create, Sequence::append and Answer::next. Counts engine.prompt_tokens,
// engine.generated_tokens, engine.head_searches and engine.head_rows and emits sequence.finished.
Result<Generation> generate(Sequence& sequence, const text::Tokenizer& tokenizer,
                            const GenerateRequest& request, telemetry::Telemetry& telemetry);

}  // namespace tern::engine
