#include "text/jinja/expression_parser.h"

#include <algorithm>
#include <charconv>

#include "text/jinja/parser.h"

namespace tern::text::jinja {

using Kind = Expression::Kind;
using Lex = LexToken::Kind;

bool ExpressionParser::at_operator(std::string_view text) const {
  return peek().kind == Lex::kOperator && peek().text == text;
}
bool ExpressionParser::at_name(std::string_view text) const {
  return peek().kind == Lex::kName && peek().text == text;
}
bool ExpressionParser::take_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  next();
  return true;
}
bool ExpressionParser::take_name(std::string_view text) {
  if (!at_name(text)) return false;
  next();
  return true;
}

Error ExpressionParser::unexpected(std::string_view expected) const {
  const LexToken& found = peek();
  std::string name = "'" + found.text + "'";
  if (found.kind == Lex::kEnd) name = "the end of the template";
  if (found.kind == Lex::kBlockEnd) name = "'%}'";
  if (found.kind == Lex::kOutputEnd) name = "'}}'";
  return template_error(found.line, "expected " + std::string(expected) + ", found " + name);
}

Result<void> ExpressionParser::expect_operator(std::string_view text) {
  if (take_operator(text)) return {};
  return unexpected("'" + std::string(text) + "'");
}

Result<std::string> ExpressionParser::expect_name() {
  if (peek().kind != Lex::kName) return unexpected("a name");
  return next().text;
}

ExpressionPtr ExpressionParser::make(Kind kind, std::string name) const {
  auto made = std::make_unique<Expression>();
  made->kind = kind;
  made->line = peek().line;
  made->name = std::move(name);
  return made;
}

Result<ExpressionPtr> ExpressionParser::sized(ExpressionPtr made) {
  constexpr int kDeepestTree = 1000;
  for (const ExpressionPtr& operand : made->operands) {
    if (operand != nullptr) made->depth = std::max(made->depth, operand->depth + 1);
  }
  for (const auto& [name, value] : made->named) {
    made->depth = std::max(made->depth, value->depth + 1);
  }
  if (made->depth <= kDeepestTree) return made;
  return template_error(made->line, "expected at most " + std::to_string(kDeepestTree) +
                                        " operations in a row, found more");
}

Result<ExpressionPtr> ExpressionParser::expression(bool conditional) {
  if (++depth_ > kDeepest) {
    return template_error(peek().line, "expected at most " + std::to_string(kDeepest) +
                                           " nested expressions, found more");
  }
  TERN_ASSIGN(ExpressionPtr left, either());
  while (conditional && take_name("if")) {
    ExpressionPtr made = make(Kind::kConditional);
    made->operands.push_back(std::move(left));
    TERN_ASSIGN(ExpressionPtr condition, either());
    made->operands.push_back(std::move(condition));
    if (take_name("else")) {
      TERN_ASSIGN(ExpressionPtr otherwise, expression());
      made->operands.push_back(std::move(otherwise));
    }
    TERN_ASSIGN(left, sized(std::move(made)));
  }
  --depth_;
  return left;
}

Result<ExpressionPtr> ExpressionParser::tuple(bool conditional) {
  TERN_ASSIGN(ExpressionPtr first, expression(conditional));
  if (!at_operator(",")) return first;
  ExpressionPtr made = make(Kind::kTuple);
  made->operands.push_back(std::move(first));
  while (take_operator(",")) {
    const Lex kind = peek().kind;
    if (kind == Lex::kBlockEnd || kind == Lex::kOutputEnd || at_operator(")")) break;
    TERN_ASSIGN(ExpressionPtr item, expression(conditional));
    made->operands.push_back(std::move(item));
  }
  return sized(std::move(made));
}

// Operands of one level with its operators between them, from the left.
Result<ExpressionPtr> ExpressionParser::chain(Level level,
                                              std::initializer_list<std::string_view> operators) {
  TERN_ASSIGN(ExpressionPtr left, (this->*level)());
  for (;;) {
    const auto found = std::find_if(operators.begin(), operators.end(), [this](const auto op) {
      return at_operator(op) || at_name(op);
    });
    if (found == operators.end()) return left;
    ExpressionPtr made = make(Kind::kBinary, next().text);
    TERN_ASSIGN(ExpressionPtr right, (this->*level)());
    made->operands.push_back(std::move(left));
    made->operands.push_back(std::move(right));
    TERN_ASSIGN(left, sized(std::move(made)));
  }
}

Result<ExpressionPtr> ExpressionParser::either() { return chain(&ExpressionParser::both, {"or"}); }
Result<ExpressionPtr> ExpressionParser::both() {
  return chain(&ExpressionParser::negation, {"and"});
}
Result<ExpressionPtr> ExpressionParser::sum() {
  return chain(&ExpressionParser::concatenation, {"+", "-"});
}
Result<ExpressionPtr> ExpressionParser::concatenation() {
  return chain(&ExpressionParser::product, {"~"});
}
Result<ExpressionPtr> ExpressionParser::product() {
  return chain(&ExpressionParser::power, {"*", "/", "//", "%"});
}
Result<ExpressionPtr> ExpressionParser::power() { return chain(&ExpressionParser::unary, {"**"}); }

