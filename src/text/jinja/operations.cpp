// Operators, attributes, items and the functions that every template has.
#include "text/jinja/operations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace tern::text::jinja {
namespace {

// The largest list that range() gives, as Jinja's sandbox has it.
constexpr std::int64_t kLongestRange = 100'000;

Error wrong_types(std::string_view op, const Value& a, const Value& b) {
  return refused("expected two values that '" + std::string(op) + "' takes, found '" +
                 a.type_name() + "' and '" + b.type_name() + "'");
}

Error too_large() { return refused("expected a whole number of 64 bits, found a larger one"); }
Error by_zero() { return refused("expected a divisor other than zero"); }

Result<Value> whole_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0)
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  std::int64_t result = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(result, base, &result)) return too_large();
    if (result == 0 || (result == 1 && base == 1)) break;
    if (base == -1) return Value(exponent % 2 == 0 ? std::int64_t{1} : std::int64_t{-1});
  }
  return Value(result);
}

Result<Value> of_whole(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  if (op == "+") {
    if (__builtin_add_overflow(a, b, &result)) return too_large();
  } else if (op == "-") {
    if (__builtin_sub_overflow(a, b, &result)) return too_large();
  } else if (op == "*") {
    if (__builtin_mul_overflow(a, b, &result)) return too_large();
  } else if (op == "**") {
    return whole_power(a, b);
  } else if (b == 0) {
    return by_zero();
  } else if (op == "/") {
    return Value(static_cast<double>(a) / static_cast<double>(b));
  } else if (a == std::numeric_limits<std::int64_t>::min() && b == -1) {
    return op == "//" ? Result<Value>(too_large()) : Result<Value>(Value(0));
  } else {  // "//" and "%" round down
    const std::int64_t rest = a % b;
    const bool below = rest != 0 && (rest < 0) != (b < 0);
    result = op == "//" ? a / b - (below ? 1 : 0) : rest + (below ? b : 0);
  }
  return Value(result);
}

// a // b from what is about it, as Python rounds it: 1000 // 0.1 is 9999, for 0.1 is a little more.
Value whole_quotient(double a, double b, double near) {
  if (near == 0.0) return std::copysign(0.0, a / b);
  const double below = std::floor(near);
  return near - below > 0.5 ? below + 1.0 : below;
}

Result<Value> of_real(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0.0) return by_zero();
  if (op == "/") return Value(a / b);
  const double rest = std::fmod(a, b);
  const bool below = rest != 0.0 && (rest < 0.0) != (b < 0.0);
  if (op == "//") return whole_quotient(a, b, (a - rest) / b - (below ? 1.0 : 0.0));
  if (rest == 0.0) return Value(std::copysign(0.0, b));
  return Value(below ? rest + b : rest);
}

Result<Value> repeated(Interpreter& interpreter, const Value& of, std::int64_t times) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(times, 0));
  const std::uint64_t size = of.string() ? of.string()->size() : of.list()->items.size();
  std::uint64_t all = 0;
  if (__builtin_mul_overflow(count, size, &all))
    all = std::numeric_limits<std::uint64_t>::max() / 64;
  TERN_TRY(interpreter.spend(0, all));  // before it is made
  if (of.string()) {
    std::string text;
    for (std::uint64_t i = 0; i < count && size > 0; ++i) text += *of.string();
    return Value(std::move(text));
  }
  TERN_TRY(interpreter.spend(0, all * sizeof(Value)));
  List list;
  list.is_tuple = of.list()->is_tuple;
  for (std::uint64_t i = 0; i < count && size > 0; ++i) {
    list.items.insert(list.items.end(), of.list()->items.begin(), of.list()->items.end());
  }
  return Value(std::move(list));
}

Result<Value> sum_of_lists(Interpreter& interpreter, const List& a, const List& b) {
  List list = a;
  list.items.insert(list.items.end(), b.items.begin(), b.items.end());
  TERN_TRY(interpreter.spend(0, list.items.size() * sizeof(Value)));
  return Value(std::move(list));
}

