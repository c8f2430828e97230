// The methods of values by name, and how they read their arguments.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "text/jinja/operations.h"

namespace tern::text::jinja {

using Method = Result<Value> (*)(Interpreter&, const Value&, const Arguments&);
using Methods = std::map<std::string, Method, std::less<>>;

// Of strings those that pad a text, take it apart at one place, fill it in, or ask what it is.
const Methods& layout_methods();

// Python's methods take more, by which they look at a part of the text. Errors: kUsage.
Result<void> only(const Arguments& given, std::size_t most);
// The text argument at a place; `otherwise` where it is missing or none.
Result<std::string> text_argument(const Arguments& given, std::size_t place, std::string_view name,
                                  std::string otherwise);
Result<std::int64_t> whole_argument(const Arguments& given, std::size_t place,
                                    std::string_view name, std::int64_t otherwise);

}  // namespace tern::text::jinja
