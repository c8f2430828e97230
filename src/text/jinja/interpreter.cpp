#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/operations.h"

namespace tern::text::jinja {
namespace {

using Kind = Statement::Kind;

// What a loop's body knows of it; `again` renders the loop over other items, at a given depth.
Value loop_value(const std::vector<Value>& items, std::size_t i, int depth,
                 const std::shared_ptr<Value>& seen,
                 std::function<Result<Value>(Interpreter&, const Arguments&)> again) {
  const std::size_t count = items.size();
  Dict loop;
  const auto add = [&](const char* name, Value value) {
    loop.items.emplace_back(name, std::move(value));
  };
  add("index", i + 1);
  add("index0", i);
  add("first", i == 0);
  add("last", i + 1 == count);
  add("length", count);
  add("revindex", count - i);
  add("revindex0", count - i - 1);
  add("depth", depth + 1);
  add("depth0", depth);
  add("previtem", i == 0 ? Value(Undefined{"previtem"}) : items[i - 1]);
  add("nextitem", i + 1 == count ? Value(Undefined{"nextitem"}) : items[i + 1]);
  add("cycle", Function{"cycle", [i](Interpreter&, const Arguments& given) -> Result<Value> {
                          if (given.positional.empty())
                            return refused("expected something to cycle through");
                          return given.positional[i % given.positional.size()];
                        }});
  add("changed",
      Function{"changed",
               [seen](Interpreter& interpreter, const Arguments& given) -> Result<Value> {
                 const Value now(List{given.positional, true});
                 if (!now.measure().plain) return refused("expected values to compare");
                 TERN_TRY(interpreter.spend_on(now));
                 const bool same = equal(*seen, now);
                 *seen = now;
                 return Value(!same);
               }});
  Measure measure{64, 2, false};
  for (const Value& near : {items[i == 0 ? i : i - 1], items[i + 1 == count ? i : i + 1]}) {
    measure.depth = std::max(measure.depth, near.measure().depth + 1);
  }
  return Function{"loop", std::move(again), measure, std::make_shared<const Dict>(std::move(loop))};
}

// Of its own items or characters.
std::size_t surface_of(const Value& value) {
  return value.string() ? value.string()->size()
         : value.list() ? value.list()->items.size()
         : value.dict() ? value.dict()->items.size()
                        : 0;
}

}  // namespace

Error at_line(int line, Error error) {
  if (error.context == kNoPlace) error.context = "chat template, line " + std::to_string(line);
  return error;
}

Result<void> Interpreter::spend(std::uint64_t steps, std::uint64_t bytes) {
  const auto spent = [](std::uint64_t most, const char* what) {
    return Error{ErrorCode::kOutOfMemory,
                 "expected at most " + std::to_string(most) + what + ", found more", kNoPlace};
  };
  if (steps > limits_.steps - steps_) return spent(limits_.steps, " steps");
  if (bytes > limits_.bytes - bytes_) return spent(limits_.bytes, " bytes made");
  steps_ += steps;
  bytes_ += bytes;
  return {};
}

Result<void> Interpreter::spend_on(const Value& value) {
  return spend(1 + value.measure().weight / 64);
}

Result<void> Interpreter::spend_on_surface(const Value& value) {
  return spend(1 + surface_of(value) / 16);
}

Result<void> Interpreter::spend_on_surface(const Arguments& given) {
  for (const Value& value : given.positional) TERN_TRY(spend(surface_of(value) / 16));
  for (const auto& [name, value] : given.named) TERN_TRY(spend(surface_of(value) / 16));
  return {};
}

Result<void> Interpreter::spend_on_search(const Value& wanted, std::size_t among) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 32;  // beyond every limit
  const std::uint64_t each = 1 + std::min(wanted.measure().weight, kMost) / 256;
  return spend(among * each / 16);
}

Result<std::string> Interpreter::shown(const Value& value) {
  if (value.string() == nullptr) TERN_TRY(spend(0, value.measure().weight));
  return value.text();
}

Result<void> Interpreter::enter() {
  if (depth_ < limits_.nesting) {
    ++depth_;
    return {};
  }
  return Error{ErrorCode::kOutOfMemory,
               "expected at most " + std::to_string(limits_.nesting) +
                   " operations inside of each other, found more",
               kNoPlace};
}

Result<Value> Interpreter::made(std::string text) {
  TERN_TRY(spend(0, text.size()));
  return Value(std::move(text));
}

Result<Value> Interpreter::made(std::vector<Value> items) {
  TERN_TRY(spend(0, items.size() * sizeof(Value)));
  return Value(List{std::move(items)});
}

