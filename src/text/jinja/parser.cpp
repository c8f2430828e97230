#include "text/jinja/parser.h"

#include "text/jinja/expression_parser.h"

namespace tern::text::jinja {
namespace {

using Kind = Statement::Kind;
using Lex = LexToken::Kind;
using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  explicit Parser(std::vector<LexToken> tokens) : parser_(std::move(tokens)) {}

  Result<std::vector<Statement>> run() {
    TERN_ASSIGN(std::vector<Statement> all, body({}));
    return all;
  }

 private:
  Statement make(Kind kind) const {
    Statement made{};
    made.kind = kind;
    made.line = parser_.peek().line;
    return made;
  }

  // Statements up to a block that begins with one of the names, which is not taken; without names,
  // up to the end of the template.
  Result<std::vector<Statement>> body(Names ends) {
    if (++depth_ > kDeepest) {
      return template_error(parser_.peek().line, "expected at most " + std::to_string(kDeepest) +
                                                     " nested blocks, found more");
    }
    std::vector<Statement> all;
    for (;;) {
      const Lex kind = parser_.peek().kind;
      if (kind == Lex::kText) {
        Statement text = make(Kind::kText);
        text.name = parser_.next().text;
        all.push_back(std::move(text));
      } else if (kind == Lex::kOutputBegin) {
        TERN_ASSIGN(Statement made, output());
        all.push_back(std::move(made));
      } else if (kind == Lex::kBlockBegin) {
        const std::string_view name = parser_.peek(1).text;
        for (const std::string_view end : ends) {
          if (name == end) {
            --depth_;
            return all;
          }
        }
        parser_.next();
        TERN_TRY(block(all));
      } else {
        if (ends.size() != 0) return parser_.unexpected(expected_end(ends));
        --depth_;
        return all;
      }
    }
  }

  static std::string expected_end(Names ends) {
    return "'{% " + std::string(*(ends.end() - 1)) + " %}'";
  }

  Result<Statement> output() {
    Statement made = make(Kind::kOutput);
    parser_.next();
    TERN_ASSIGN(made.expression, parser_.tuple());
    if (parser_.peek().kind != Lex::kOutputEnd) return parser_.unexpected("'}}'");
    parser_.next();
    return made;
  }

  Result<void> end_of_block() {
    if (parser_.peek().kind != Lex::kBlockEnd) return parser_.unexpected("'%}'");
    parser_.next();
    return {};
  }
  // "{% name %}", which body() stopped at.
  Result<void> take_end(std::string_view name) {
    parser_.next();
    if (!parser_.take_name(name)) return parser_.unexpected("'" + std::string(name) + "'");
    return end_of_block();
  }

  Result<void> block(std::vector<Statement>& all) {
    if (parser_.peek().kind != Lex::kName) return parser_.unexpected("the name of a statement");
    const std::string name = parser_.peek().text;
    Statement made = make(Kind::kBlock);
    if (name == "if") {
      TERN_ASSIGN(made, conditional());
    } else if (name == "for") {
      TERN_ASSIGN(made, loop());
    } else if (name == "set") {
      TERN_ASSIGN(made, assignment());
    } else if (name == "macro") {
      TERN_ASSIGN(made, macro());
    } else if (name == "call") {
      TERN_ASSIGN(made, call());
    } else if (name == "filter") {
      TERN_ASSIGN(made, filter());
    } else if (name == "with") {
      TERN_ASSIGN(made, with());
    } else if (name == "generation") {
      TERN_ASSIGN(made, generation());
    } else if (name == "break" || name == "continue") {
      made.kind = name == "break" ? Kind::kBreak : Kind::kContinue;
      if (loops_ == 0) return parser_.unexpected("a loop around it");
      parser_.next();
      TERN_TRY(end_of_block());
    } else {
      return parser_.unexpected(
          "if, for, set, with, macro, call, filter, generation, break, continue or raw");
    }
    all.push_back(std::move(made));
    return {};
  }

  // At "if" or "elif".
  Result<Statement> conditional() {
    Statement made = make(Kind::kIf);
    parser_.next();
    TERN_ASSIGN(made.expression, parser_.tuple());
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, body({"elif", "else", "endif"}));
    if (parser_.peek(1).text == "elif") {
      parser_.next();
      ++depth_;  // its body looks whether that is too deep
      TERN_ASSIGN(Statement otherwise, conditional());
      --depth_;
      made.otherwise.push_back(std::move(otherwise));
      return made;  // whose end the last one took
    }
    if (parser_.peek(1).text == "else") {
      TERN_TRY(take_end("else"));
      TERN_ASSIGN(made.otherwise, body({"endif"}));
    }
    TERN_TRY(take_end("endif"));
    return made;
  }

  // A name, or one of a namespace, or targets in brackets.
  Result<Target> target() {
    Target made;
    if (!parser_.take_operator("(")) {
      TERN_ASSIGN(made.name, parser_.expect_name());
      if (parser_.take_operator(".")) {
        TERN_ASSIGN(const std::string member, parser_.expect_name());
        made.name += "." + member;
      }
      return made;
    }
    if (++depth_ > kDeepest) return parser_.unexpected("fewer nested targets");
    TERN_ASSIGN(made, targets());
    --depth_;
    TERN_TRY(parser_.expect_operator(")"));
    return made;
  }

