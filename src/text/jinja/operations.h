// What expressions are made of: operators, attributes, filters, tests and global functions.
#pragma once

#include <optional>
#include <string_view>

#include "core/result.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/value.h"

namespace tern::text::jinja {

inline constexpr const char* kNoPlace = "template";  // the context of an error without a line
Error refused(std::string message);                  // kUsage
Error is_undefined(const Undefined& missing);
Error at_line(int line, Error error);  // with its place, where it does not know one

// a op b for "+", "-", "*", "/", "//", "%", "**" and "~".
Result<Value> binary(Interpreter& interpreter, std::string_view op, const Value& a, const Value& b);
Result<bool> contains(Interpreter& interpreter, const Value& all, const Value& item);
// Where `what` begins in the text, `from` or later; in linear time.
std::size_t find_in(std::string_view text, std::string_view what, std::size_t from = 0);

// of.name: a method, an item of that name, or what is undefined.
Result<Value> attribute(Interpreter& interpreter, const Value& of, const std::string& name);
Result<Value> item(Interpreter& interpreter, const Value& of, const Value& which);
Result<Value> slice(Interpreter& interpreter, const Value& of,
                    const std::optional<std::int64_t>& begin,
                    const std::optional<std::int64_t>& end, std::int64_t step);
// A method of a string or a dictionary that only reads; none of that name: no value.
std::optional<Value> method(const Value& of, const std::string& name);

Result<Value> apply_filter(Interpreter& interpreter, const std::string& name, const Value& of,
                           const Arguments& arguments);
// The pattern with the values in it. An operand of "%" that is a list or a dictionary may go
// unused, as in Python; an argument of the filter may not.
Result<Value> formatted(Interpreter& interpreter, const Value& of, const Arguments& given,
                        bool of_filter);
Result<bool> apply_test(Interpreter& interpreter, const std::string& name, const Value& of,
                        const Arguments& arguments);

// range, namespace, dict, cycler, joiner, raise_exception.
Variables global_functions();

// Text as Python's methods of strings have it.
std::string stripped(std::string_view text, std::string_view what, bool left, bool right);
std::string with_case(std::string_view text, bool upper);
bool is_alphanumeric(std::string_view character);
std::string capitalized(std::string_view text);
std::string titled(std::string_view text);
Result<Value> replaced(Interpreter& interpreter, std::string_view text, std::string_view from,
                       std::string_view to, std::int64_t most);

}  // namespace tern::text::jinja
