// A template as tokens. Blocks are trimmed as chat templates want it (trim_blocks, lstrip_blocks):
// the first line break after a block, and the spaces before one on its line, are no text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace tern::text::jinja {

struct LexToken {
  enum class Kind {
    kText,
    kBlockBegin,
    kBlockEnd,
    kOutputBegin,
    kOutputEnd,
    kName,
    kString,
    kInteger,
    kReal,
    kOperator,
    kEnd,
  };
  Kind kind;
  std::string text;  // of a string what it means
  int line;
};

// Errors: kMalformed with the line.
Result<std::vector<LexToken>> lex(std::string_view source);

Error template_error(int line, std::string message);  // kMalformed

}  // namespace tern::text::jinja