  // With commas between: one that takes the items of a value apart.
  Result<Target> targets() {
    TERN_ASSIGN(Target first, target());
    if (!parser_.at_operator(",")) return first;
    Target made;
    made.parts.push_back(std::move(first));
    while (parser_.take_operator(",")) {
      if (parser_.at_operator(")")) break;
      TERN_ASSIGN(Target next, target());
      made.parts.push_back(std::move(next));
    }
    return made;
  }

  Result<Statement> loop() {
    Statement made = make(Kind::kFor);
    parser_.next();
    TERN_ASSIGN(made.target, targets());
    if (!parser_.take_name("in")) return parser_.unexpected("'in'");
    TERN_ASSIGN(made.expression, parser_.tuple(false));
    if (parser_.take_name("if")) {
      TERN_ASSIGN(made.condition, parser_.expression());
    }
    made.recursive = parser_.take_name("recursive");
    TERN_TRY(end_of_block());
    ++loops_;
    TERN_ASSIGN(made.body, body({"else", "endfor"}));
    --loops_;
    if (parser_.peek(1).text == "else") {
      TERN_TRY(take_end("else"));
      TERN_ASSIGN(made.otherwise, body({"endfor"}));
    }
    TERN_TRY(take_end("endfor"));
    return made;
  }

  Result<Statement> assignment() {
    Statement made = make(Kind::kSet);
    parser_.next();
    TERN_ASSIGN(made.target, targets());
    if (parser_.take_operator("=")) {
      TERN_ASSIGN(made.expression, parser_.tuple());
      TERN_TRY(end_of_block());
      return made;
    }
    if (!made.target.parts.empty()) return parser_.unexpected("'='");
    made.kind = Kind::kCapture;
    if (parser_.take_operator("|")) {
      TERN_ASSIGN(made.expression, parser_.filters(nullptr));
    }
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, body({"endset"}));
    TERN_TRY(take_end("endset"));
    return made;
  }

  Result<void> parameters(Statement& made) {
    TERN_TRY(parser_.expect_operator("("));
    while (!parser_.take_operator(")")) {
      if (!made.parameters.empty()) TERN_TRY(parser_.expect_operator(","));
      if (parser_.take_operator(")")) break;
      Statement::Parameter parameter;
      TERN_ASSIGN(parameter.name, parser_.expect_name());
      if (parser_.take_operator("=")) {
        TERN_ASSIGN(parameter.fallback, parser_.expression());
      } else if (!made.parameters.empty() && made.parameters.back().fallback != nullptr) {
        return parser_.unexpected("a default, as the parameter before has");
      }
      made.parameters.push_back(std::move(parameter));
    }
    return {};
  }

  // A body in which no loop of those around it can be left.
  Result<std::vector<Statement>> own_body(Names ends) {
    const int loops = std::exchange(loops_, 0);
    TERN_ASSIGN(std::vector<Statement> inside, body(ends));
    loops_ = loops;
    return inside;
  }

  Result<Statement> macro() {
    Statement made = make(Kind::kMacro);
    parser_.next();
    TERN_ASSIGN(made.name, parser_.expect_name());
    TERN_TRY(parameters(made));
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, own_body({"endmacro"}));
    parser_.next();
    parser_.next();
    if (parser_.peek().kind == Lex::kName) parser_.next();  // {% endmacro name %}
    TERN_TRY(end_of_block());
    return made;
  }

  Result<Statement> call() {
    Statement made = make(Kind::kCall);
    made.name = "caller";
    parser_.next();
    if (parser_.at_operator("(")) TERN_TRY(parameters(made));
    TERN_ASSIGN(made.expression, parser_.expression());
    if (made.expression->kind != Expression::Kind::kCall) return parser_.unexpected("a call");
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, own_body({"endcall"}));
    TERN_TRY(take_end("endcall"));
    return made;
  }

  Result<Statement> filter() {
    Statement made = make(Kind::kFilter);
    parser_.next();
    TERN_ASSIGN(made.expression, parser_.filters(nullptr));
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, body({"endfilter"}));
    TERN_TRY(take_end("endfilter"));
    return made;
  }

  Result<Statement> with() {
    Statement made = make(Kind::kWith);
    parser_.next();
    while (parser_.peek().kind != Lex::kBlockEnd) {
      if (!made.parameters.empty()) TERN_TRY(parser_.expect_operator(","));
      Statement::Parameter parameter;
      TERN_ASSIGN(parameter.name, parser_.expect_name());
      TERN_TRY(parser_.expect_operator("="));
      TERN_ASSIGN(parameter.fallback, parser_.expression());
      made.parameters.push_back(std::move(parameter));
    }
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, body({"endwith"}));
    TERN_TRY(take_end("endwith"));
    return made;
  }

  // What the assistant says, marked for training: here it is text like any other.
  Result<Statement> generation() {
    Statement made = make(Kind::kBlock);
    parser_.next();
    TERN_TRY(end_of_block());
    TERN_ASSIGN(made.body, body({"endgeneration"}));
    TERN_TRY(take_end("endgeneration"));
    return made;
  }

  ExpressionParser parser_;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Result<std::vector<Statement>> parse(std::string_view source) {
  TERN_ASSIGN(std::vector<LexToken> tokens, lex(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace tern::text::jinja