Result<std::string> Interpreter::render(const std::vector<Statement>& statements) {
  TERN_TRY(run(statements));
  return std::move(output_);
}

Result<Interpreter::Flow> Interpreter::run(const std::vector<Statement>& statements) {
  TERN_TRY(enter());
  const Leave leave(*this);
  for (const Statement& statement : statements) {
    TERN_TRY(spend(1));
    auto flow = run_one(statement);
    if (!flow) return at_line(statement.line, std::move(flow.error()));
    if (*flow != Flow::kOn) return *flow;
  }
  return Flow::kOn;
}

Result<Interpreter::Flow> Interpreter::run_one(const Statement& s) {
  switch (s.kind) {
    case Kind::kText: TERN_TRY(write(s.name)); break;
    case Kind::kOutput: {
      TERN_ASSIGN(const Value value, evaluate(*s.expression));
      TERN_TRY(write(value));
      break;
    }
    case Kind::kIf: {
      TERN_ASSIGN(const Value condition, evaluate(*s.expression));
      return run(condition.truth() ? s.body : s.otherwise);
    }
    case Kind::kFor: return run_loop(s);
    case Kind::kSet: {
      TERN_ASSIGN(const Value value, evaluate(*s.expression));
      TERN_TRY(assign(s.target, value));
      break;
    }
    case Kind::kCapture: {
      TERN_ASSIGN(Value value, captured(s.body));
      if (s.expression != nullptr) {
        TERN_ASSIGN(value, filtered(*s.expression, std::move(value)));
      }
      TERN_TRY(assign(s.target, value));
      break;
    }
    case Kind::kMacro: {
      TERN_TRY(spend(scopes_.back().variables.size() / 64));
      TERN_ASSIGN(Value macro, macro_of(s));
      set(s.name, std::move(macro));
      break;
    }
    case Kind::kCall: {
      TERN_ASSIGN(const Value value, call_with_body(s));
      TERN_TRY(write(value));
      break;
    }
    case Kind::kFilter: {
      TERN_ASSIGN(Value value, captured(s.body));
      TERN_ASSIGN(value, filtered(*s.expression, std::move(value)));
      TERN_TRY(write(value));
      break;
    }
    case Kind::kWith: return run_with(s);
    case Kind::kBlock: return run_apart(s.body);
    case Kind::kBreak: return Flow::kBreak;
    case Kind::kContinue: return Flow::kContinue;
  }
  return Flow::kOn;
}

// What it sets is gone behind it.
Result<Interpreter::Flow> Interpreter::run_apart(const std::vector<Statement>& statements) {
  scopes_.push_back({{}, false});
  const Pop pop(*this);
  return run(statements);
}

// The values are those of the names outside of it.
Result<Interpreter::Flow> Interpreter::run_with(const Statement& s) {
  Scope scope{{}, false};
  for (const auto& [name, expression] : s.parameters) {
    TERN_ASSIGN(Value value, evaluate(*expression));
    scope.variables.emplace_back(name, std::move(value));
  }
  scopes_.push_back(std::move(scope));
  const Pop pop(*this);
  return run(s.body);
}

Result<void> Interpreter::write(const Value& value) {
  TERN_ASSIGN(const std::string text, shown(value));
  TERN_TRY(spend(0, text.size()));
  output_ += text;
  return {};
}

// The items that the loop's own condition lets pass, with tuples for what its names took apart.
Result<std::vector<Value>> Interpreter::loop_items(const Statement& s, const Value& over) {
  TERN_ASSIGN(std::vector<Value> all, items_of(*this, over));
  if (s.condition == nullptr) return all;
  std::vector<Value> items;
  for (const Value& item : all) {
    scopes_.push_back({{}, false});
    auto outcome = assign(s.target, item);
    Result<Value> wanted = outcome ? evaluate(*s.condition) : Result<Value>(outcome.error());
    Result<Value> named = wanted ? held(s.target) : Result<Value>(wanted.error());
    scopes_.pop_back();
    if (!named) return std::move(named.error());
    if (wanted->truth()) items.push_back(std::move(*named));
  }
  return items;
}

Result<Interpreter::Flow> Interpreter::run_loop(const Statement& s) {
  TERN_ASSIGN(const Value over, evaluate(*s.expression));
  return loop_over(s, over, 0);
}

