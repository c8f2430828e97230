// A model's chat template: from a conversation to the prompt that the model was trained on.
//
// Templates come with files that nobody vouches for: they read what they are given and nothing
// else, and are bounded in steps, bytes and depth. Immutable once parsed; may be used by any number
// of threads at once.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "text/jinja/interpreter.h"

namespace tern::text {

struct ChatInput {
  // What the template reads: at least `messages`, a list of dictionaries with `role` and `content`;
  // by habit also `tools`, `documents`, `add_generation_prompt`, `bos_token`, `eos_token`.
  jinja::Variables variables;
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();  // strftime_now
  jinja::Limits limits = {};
};

class ChatTemplate {
 public:
  // Errors: kMalformed with the line.
  static Result<ChatTemplate> parse(std::string_view source);
  // The file's tokenizer.chat_template. Errors: kUsage where it has none.
  static Result<ChatTemplate> from_gguf(const format::GgufFile& file);

  // Errors: kUsage for what the template refuses or asks for in vain, kOutOfMemory for a limit met.
  Result<std::string> render(const ChatInput& input) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}

  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace tern::text
