// A parsed template.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace tern::text::jinja {

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind {
    kConstant,     // value
    kName,         // name
    kList,         // operands
    kTuple,        // operands
    kDict,         // operands: key, value, key, value
    kUnary,        // name: "-", "+" or "not"; one operand
    kBinary,       // name: "+", "-", "*", "/", "//", "%", "**", "~", "and", "or"; two operands
    kCompare,      // operators between the operands: "==", "<", "in", "not in", ...
    kConditional,  // operands: then, condition and, where there is one, else
    kAttribute,    // name of the operand
    kItem,         // operands: of what, which
    kSlice,        // operands: of what, begin, end, step; null where it was left out
    kCall,         // operands: what, then arguments; named ones
    kFilter,       // name; operands: of what, then arguments; named ones
    kTest,         // name; as a filter; negated
  };
  Kind kind;
  int line = 0;
  std::string name;
  Value value;
  std::vector<ExpressionPtr> operands;
  std::vector<std::pair<std::string, ExpressionPtr>> named;
  std::vector<std::string> operators;
  bool negated = false;
  int depth = 1;  // of the tree below, this one included: it is walked by recursion
};

// What is assigned to: a name, "namespace.name", or several of either.
struct Target {
  std::string name;           // empty where there are parts
  std::vector<Target> parts;  // each takes an item of the value
};

struct Statement {
  enum class Kind {
    kText,     // name is the text
    kOutput,   // expression
    kIf,       // expression, body, otherwise
    kFor,      // target in expression, condition, body, otherwise; recursive
    kSet,      // target = expression
    kCapture,  // target = what body writes, through the filters of `expression` where there is one
    kMacro,    // name, parameters, body
    kCall,     // expression is the call, parameters and body its caller
    kFilter,   // expression is a filter of what body writes
    kWith,     // parameters with their values, body
    kBlock,    // body, as it stands
    kBreak,
    kContinue,
  };
  struct Parameter {
    std::string name;
    ExpressionPtr fallback;  // null: none
  };
  Kind kind;
  int line = 0;
  std::string name;
  Target target;
  bool recursive = false;
  ExpressionPtr expression;
  ExpressionPtr condition;
  std::vector<Parameter> parameters;
  std::vector<Statement> body;
  std::vector<Statement> otherwise;
};

}  // namespace tern::text::jinja