Result<Interpreter::Flow> Interpreter::loop_over(const Statement& s, const Value& over, int depth) {
  TERN_ASSIGN(const std::vector<Value> items, loop_items(s, over));
  bool ended = false;  // a turn, without break or continue: else is for where none did
  const auto seen = std::make_shared<Value>(Undefined{"changed"});
  const std::size_t around = scopes_.size();
  const auto again = [&s, seen, around, depth](Interpreter& self, const Arguments& given) {
    return self.loop_again(s, seen.get(), around, depth + 1, given);
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    scopes_.push_back({{}, false, seen.get()});
    set("loop", loop_value(items, i, depth, seen, again));
    auto outcome = assign(s.target, items[i]);
    Result<Flow> flow = outcome ? run(s.body) : Result<Flow>(outcome.error());
    scopes_.pop_back();
    if (!flow) return flow;
    if (*flow == Flow::kBreak) break;
    ended = ended || *flow == Flow::kOn;
  }
  return ended ? Flow::kOn : run_apart(s.otherwise);
}

// loop(items) within a recursive loop: what it writes for these. It sees the names around the loop
// and none of the turn that asks for it, which has to be one of this loop.
Result<Value> Interpreter::loop_again(const Statement& s, const void* turn_of, std::size_t around,
                                      int depth, const Arguments& given) {
  if (!s.recursive) return refused("expected 'recursive' in the loop to call loop(), found none");
  if (scopes_.size() <= around || scopes_[around].turn_of != turn_of) {
    return refused("expected a call of loop() within a turn of it, found one outside");
  }
  if (given.positional.size() != 1) return refused("expected one list in loop()");
  TERN_TRY(enter());
  const Leave leave(*this);
  const auto from = scopes_.begin() + static_cast<std::ptrdiff_t>(around);
  std::vector<Scope> hidden(std::make_move_iterator(from), std::make_move_iterator(scopes_.end()));
  scopes_.erase(from, scopes_.end());
  std::string before = std::exchange(output_, {});
  auto flow = loop_over(s, given.positional[0], depth);
  std::string text = std::exchange(output_, std::move(before));
  scopes_.insert(scopes_.end(), std::make_move_iterator(hidden.begin()),
                 std::make_move_iterator(hidden.end()));
  if (!flow) return std::move(flow.error());
  return Value(std::move(text));
}

Result<Value> Interpreter::captured(const std::vector<Statement>& body) {
  std::string before = std::exchange(output_, {});
  scopes_.push_back({{}, false});
  auto flow = run(body);
  scopes_.pop_back();
  std::string text = std::exchange(output_, std::move(before));
  if (!flow) return std::move(flow.error());
  return Value(std::move(text));
}

// The filters stand around nothing: the innermost one gets the value.
Result<Value> Interpreter::filtered(const Expression& filters, Value of) {
  if (filters.operands[0] != nullptr) {
    TERN_ASSIGN(of, filtered(*filters.operands[0], std::move(of)));
  }
  TERN_ASSIGN(const Arguments arguments, arguments_of(filters));
  return apply_filter(*this, filters.name, of, arguments);
}

Result<void> Interpreter::assign(const Target& target, const Value& value) {
  if (target.parts.empty()) return assign_one(target.name, value);
  TERN_ASSIGN(const std::vector<Value> items, items_of(*this, value));
  if (items.size() != target.parts.size()) {
    return refused("expected " + std::to_string(target.parts.size()) + " values, found " +
                   std::to_string(items.size()));
  }
  for (std::size_t i = 0; i < items.size(); ++i) TERN_TRY(assign(target.parts[i], items[i]));
  return {};
}

Result<void> Interpreter::assign_one(const std::string& target, const Value& value) {
  const std::size_t dot = target.find('.');
  if (dot == std::string::npos) {
    TERN_TRY(spend(scopes_.back().variables.size() / 64));
    set(target, value);
    return {};
  }
  TERN_ASSIGN(const Value found, find(target.substr(0, dot)));
  const auto space = found.name_space();
  if (space == nullptr || !space->is_open) {
    return refused("expected a namespace to set '" + target + "' in");
  }
  // What could hold the namespace itself would never go.
  if (!value.measure().plain) {
    return refused("expected a value to keep in a namespace, found a '" + value.type_name() + "'");
  }
  const std::string name = target.substr(dot + 1);
  TERN_TRY(spend(space->items.size() / 16));
  for (auto& [known, old] : space->items) {
    if (known == name) {
      old = value;
      return {};
    }
  }
  TERN_TRY(spend(0, sizeof(Value) + name.size()));
  space->items.emplace_back(name, value);
  return {};
}

