// Conversations as JSON, in the form of OpenAI's API: {"messages": [{"role", "content"}, ...]}.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "text/chat_prompt.h"

namespace tern::cli {

// A system message or none, then users' and assistants' in turns.
// Errors: kIo; kMalformed, naming the place, what was expected and what was found.
Result<std::vector<text::ChatMessage>> load_chat(const std::string& path);

// The file appears whole, or what was there stays. Errors: kIo.
Result<void> save_chat(const std::string& path, std::span<const text::ChatMessage> messages);

}  // namespace tern::cli