Result<Value> range(Interpreter& interpreter, const Arguments& given) {
  std::int64_t parts[3] = {0, 0, 1};
  const std::size_t count = given.positional.size();
  if (count < 1 || count > 3) return refused("expected 1 to 3 arguments of range()");
  for (std::size_t i = 0; i < count; ++i) {
    const Value& part = given.positional[i];
    if (!part.integer() && !part.boolean()) {
      return refused("expected whole numbers in range(), found a '" + part.type_name() + "'");
    }
    parts[count == 1 ? 1 : i] = part.whole();
  }
  const auto [begin, end, step] = parts;
  if (step == 0) return refused("expected a step of range() other than zero");
  std::vector<Value> items;
  for (std::int64_t at = begin; step > 0 ? at < end : at > end;) {
    if (static_cast<std::int64_t>(items.size()) >= kLongestRange) {
      return refused("expected a range() of at most " + std::to_string(kLongestRange) +
                     " numbers, found more");
    }
    items.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  TERN_TRY(interpreter.spend(items.size()));
  return interpreter.made(std::move(items));
}

Result<Value> make_namespace(Interpreter& interpreter, const Arguments& given) {
  auto made = std::make_shared<Namespace>();
  const auto put = [&](const std::string& name, const Value& value) -> Result<void> {
    TERN_TRY(interpreter.spend(1 + made->items.size() / 16, sizeof(Value) + name.size()));
    if (!value.measure().plain) {
      return refused("expected a value to keep in a namespace, found a '" + value.type_name() +
                     "'");
    }
    for (auto& [known, old] : made->items) {
      if (known != name) continue;
      old = value;
      return {};
    }
    made->items.emplace_back(name, value);
    return {};
  };
  for (const Value& from : given.positional) {
    if (from.dict() == nullptr) return refused("expected a dictionary in namespace()");
    for (const auto& [key, value] : from.dict()->items) {
      TERN_ASSIGN(const std::string name, interpreter.shown(key));
      TERN_TRY(put(name, value));
    }
  }
  for (const auto& [name, value] : given.named) TERN_TRY(put(name, value));
  return Value(std::move(made));
}

Result<Value> make_dict(Interpreter& interpreter, const Arguments& given) {
  Dict made;
  if (!given.positional.empty()) {
    if (given.positional[0].dict() == nullptr) return refused("expected a dictionary in dict()");
    made = *given.positional[0].dict();
    TERN_TRY(interpreter.spend(made.items.size(), 2 * made.items.size() * sizeof(Value)));
  }
  for (const auto& [name, value] : given.named) {
    const Value key(name);
    TERN_TRY(interpreter.spend_on_search(key, made.items.size()));
    made.set(key, value);
  }
  return Value(std::move(made));
}

Result<Value> raise(Interpreter& interpreter, const Arguments& given) {
  const Value* message = given.find(0, "message");
  if (message == nullptr) return refused("the template refuses this conversation");
  TERN_ASSIGN(std::string text, interpreter.shown(*message));
  return refused(std::move(text));
}

// cycler(a, b): `current`, and next(), which gives it and goes on, and reset().
Result<Value> make_cycler(Interpreter&, const Arguments& given) {
  if (given.positional.empty()) return refused("expected something to cycle through");
  struct State {
    std::vector<Value> items;
    std::size_t at = 0;
    std::weak_ptr<Namespace> shown;  // which has the functions that have this
  };
  const auto state = std::make_shared<State>();
  for (const Value& item : given.positional) {
    if (!item.measure().plain) return refused("expected values to cycle through");
    state->items.push_back(item);
  }
  auto made = std::make_shared<Namespace>();
  state->shown = made;
  const auto step = [](const std::shared_ptr<State>& of, bool forward) {
    const Value current = of->items[of->at];
    of->at = forward ? (of->at + 1) % of->items.size() : 0;
    if (const auto shown = of->shown.lock()) shown->items[0].second = of->items[of->at];
    return current;
  };
  made->is_open = false;
  made->items.emplace_back("current", state->items[0]);
  made->items.emplace_back(
      "next", Function{"next", [state, step](Interpreter&, const Arguments&) -> Result<Value> {
                         return step(state, true);
                       }});
  made->items.emplace_back(
      "reset", Function{"reset", [state, step](Interpreter&, const Arguments&) -> Result<Value> {
                          step(state, false);
                          return Value();
                        }});
  return Value(std::move(made));
}

// joiner(sep): nothing when it is called first, then the separator.
Result<Value> make_joiner(Interpreter&, const Arguments& given) {
  const Value* sep = given.find(0, "sep");
  const Value between = sep == nullptr ? Value(", ") : *sep;
  if (!between.measure().plain) return refused("expected a separator");
  const auto used = std::make_shared<bool>(false);
  return Value(Function{"joiner",
                        [between, used](Interpreter&, const Arguments&) -> Result<Value> {
                          return std::exchange(*used, true) ? between : Value("");
                        },
                        {between.measure().weight, between.measure().depth + 1, false}});
}

// An index of Python: from the end where it is negative.
std::int64_t from_end(std::int64_t index, std::int64_t size) {
  return index < 0 ? index + size : index;
}

}  // namespace

