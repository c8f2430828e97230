// The tests of a template: "is defined" and its like.
#include <map>

#include "text/jinja/operations.h"

namespace tern::text::jinja {
namespace {

// Of the value, and what it is held to.
using Check = Result<bool> (*)(Interpreter&, const Value&, const Value&);
struct Test {
  std::size_t arguments;
  Check check;
};

// Whether value % by is it, where "%" fills in a string, as in Python.
Result<bool> rest_is(Interpreter& interpreter, const Value& of, const Value& by, int rest) {
  TERN_ASSIGN(const Value found, binary(interpreter, "%", of, by));
  return equal(found, rest);
}

template <bool kUpper>
Result<bool> has_case(Interpreter& interpreter, const Value& of, const Value&) {
  TERN_ASSIGN(const std::string text, interpreter.shown(of));
  return with_case(text, kUpper) == text && with_case(text, !kUpper) != text;
}

// Whether the order of two values, negative, 0 or positive, is one of those wanted.
template <bool kLess, bool kEqual, bool kMore>
Result<bool> ordered(Interpreter&, const Value& of, const Value& by) {
  TERN_ASSIGN(const int order, compare(of, by));
  return order < 0 ? kLess : order == 0 ? kEqual : kMore;
}

// What is undefined has a length, and can be called: it fails when it is.
bool is_sequence(const Value& of) {
  return of.string() || of.list() || of.dict() || of.undefined();
}

const std::map<std::string, Test, std::less<>>& tests() {
  using I = Interpreter&;
  using V = const Value&;
  using R = Result<bool>;
  constexpr Test kEqual{1, [](I, V a, V b) -> R { return equal(a, b); }};
  constexpr Test kUnequal{1, [](I, V a, V b) -> R { return !equal(a, b); }};
  constexpr Test kLess{1, ordered<true, false, false>};
  constexpr Test kAtMost{1, ordered<true, true, false>};
  constexpr Test kMore{1, ordered<false, false, true>};
  constexpr Test kAtLeast{1, ordered<false, true, true>};
  static const std::map<std::string, Test, std::less<>> all{
      {"defined", {0, [](I, V a, V) -> R { return a.undefined() == nullptr; }}},
      {"undefined", {0, [](I, V a, V) -> R { return a.undefined() != nullptr; }}},
      {"none", {0, [](I, V a, V) -> R { return a.is_none(); }}},
      {"boolean", {0, [](I, V a, V) -> R { return a.boolean() != nullptr; }}},
      {"true", {0, [](I, V a, V) -> R { return a.boolean() && *a.boolean(); }}},
      {"false", {0, [](I, V a, V) -> R { return a.boolean() && !*a.boolean(); }}},
      {"integer", {0, [](I, V a, V) -> R { return a.integer() != nullptr; }}},
      {"float", {0, [](I, V a, V) -> R { return a.real() != nullptr; }}},
      {"number", {0, [](I, V a, V) -> R { return a.is_number(); }}},
      {"string", {0, [](I, V a, V) -> R { return a.string() != nullptr; }}},
      {"mapping", {0, [](I, V a, V) -> R { return a.dict() != nullptr; }}},
      {"sequence",
       {0, [](I, V a, V) -> R { return is_sequence(a) && !(a.list() && a.list()->is_iterator); }}},
      {"iterable", {0, [](I, V a, V) -> R { return is_sequence(a); }}},
      {"callable", {0, [](I, V a, V) -> R { return a.function() || a.undefined(); }}},
      {"sameas",
       {1, [](I, V a, V b) -> R { return a.type_name() == b.type_name() && equal(a, b); }}},
      {"escaped", {0, [](I, V, V) -> R { return false; }}},
      {"odd", {0, [](I i, V a, V) -> R { return rest_is(i, a, 2, 1); }}},
      {"even", {0, [](I i, V a, V) -> R { return rest_is(i, a, 2, 0); }}},
      {"divisibleby", {1, [](I i, V a, V b) -> R { return rest_is(i, a, b, 0); }}},
      {"lower", {0, has_case<false>}},
      {"upper", {0, has_case<true>}},
      {"in", {1, [](I i, V a, V b) -> R { return contains(i, b, a); }}},
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
  const auto& [wanted, check] = found->second;
  if (arguments.positional.size() != wanted) {
    return refused("expected " + std::string(wanted == 0 ? "no argument" : "1 argument") +
                   " of test '" + name + "', found " + std::to_string(arguments.positional.size()));
  }
  TERN_TRY(interpreter.spend_on_surface(of));
  if (wanted == 0) return check(interpreter, of, Value());
  TERN_TRY(interpreter.spend_on(of));  // compared
  TERN_TRY(interpreter.spend_on(arguments.positional[0]));
  return check(interpreter, of, arguments.positional[0]);
}

}  // namespace tern::text::jinja
