// The tests of a template: "is defined" and its like.
#include <algorithm>
#include <cmath>
#include <map>

#include "text/jinja/operations.h"

namespace tern::text::jinja {
namespace {

using Test = Result<bool> (*)(const Value&, const Value&);  // the value, and what it is held to

template <typename Number>
Result<bool> rest_is(const Value& of, Number rest) {
  if (of.real()) return std::abs(std::fmod(of.number(), 2.0)) == static_cast<double>(rest);
  if (!of.integer() && !of.boolean()) {
    return refused("expected a number, found a '" + of.type_name() + "'");
  }
  return std::abs(of.whole() % 2) == rest;
}

Result<bool> divides(const Value& of, const Value& by) {
  if (!of.integer() || !by.integer() || *by.integer() == 0) {
    return refused("expected whole numbers, and a divisor other than zero");
  }
  return *by.integer() == -1 || *of.integer() % *by.integer() == 0;
}

bool has_case(const std::string& text, bool upper) {
  return with_case(text, upper) == text && with_case(text, !upper) != text;
}

// Whether the order of two values, negative, 0 or positive, is one of those wanted.
template <bool kLess, bool kEqual, bool kMore>
Result<bool> ordered(const Value& of, const Value& by) {
  TERN_ASSIGN(const int order, compare(of, by));
  return order < 0 ? kLess : order == 0 ? kEqual : kMore;
}

bool is_sequence(const Value& of) { return of.string() || of.list() || of.dict(); }

const std::map<std::string, Test, std::less<>>& tests() {
  constexpr auto kEqual = [](const Value& a, const Value& b) -> Result<bool> {
    return equal(a, b);
  };
  constexpr auto kUnequal = [](const Value& a, const Value& b) -> Result<bool> {
    return !equal(a, b);
  };
  constexpr Test kLess = ordered<true, false, false>;
  constexpr Test kAtMost = ordered<true, true, false>;
  constexpr Test kMore = ordered<false, false, true>;
  constexpr Test kAtLeast = ordered<false, true, true>;
  using V = const Value&;
  using R = Result<bool>;
  static const std::map<std::string, Test, std::less<>> all{
      {"defined", [](V a, V) -> R { return a.undefined() == nullptr; }},
      {"undefined", [](V a, V) -> R { return a.undefined() != nullptr; }},
      {"none", [](V a, V) -> R { return a.is_none(); }},
      {"boolean", [](V a, V) -> R { return a.boolean() != nullptr; }},
      {"true", [](V a, V) -> R { return a.boolean() && *a.boolean(); }},
      {"false", [](V a, V) -> R { return a.boolean() && !*a.boolean(); }},
      {"integer", [](V a, V) -> R { return a.integer() != nullptr; }},
      {"float", [](V a, V) -> R { return a.real() != nullptr; }},
      {"number", [](V a, V) -> R { return a.is_number(); }},
      {"string", [](V a, V) -> R { return a.string() != nullptr; }},
      {"mapping", [](V a, V) -> R { return a.dict() != nullptr; }},
      {"sequence", [](V a, V) -> R { return is_sequence(a); }},
      {"iterable", [](V a, V) -> R { return is_sequence(a) || a.undefined(); }},
      {"callable", [](V a, V) -> R { return a.function() != nullptr; }},
      {"sameas", [](V a, V b) -> R { return a.type_name() == b.type_name() && equal(a, b); }},
      {"escaped", [](V, V) -> R { return false; }},
      {"odd", [](V a, V) -> R { return rest_is(a, 1); }},
      {"even", [](V a, V) -> R { return rest_is(a, 0); }},
      {"divisibleby", divides},
      {"lower", nullptr},  // by apply_test
      {"upper", nullptr},
      {"in", nullptr},
      {"eq", kEqual},
      {"equalto", kEqual},
      {"==", kEqual},
      {"ne", kUnequal},
      {"!=", kUnequal},
      {"lt", kLess},
      {"lessthan", kLess},
      {"<", kLess},
      {"le", kAtMost},
      {"<=", kAtMost},
      {"gt", kMore},
      {"greaterthan", kMore},
      {">", kMore},
      {"ge", kAtLeast},
      {">=", kAtLeast}};
  return all;
}

}  // namespace

Result<bool> apply_test(Interpreter& interpreter, const std::string& name, const Value& of,
                        const Arguments& arguments) {
  const auto found = tests().find(name);
  if (found == tests().end()) return refused("expected a test that is known, found '" + name + "'");
  TERN_TRY(interpreter.spend_on_surface(of));
  if (!arguments.positional.empty()) {  // compared
    TERN_TRY(interpreter.spend_on(of));
    TERN_TRY(interpreter.spend_on(arguments.positional[0]));
  }
  if (name == "lower" || name == "upper") {  // of what shows the value
    TERN_ASSIGN(const std::string shown, interpreter.shown(of));
    return has_case(shown, name == "upper");
  }
  if (name == "in")
    return contains(interpreter, arguments.positional.empty() ? Value() : arguments.positional[0],
                    of);
  const Value nothing;
  return found->second(of, arguments.positional.empty() ? nothing : arguments.positional[0]);
}

}  // namespace tern::text::jinja
