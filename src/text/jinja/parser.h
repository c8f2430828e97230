// From the text of a template to its statements.
#pragma once

#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/jinja/ast.h"

namespace tern::text::jinja {

// Errors: kMalformed with the line, also for statements that Tern does not have (include, import,
// extends) and for nesting deeper than kDeepest.
inline constexpr int kDeepest = 100;
Result<std::vector<Statement>> parse(std::string_view source);

}  // namespace tern::text::jinja