// Sees the names around it, up to those of the macro around it: copies, for it outlives the scopes.
Result<Value> Interpreter::macro_of(const Statement& statement) {
  std::size_t first = scopes_.size();
  while (first > 1 && !scopes_[first - 1].ends_lookup) --first;
  if (first > 1) --first;
  Variables around;
  for (std::size_t i = first; i < scopes_.size(); ++i) {
    around.insert(around.end(), scopes_[i].variables.begin(), scopes_[i].variables.end());
  }
  TERN_TRY(spend(around.size(), around.size() * sizeof(Variables::value_type)));
  Measure measure{32, 1, false};
  for (const auto& [name, value] : around) {  // another macro, too, and those that it sees
    measure.depth = std::max(measure.depth, value.measure().depth + 1);
  }
  if (measure.depth > kDeepestValue) return too_deep();
  return Value(Function{statement.name,
                        [&statement, around](Interpreter& self, const Arguments& given) {
                          return self.run_macro(statement, around, given);
                        },
                        measure});
}

Result<void> Interpreter::check_arguments(const Statement& macro, const Arguments& given) const {
  if (given.positional.size() > macro.parameters.size()) {
    return refused("expected at most " + std::to_string(macro.parameters.size()) +
                   " arguments of macro '" + macro.name + "', found " +
                   std::to_string(given.positional.size()));
  }
  for (const auto& [name, value] : given.named) {
    const auto is_it = [&name = name](const auto& parameter) { return parameter.name == name; };
    if (name == "caller" || std::any_of(macro.parameters.begin(), macro.parameters.end(), is_it)) {
      continue;
    }
    return refused("expected an argument of macro '" + macro.name + "', found '" + name + "'");
  }
  return {};
}

Result<Value> Interpreter::run_macro(const Statement& macro, const Variables& around,
                                     const Arguments& given) {
  const std::size_t compared = around.size() + macro.parameters.size() + 2 * given.named.size();
  TERN_TRY(spend(around.size() / 8 + macro.parameters.size() * compared / 64));
  TERN_TRY(check_arguments(macro, given));
  TERN_TRY(enter());
  const Leave leave(*this);
  scopes_.push_back({around, true});
  const Pop pop(*this);
  if (const Value* caller = given.find(given.positional.size(), "caller")) set("caller", *caller);
  std::vector<const Statement::Parameter*> missing;
  for (std::size_t i = 0; i < macro.parameters.size(); ++i) {
    const std::string& name = macro.parameters[i].name;
    const Value* found = given.find(i, name);
    set(name, found != nullptr ? *found : Value(Undefined{name}));
    if (found == nullptr) missing.push_back(&macro.parameters[i]);
  }
  for (const auto* parameter : missing) {  // a default sees the parameters, not the names around
    if (parameter->fallback == nullptr) continue;
    TERN_ASSIGN(Value value, evaluate(*parameter->fallback));
    set(parameter->name, std::move(value));
  }
  return captured(macro.body);
}

Result<Value> Interpreter::call_with_body(const Statement& s) {
  TERN_ASSIGN(const Value function, evaluate(*s.expression->operands[0]));
  TERN_ASSIGN(Arguments arguments, arguments_of(*s.expression));
  TERN_ASSIGN(Value caller, macro_of(s));
  arguments.named.emplace_back("caller", std::move(caller));
  return call(function, arguments);
}

Result<Value> Interpreter::call(const Value& function, const Arguments& arguments) {
  if (const Function* found = function.function()) return found->call(*this, arguments);
  if (const Undefined* missing = function.undefined()) return is_undefined(*missing);
  return refused("expected something to call, found a '" + function.type_name() + "'");
}

// The names that were passed over are counted behind them: there are no more than a template sets.
Result<Value> Interpreter::find(const std::string& name) {
  std::size_t passed = 0;
  const auto in = [&](const Scope& scope) -> const Value* {
    for (auto at = scope.variables.rbegin(); at != scope.variables.rend(); ++at, ++passed) {
      if (at->first == name) return &at->second;
    }
    return nullptr;
  };
  const Value* found = nullptr;
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend() && found == nullptr; ++scope) {
    found = in(*scope);
    if (scope->ends_lookup) break;
  }
  if (found == nullptr) found = in(scopes_.front());
  TERN_TRY(spend(passed / 64));
  return found != nullptr ? *found : Value(Undefined{name});
}

// What the names of a target stand for.
Result<Value> Interpreter::held(const Target& target) {
  if (target.parts.empty()) return find(target.name);
  List all;
  all.is_tuple = true;
  for (const Target& part : target.parts) {
    TERN_ASSIGN(Value one, held(part));
    all.items.push_back(std::move(one));
  }
  return Value(std::move(all));
}

void Interpreter::set(const std::string& name, Value value) {
  Variables& all = scopes_.back().variables;
  const auto is_it = [&](const auto& variable) { return variable.first == name; };
  const auto known = std::find_if(all.rbegin(), all.rend(), is_it);  // as find() looks
  if (known == all.rend()) {
    all.emplace_back(name, std::move(value));
  } else {
    known->second = std::move(value);
  }
}

}  // namespace tern::text::jinja