Error refused(std::string message) { return {ErrorCode::kUsage, std::move(message), kNoPlace}; }

Error is_undefined(const Undefined& missing) {
  const bool is_name = missing.name.find(' ') == std::string::npos;
  return refused(is_name ? "'" + missing.name + "' is undefined"
                         : "expected a value, found none: " + missing.name);
}

Result<Value> binary(Interpreter& interpreter, std::string_view op, const Value& a,
                     const Value& b) {
  if (op == "~") {
    TERN_ASSIGN(const std::string left, interpreter.shown(a));
    TERN_ASSIGN(const std::string right, interpreter.shown(b));
    return interpreter.made(left + right);
  }
  if (const Undefined* missing = a.undefined()) return is_undefined(*missing);
  if (op == "%" && a.string()) {  // of what is undefined, too
    Arguments given;
    const bool several = b.list() && b.list()->is_tuple;
    given.positional = several ? b.list()->items : std::vector<Value>{b};
    return formatted(interpreter, a, given, several);
  }
  if (const Undefined* missing = b.undefined()) return is_undefined(*missing);
  if (a.is_number() && b.is_number()) {
    return a.real() || b.real() ? of_real(op, a.number(), b.number())
                                : of_whole(op, a.whole(), b.whole());
  }
  if (op == "+" && a.string() && b.string()) return interpreter.made(*a.string() + *b.string());
  const auto adds = [](const Value& of) { return of.list() && !of.list()->is_iterator; };
  if (op == "+" && adds(a) && adds(b) && a.list()->is_tuple == b.list()->is_tuple) {
    return sum_of_lists(interpreter, *a.list(), *b.list());
  }
  const auto repeats = [&adds](const Value& of, const Value& times) {
    return (of.string() || adds(of)) && (times.integer() || times.boolean());
  };
  if (op == "*" && repeats(a, b)) return repeated(interpreter, a, b.whole());
  if (op == "*" && repeats(b, a)) return repeated(interpreter, b, a.whole());
  return wrong_types(op, a, b);
}

std::size_t find_in(std::string_view text, std::string_view what, std::size_t from) {
  if (from > text.size()) return std::string_view::npos;
  const void* at = ::memmem(text.data() + from, text.size() - from, what.data(), what.size());
  return at == nullptr ? std::string_view::npos
                       : static_cast<std::size_t>(static_cast<const char*>(at) - text.data());
}

Result<bool> contains(Interpreter& interpreter, const Value& all, const Value& item) {
  TERN_TRY(all.dict() ? interpreter.spend_on_surface(all) : interpreter.spend_on(all));
  if (const std::string* text = all.string()) {
    if (item.string() == nullptr) {
      return refused("expected a string to look for in a string, found a '" + item.type_name() +
                     "'");
    }
    return find_in(*text, *item.string()) != std::string::npos;
  }
  if (const Dict* dict = all.dict()) {
    TERN_TRY(check_hashable(interpreter, item));
    TERN_TRY(interpreter.spend_on_search(item, dict->items.size()));
    return dict->find(item) != nullptr;
  }
  TERN_ASSIGN(const std::vector<Value> items, items_of(interpreter, all));
  return std::any_of(items.begin(), items.end(), [&](const Value& v) { return equal(v, item); });
}

