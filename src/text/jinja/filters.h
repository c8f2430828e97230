// The filters of a template by name, and how they read their arguments.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/operations.h"

namespace tern::text::jinja {

using Filter = Result<Value> (*)(Interpreter&, const Value&, const Arguments&);
using Filters = std::map<std::string, Filter, std::less<>>;

const Filters& sequence_filters();  // of lists, dictionaries and what else one can go through
const Filters& value_filters();     // of strings and numbers, and of any value

// The argument at a place or of a name; `otherwise` where it was not given.
bool flag(const Arguments& given, std::size_t place, std::string_view name, bool otherwise);
Result<std::int64_t> whole(const Arguments& given, std::size_t place, std::string_view name,
                           std::int64_t otherwise);
Result<std::string> words(Interpreter& interpreter, const Arguments& given, std::size_t place,
                          std::string_view name, std::string otherwise);

}  // namespace tern::text::jinja
