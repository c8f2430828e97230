// The prompt of a conversation: its messages through a chat template, as tokens.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern::text {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", or what else the template knows
  std::string content;
  std::optional<std::string> name = {};  // of who speaks; a template need not show it
};

struct ChatPromptOptions {
  bool add_generation_prompt = true;  // ends where the assistant's answer begins
  // Ends where the content of the last message does, whatever the template has behind it.
  bool continue_final_message = false;
  jinja::Variables arguments = {};  // what else the template reads; before all but the messages
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();  // the template's
  std::size_t most_bytes = SIZE_MAX;  // of what the template makes
};

// Names of special tokens are such tokens where the
// template writes them, and text where a message has them: nobody can forge the turns of a chat.
// A begin-of-text token is there where the template writes one.
// Errors: those of ChatTemplate::render; kContextLength for more than `most_bytes`; kUsage where
// the last message, whose content is to be continued, has none or the template does not show all of
// it.
Result<std::vector<TokenId>> chat_prompt(const ChatTemplate& chat, const Tokenizer& tokenizer,
                                         std::span<const ChatMessage> messages,
                                         const ChatPromptOptions& options = {});

}  // namespace tern::text