Result<ExpressionPtr> ExpressionParser::negation() {
  std::size_t count = 0;
  while (take_name("not")) ++count;
  TERN_ASSIGN(ExpressionPtr operand, comparison());
  for (; count > 0; --count) {
    ExpressionPtr made = make(Kind::kUnary, "not");
    made->operands.push_back(std::move(operand));
    TERN_ASSIGN(operand, sized(std::move(made)));
  }
  return operand;
}

Result<ExpressionPtr> ExpressionParser::comparison() {
  TERN_ASSIGN(ExpressionPtr first, sum());
  ExpressionPtr made = make(Kind::kCompare);
  for (;;) {
    std::string found;
    for (const std::string_view op : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (at_operator(op)) found = op;
    }
    if (at_name("in")) found = "in";
    if (at_name("not") && peek(1).kind == Lex::kName && peek(1).text == "in") {
      next();
      found = "not in";
    }
    if (found.empty()) break;
    next();
    if (made->operands.empty()) made->operands.push_back(std::move(first));
    TERN_ASSIGN(ExpressionPtr operand, sum());
    made->operators.push_back(std::move(found));
    made->operands.push_back(std::move(operand));
  }
  if (made->operands.empty()) return first;
  return sized(std::move(made));
}

Result<ExpressionPtr> ExpressionParser::unary(bool with_filters) {
  if (++depth_ > 2 * kDeepest) return unexpected("fewer nested signs");
  ExpressionPtr made;
  if (at_operator("-") || at_operator("+")) {
    made = make(Kind::kUnary, next().text);
    TERN_ASSIGN(ExpressionPtr operand, unary(false));
    made->operands.push_back(std::move(operand));
    TERN_ASSIGN(made, sized(std::move(made)));
  } else {
    TERN_ASSIGN(ExpressionPtr operand, primary());
    TERN_ASSIGN(made, postfix(std::move(operand)));
  }
  --depth_;
  return with_filters ? filter_or_test(std::move(made)) : Result<ExpressionPtr>(std::move(made));
}

Result<ExpressionPtr> ExpressionParser::constant() {
  ExpressionPtr made = make(Kind::kConstant);
  const LexToken token = next();
  if (token.kind == Lex::kString) {
    std::string text = token.text;
    while (peek().kind == Lex::kString) text += next().text;
    made->value = std::move(text);
    return made;
  }
  const char* const end = token.text.data() + token.text.size();
  std::from_chars_result outcome{};
  if (token.kind == Lex::kInteger) {
    std::int64_t value = 0;
    const char mark = token.text.size() > 2 ? static_cast<char>(token.text[1] | 0x20) : '0';
    const int base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 10;
    outcome = std::from_chars(token.text.data() + (base == 10 ? 0 : 2), end, value, base);
    made->value = value;
  } else {
    double value = 0.0;
    outcome = std::from_chars(token.text.data(), end, value);
    made->value = value;
  }
  if (outcome.ec != std::errc()) {
    return template_error(token.line, "expected a number of 64 bits, found " + token.text);
  }
  return made;
}

Result<ExpressionPtr> ExpressionParser::primary() {
  const LexToken& token = peek();
  if (token.kind == Lex::kString || token.kind == Lex::kInteger || token.kind == Lex::kReal) {
    return constant();
  }
  if (token.kind == Lex::kOperator) return bracketed();
  if (token.kind != Lex::kName) return unexpected("an expression");
  ExpressionPtr made = make(Kind::kConstant);
  const std::string& name = next().text;
  if (name == "true" || name == "True") {
    made->value = true;
  } else if (name == "false" || name == "False") {
    made->value = false;
  } else if (name != "none" && name != "None") {
    made->kind = Kind::kName;
    made->name = name;
  }
  return made;
}

Result<ExpressionPtr> ExpressionParser::bracketed() {
  if (take_operator("(")) {
    if (take_operator(")")) return make(Kind::kTuple);
    TERN_ASSIGN(ExpressionPtr inside, tuple());
    TERN_TRY(expect_operator(")"));
    return inside;
  }
  if (at_operator("{")) return dictionary();
  if (!take_operator("[")) return unexpected("an expression");
  ExpressionPtr made = make(Kind::kList);
  while (!take_operator("]")) {
    if (!made->operands.empty()) TERN_TRY(expect_operator(","));
    if (take_operator("]")) break;
    TERN_ASSIGN(ExpressionPtr item, expression());
    made->operands.push_back(std::move(item));
  }
  return sized(std::move(made));
}

Result<ExpressionPtr> ExpressionParser::dictionary() {
  ExpressionPtr made = make(Kind::kDict);
  next();
  while (!take_operator("}")) {
    if (!made->operands.empty()) TERN_TRY(expect_operator(","));
    if (take_operator("}")) break;
    TERN_ASSIGN(ExpressionPtr key, expression());
    TERN_TRY(expect_operator(":"));
    TERN_ASSIGN(ExpressionPtr value, expression());
    made->operands.push_back(std::move(key));
    made->operands.push_back(std::move(value));
  }
  return sized(std::move(made));
}

