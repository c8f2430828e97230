// Runs a parsed template. What a template can reach is what it is given: values, filters, tests and
// methods that only read. It is bounded in steps, in bytes that it makes, and in depth.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/jinja/ast.h"
#include "text/jinja/value.h"

namespace tern::text::jinja {

struct Limits {
  std::uint64_t steps = 1'000'000;    // statements, operations and items gone through
  std::uint64_t bytes = 64ull << 20;  // of all strings and lists made, and of the output
  int nesting = 1000;                 // of operations, blocks and macros inside of each other
};

using Variables = std::vector<std::pair<std::string, Value>>;

class Interpreter {
 public:
  Interpreter(const Limits& limits, Variables globals)
      : limits_(limits), scopes_(1, Scope{std::move(globals), true}) {}

  // Errors: kUsage, with the line, for what the template asks for and cannot have, and for what
  // raise_exception says; kOutOfMemory where a limit is met.
  Result<std::string> render(const std::vector<Statement>& statements);

  Result<Value> evaluate(const Expression& expression);
  Result<Value> call(const Value& function, const Arguments& arguments);

  // Takes from the budget. Errors: kOutOfMemory where it is spent.
  Result<void> spend(std::uint64_t steps, std::uint64_t bytes = 0);
  // Before a value is walked, as by a comparison; and before its own items or characters are, and
  // those of arguments.
  Result<void> spend_on(const Value& value);
  Result<void> spend_on_surface(const Value& value);
  Result<void> spend_on_surface(const Arguments& given);
  // Before a value is compared with so many others.
  Result<void> spend_on_search(const Value& wanted, std::size_t among);
  Result<std::string> shown(const Value& value);  // its text, counted before it is made
  // Around what may hold more of its kind; leave() undoes it.
  Result<void> enter();
  void leave() { --depth_; }
  Result<Value> made(std::string text);
  Result<Value> made(std::vector<Value> items);

 private:
  struct Scope {
    Variables variables;
    bool ends_lookup;               // a macro sees its own names and those of the outermost scope
    const void* turn_of = nullptr;  // of which loop's, by what its `changed` saw
  };
  enum class Flow { kOn, kBreak, kContinue };
  struct Pop {
    explicit Pop(Interpreter& of) : of_(of) {}
    ~Pop() { of_.scopes_.pop_back(); }
    Pop(const Pop&) = delete;
    Pop& operator=(const Pop&) = delete;
    Interpreter& of_;
  };

  Result<Flow> run(const std::vector<Statement>& statements);
  Result<Flow> run_one(const Statement& statement);
  Result<Flow> run_apart(const std::vector<Statement>& statements);
  Result<Flow> run_loop(const Statement& statement);
  Result<Flow> run_with(const Statement& statement);
  Result<Flow> loop_over(const Statement& statement, const Value& over, int depth);
  Result<Value> loop_again(const Statement& statement, const void* turn_of, std::size_t around,
                           int depth, const Arguments& given);
  Result<std::vector<Value>> loop_items(const Statement& statement, const Value& over);
  Result<void> write(const Value& value);
  Result<Value> captured(const std::vector<Statement>& body);
  Result<Value> filtered(const Expression& filters, Value of);
  Result<void> assign(const Target& target, const Value& value);
  Result<void> assign_one(const std::string& target, const Value& value);
  Result<void> check_arguments(const Statement& macro, const Arguments& given) const;
  Result<Value> run_macro(const Statement& macro, const Variables& around, const Arguments& given);
  Result<Value> call_with_body(const Statement& statement);
  Result<Value> macro_of(const Statement& statement);

  Result<Value> find(const std::string& name);
  Result<Value> held(const Target& target);
  void set(const std::string& name, Value value);

  Result<Value> evaluate_kind(const Expression& e);
  Result<Value> evaluate_list(const Expression& e);
  Result<Value> evaluate_dict(const Expression& e);
  Result<Value> evaluate_unary(const Expression& e);
  Result<Value> evaluate_binary(const Expression& e);
  Result<Value> evaluate_compare(const Expression& e);
  Result<Value> evaluate_slice(const Expression& e);
  Result<Value> evaluate_call(const Expression& e);
  Result<Value> evaluate_filter(const Expression& e);
  Result<Arguments> arguments_of(const Expression& e);

  Limits limits_;
  std::vector<Scope> scopes_;
  std::string output_;
  std::uint64_t steps_ = 0;
  std::uint64_t bytes_ = 0;
  int depth_ = 0;
};

// Undoes enter() where it ends.
class Leave {
 public:
  explicit Leave(Interpreter& of) : of_(of) {}
  ~Leave() { of_.leave(); }
  Leave(const Leave&) = delete;
  Leave& operator=(const Leave&) = delete;

 private:
  Interpreter& of_;
};

}  // namespace tern::text::jinja
