// Chat templates by name, for models whose file has none.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern::text {

struct NamedTemplate {
  std::string_view name;
  std::string_view source;
  std::vector<std::string_view> tokens;  // that the vocabulary must have
  std::vector<std::string> stops;        // that end an answer where no token does
};

// "bitnet", "chatml", "llama3", "plain"; the last for models that know no turns.
std::span<const NamedTemplate> named_templates();

// Null where there is none of that name.
const NamedTemplate* find_named_template(std::string_view name);

// Errors: kUsage where the vocabulary lacks a token of the template.
Result<void> check_tokens(const NamedTemplate& named, const Tokenizer& tokenizer);

}  // namespace tern::text
