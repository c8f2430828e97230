// The expressions of a template.
#include <algorithm>

#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"

namespace tern::text::jinja {

using Kind = Expression::Kind;

Result<Value> Interpreter::evaluate(const Expression& e) {
  TERN_TRY(spend(1));
  TERN_TRY(enter());
  const Leave leave(*this);
  auto value = evaluate_kind(e);
  if (value && value->measure().depth > kDeepestValue) value = too_deep();
  if (!value) return at_line(e.line, std::move(value.error()));
  return value;
}

Result<Value> Interpreter::evaluate_kind(const Expression& e) {
  switch (e.kind) {
    case Kind::kConstant: return e.value;
    case Kind::kName: return find(e.name);
    case Kind::kList:
    case Kind::kTuple: return evaluate_list(e);
    case Kind::kDict: return evaluate_dict(e);
    case Kind::kUnary: return evaluate_unary(e);
    case Kind::kBinary: return evaluate_binary(e);
    case Kind::kCompare: return evaluate_compare(e);
    case Kind::kConditional: {
      TERN_ASSIGN(const Value condition, evaluate(*e.operands[1]));
      if (condition.truth()) return evaluate(*e.operands[0]);
      if (e.operands.size() < 3) return Value(Undefined{"an inline if has no else"});
      return evaluate(*e.operands[2]);
    }
    case Kind::kAttribute: {
      TERN_ASSIGN(const Value of, evaluate(*e.operands[0]));
      return attribute(*this, of, e.name);
    }
    case Kind::kItem: {
      TERN_ASSIGN(const Value of, evaluate(*e.operands[0]));
      TERN_ASSIGN(const Value which, evaluate(*e.operands[1]));
      return item(*this, of, which);
    }
    case Kind::kSlice: return evaluate_slice(e);
    case Kind::kCall: return evaluate_call(e);
    case Kind::kFilter: return evaluate_filter(e);
    case Kind::kTest: {
      TERN_ASSIGN(const Value of, evaluate(*e.operands[0]));
      TERN_ASSIGN(const Arguments arguments, arguments_of(e));
      TERN_ASSIGN(const bool holds, apply_test(*this, e.name, of, arguments));
      return Value(holds != e.negated);
    }
  }
  return refused("unknown expression");
}

Result<Value> Interpreter::evaluate_list(const Expression& e) {
  List list;
  list.is_tuple = e.kind == Kind::kTuple;
  for (const ExpressionPtr& operand : e.operands) {
    TERN_ASSIGN(Value item, evaluate(*operand));
    list.items.push_back(std::move(item));
  }
  TERN_TRY(spend(0, list.items.size() * sizeof(Value)));
  return Value(std::move(list));
}

Result<Value> Interpreter::evaluate_dict(const Expression& e) {
  Dict dict;
  for (std::size_t i = 0; i < e.operands.size(); i += 2) {
    TERN_ASSIGN(const Value key, evaluate(*e.operands[i]));
    TERN_TRY(check_hashable(*this, key));
    TERN_ASSIGN(Value value, evaluate(*e.operands[i + 1]));
    TERN_TRY(spend_on_search(key, dict.items.size()));
    dict.set(key, std::move(value));
  }
  TERN_TRY(spend(0, 2 * dict.items.size() * sizeof(Value)));
  return Value(std::move(dict));
}

Result<Value> Interpreter::evaluate_unary(const Expression& e) {
  TERN_ASSIGN(const Value of, evaluate(*e.operands[0]));
  if (e.name == "not") return Value(!of.truth());
  if (const Undefined* missing = of.undefined()) return is_undefined(*missing);
  if (!of.is_number()) {
    return refused("expected a number behind '" + e.name + "', found a '" + of.type_name() + "'");
  }
  if (e.name == "+") return of.real() ? of : Value(of.whole());
  if (of.real()) return Value(-of.number());  // of 0.0, too
  return binary(*this, "-", Value(0), of);
}

Result<Value> Interpreter::evaluate_binary(const Expression& e) {
  TERN_ASSIGN(const Value left, evaluate(*e.operands[0]));
  if (e.name == "and") return left.truth() ? evaluate(*e.operands[1]) : Result<Value>(left);
  if (e.name == "or") return left.truth() ? Result<Value>(left) : evaluate(*e.operands[1]);
  TERN_ASSIGN(const Value right, evaluate(*e.operands[1]));
  return binary(*this, e.name, left, right);
}

Result<Value> Interpreter::evaluate_compare(const Expression& e) {
  TERN_ASSIGN(Value left, evaluate(*e.operands[0]));
  for (std::size_t i = 0; i < e.operators.size(); ++i) {
    TERN_ASSIGN(Value right, evaluate(*e.operands[i + 1]));
    const std::string& op = e.operators[i];
    TERN_TRY(spend_on(left));
    TERN_TRY(spend_on(right));
    bool holds = false;
    if (op == "==" || op == "!=") {
      holds = equal(left, right) == (op == "==");
    } else if (op == "in" || op == "not in") {
      TERN_ASSIGN(const bool found, contains(*this, right, left));
      holds = found == (op == "in");
    } else {
      TERN_ASSIGN(const int order, compare(left, right));
      holds = op == "<" ? order < 0 : op == "<=" ? order <= 0 : op == ">" ? order > 0 : order >= 0;
    }
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::evaluate_slice(const Expression& e) {
  TERN_ASSIGN(const Value of, evaluate(*e.operands[0]));
  std::optional<std::int64_t> parts[3];
  for (std::size_t i = 0; i < 3; ++i) {
    if (e.operands[i + 1] == nullptr) continue;
    TERN_ASSIGN(const Value part, evaluate(*e.operands[i + 1]));
    if (part.is_none()) continue;
    if (!part.integer() && !part.boolean()) {
      return refused("expected a whole number in a slice, found a '" + part.type_name() + "'");
    }
    parts[i] = part.whole();
  }
  return slice(*this, of, parts[0], parts[1], parts[2].value_or(1));
}

Result<Arguments> Interpreter::arguments_of(const Expression& e) {
  Arguments arguments;
  for (std::size_t i = 1; i < e.operands.size(); ++i) {
    TERN_ASSIGN(Value value, evaluate(*e.operands[i]));
    arguments.positional.push_back(std::move(value));
  }
  for (const auto& [name, expression] : e.named) {
    TERN_ASSIGN(Value value, evaluate(*expression));
    arguments.named.emplace_back(name, std::move(value));
  }
  return arguments;
}

Result<Value> Interpreter::evaluate_call(const Expression& e) {
  TERN_ASSIGN(const Value function, evaluate(*e.operands[0]));
  TERN_ASSIGN(const Arguments arguments, arguments_of(e));
  return call(function, arguments);
}

Result<Value> Interpreter::evaluate_filter(const Expression& e) {
  TERN_ASSIGN(const Value of, evaluate(*e.operands[0]));
  TERN_ASSIGN(const Arguments arguments, arguments_of(e));
  return apply_filter(*this, e.name, of, arguments);
}

}  // namespace tern::text::jinja