Result<ExpressionPtr> ExpressionParser::postfix(ExpressionPtr of) {
  for (;;) {
    if (at_operator(".")) {
      ExpressionPtr made = make(Kind::kAttribute);
      next();
      if (peek().kind != Lex::kName && peek().kind != Lex::kInteger) return unexpected("a name");
      if (peek().kind == Lex::kInteger) {
        made->kind = Kind::kItem;
        made->operands.push_back(std::move(of));
        TERN_ASSIGN(ExpressionPtr index, constant());
        made->operands.push_back(std::move(index));
      } else {
        made->name = next().text;
        made->operands.push_back(std::move(of));
      }
      TERN_ASSIGN(of, sized(std::move(made)));
    } else if (take_operator("[")) {
      TERN_ASSIGN(of, subscript(std::move(of)));
    } else if (at_operator("(")) {
      ExpressionPtr made = make(Kind::kCall);
      made->operands.push_back(std::move(of));
      TERN_TRY(arguments(*made));
      TERN_ASSIGN(of, sized(std::move(made)));
    } else {
      return of;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::subscript(ExpressionPtr of) {
  ExpressionPtr made = make(Kind::kSlice);
  made->operands.push_back(std::move(of));
  int colons = 0;
  ExpressionPtr part;
  for (; !at_operator("]"); part = nullptr) {
    if (!at_operator(":")) {
      TERN_ASSIGN(part, tuple());
      if (at_operator("]")) break;
    }
    TERN_TRY(expect_operator(":"));
    if (++colons > 2) return unexpected("']'");
    made->operands.push_back(std::move(part));
  }
  TERN_TRY(expect_operator("]"));
  if (colons == 0) {
    if (part == nullptr) part = make(Kind::kTuple);  // x[] is x[()], which jinja2 reads
    made->kind = Kind::kItem;
  }
  made->operands.push_back(std::move(part));
  if (colons > 0) made->operands.resize(4);
  return sized(std::move(made));
}

Result<void> ExpressionParser::arguments(Expression& call) {
  TERN_TRY(expect_operator("("));
  for (bool first = true; !take_operator(")"); first = false) {
    if (!first) TERN_TRY(expect_operator(","));
    if (take_operator(")")) break;
    if (at_operator("*") || at_operator("**")) return unexpected("an argument without '*'");
    std::string name;
    if (peek().kind == Lex::kName && peek(1).kind == Lex::kOperator && peek(1).text == "=") {
      name = next().text;
      next();
    }
    TERN_ASSIGN(ExpressionPtr value, expression());
    if (!name.empty()) {
      call.named.emplace_back(std::move(name), std::move(value));
    } else if (!call.named.empty()) {
      return unexpected("a name, as the arguments before have");
    } else {
      call.operands.push_back(std::move(value));
    }
  }
  return {};
}

Result<ExpressionPtr> ExpressionParser::filters(ExpressionPtr of) {
  do {
    ExpressionPtr made = make(Kind::kFilter);
    TERN_ASSIGN(made->name, expect_name());
    made->operands.push_back(std::move(of));
    if (at_operator("(")) TERN_TRY(arguments(*made));
    TERN_ASSIGN(of, sized(std::move(made)));
  } while (take_operator("|"));
  return of;
}

Result<ExpressionPtr> ExpressionParser::filter_or_test(ExpressionPtr of) {
  for (;;) {
    if (take_operator("|")) {
      TERN_ASSIGN(of, filters(std::move(of)));
    } else if (take_name("is")) {
      TERN_ASSIGN(of, test(std::move(of)));
    } else if (at_operator("(")) {
      TERN_ASSIGN(of, postfix(std::move(of)));
    } else {
      return of;
    }
  }
}

Result<ExpressionPtr> ExpressionParser::test(ExpressionPtr of) {
  ExpressionPtr made = make(Kind::kTest);
  made->negated = take_name("not");
  TERN_ASSIGN(made->name, expect_name());
  made->operands.push_back(std::move(of));
  if (at_operator("(")) {
    TERN_TRY(arguments(*made));
    return sized(std::move(made));
  }
  const Lex kind = peek().kind;
  const bool literal = kind == Lex::kString || kind == Lex::kInteger || kind == Lex::kReal;
  const bool name = kind == Lex::kName && !at_name("else") && !at_name("or") && !at_name("and") &&
                    !at_name("is") && !at_name("if") && !at_name("not") && !at_name("in");
  if (literal || name || at_operator("[") || at_operator("{")) {
    TERN_ASSIGN(ExpressionPtr argument, primary());
    TERN_ASSIGN(argument, postfix(std::move(argument)));
    made->operands.push_back(std::move(argument));
  }
  return sized(std::move(made));
}

}  // namespace tern::text::jinja