Result<Value> attribute(Interpreter& interpreter, const Value& of, const std::string& name) {
  if (const Undefined* missing = of.undefined()) return is_undefined(*missing);
  if (auto found = method(of, name)) return std::move(*found);
  const Value wanted(name);
  if (const auto space = of.name_space()) {
    TERN_TRY(interpreter.spend_on_search(wanted, space->items.size()));
    for (const auto& [known, value] : space->items) {
      if (known == name) return value;
    }
  }
  const Function* function = of.function();
  const Dict* dict = function != nullptr ? function->members.get() : of.dict();
  if (dict != nullptr) {
    TERN_TRY(interpreter.spend_on_search(wanted, dict->items.size()));
    if (const Value* value = dict->find(wanted)) return *value;
  }
  return Value(Undefined{"a " + of.type_name() + " has no '" + name + "'"});
}

Result<Value> item(Interpreter& interpreter, const Value& of, const Value& which) {
  if (const Undefined* missing = of.undefined()) return is_undefined(*missing);
  constexpr std::uint64_t kShown = 200;
  const std::string named = which.measure().weight > kShown ? "of that name" : which.repr();
  const Value absent(Undefined{"a " + of.type_name() + " has no item " + named});
  if (const Dict* dict = of.dict()) {
    TERN_TRY(interpreter.spend_on_search(which, dict->items.size()));
    const Value* value = dict->find(which);
    if (value != nullptr) return *value;
    const auto found = which.string() ? method(of, *which.string()) : std::nullopt;
    return found ? *found : absent;
  }
  if (which.string()) return attribute(interpreter, of, *which.string());
  if (!which.integer() && !which.boolean()) return absent;
  if (const List* list = of.list(); list != nullptr && !list->is_iterator) {
    const auto size = static_cast<std::int64_t>(list->items.size());
    const std::int64_t index = from_end(which.whole(), size);
    return index >= 0 && index < size ? list->items[static_cast<std::size_t>(index)] : absent;
  }
  if (const std::string* text = of.string()) {
    TERN_TRY(interpreter.spend_on_surface(of));
    const auto all = characters(*text);
    const auto size = static_cast<std::int64_t>(all.size());
    const std::int64_t index = from_end(which.whole(), size);
    return index >= 0 && index < size ? Value(all[static_cast<std::size_t>(index)]) : absent;
  }
  return absent;
}

Result<Value> slice(Interpreter& interpreter, const Value& of,
                    const std::optional<std::int64_t>& begin,
                    const std::optional<std::int64_t>& end, std::int64_t step) {
  if (const Undefined* missing = of.undefined()) return is_undefined(*missing);
  if (step == 0) return refused("expected a step of a slice other than zero");
  if (of.string() == nullptr && (of.list() == nullptr || of.list()->is_iterator)) {
    return refused("expected a string or a list to slice, found a '" + of.type_name() + "'");
  }
  TERN_ASSIGN(const std::vector<Value> all, items_of(interpreter, of));
  const auto size = static_cast<std::int64_t>(all.size());
  const std::int64_t least = step > 0 ? 0 : -1;
  const std::int64_t most = step > 0 ? size : size - 1;
  const auto place = [&](const std::optional<std::int64_t>& given, std::int64_t otherwise) {
    return given ? std::clamp(from_end(*given, size), least, most) : otherwise;
  };
  const std::int64_t first = place(begin, step > 0 ? 0 : size - 1);
  const std::int64_t last = place(end, step > 0 ? size : -1);
  List list;
  list.is_tuple = of.list() != nullptr && of.list()->is_tuple;
  for (std::int64_t at = first; step > 0 ? at < last : at > last;) {
    list.items.push_back(all[static_cast<std::size_t>(at)]);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  TERN_TRY(interpreter.spend(list.items.size(), list.items.size() * sizeof(Value)));
  if (of.string() == nullptr) return Value(std::move(list));
  std::string text;
  for (const Value& character : list.items) text += *character.string();
  return interpreter.made(std::move(text));
}

Variables global_functions() {
  return {{"range", Function{"range", range}},
          {"cycler", Function{"cycler", make_cycler}},
          {"joiner", Function{"joiner", make_joiner}},
          {"namespace", Function{"namespace", make_namespace}},
          {"dict", Function{"dict", make_dict}},
          {"raise_exception", Function{"raise_exception", raise}}};
}

}  // namespace tern::text::jinja
