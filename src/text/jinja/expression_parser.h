// The expressions of a template.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace tern::text::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<LexToken> tokens) : tokens_(std::move(tokens)) {}

  const LexToken& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  LexToken next() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
  bool at_operator(std::string_view text) const;
  bool at_name(std::string_view text) const;
  bool take_operator(std::string_view text);
  bool take_name(std::string_view text);
  Result<void> expect_operator(std::string_view text);
  Result<std::string> expect_name();
  Error unexpected(std::string_view expected) const;

  // With `conditional` false an "if" ends it, as the one of a for loop does.
  Result<ExpressionPtr> expression(bool conditional = true);
  // One expression, or several with commas between, which are a tuple.
  Result<ExpressionPtr> tuple(bool conditional = true);
  // What stands behind "{% filter": a name with its arguments, and further filters; of nothing yet.
  Result<ExpressionPtr> filters(ExpressionPtr of);

 private:
  using Level = Result<ExpressionPtr> (ExpressionParser::*)();
  Result<ExpressionPtr> either();
  Result<ExpressionPtr> both();
  Result<ExpressionPtr> negation();
  Result<ExpressionPtr> comparison();
  Result<ExpressionPtr> sum();
  Result<ExpressionPtr> concatenation();
  Result<ExpressionPtr> product();
  Result<ExpressionPtr> power();
  Result<ExpressionPtr> unary() { return unary(true); }
  Result<ExpressionPtr> unary(bool with_filters);
  Result<ExpressionPtr> primary();
  Result<ExpressionPtr> constant();
  Result<ExpressionPtr> bracketed();
  Result<ExpressionPtr> dictionary();
  Result<ExpressionPtr> postfix(ExpressionPtr of);
  Result<ExpressionPtr> subscript(ExpressionPtr of);
  Result<ExpressionPtr> filter_or_test(ExpressionPtr of);
  Result<ExpressionPtr> test(ExpressionPtr of);
  Result<void> arguments(Expression& call);
  Result<ExpressionPtr> chain(Level level, std::initializer_list<std::string_view> operators);
  ExpressionPtr make(Expression::Kind kind, std::string name = "") const;
  // With its depth, once all operands are there. Errors: kMalformed where that is too much.
  static Result<ExpressionPtr> sized(ExpressionPtr made);

  std::vector<LexToken> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace tern::text::jinja
