// Filters of strings and numbers, and of any value.
#include "text/jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

namespace tern::text::jinja {

bool flag(const Arguments& given, std::size_t place, std::string_view name, bool otherwise) {
  const Value* value = given.find(place, name);
  return value == nullptr ? otherwise : value->truth();
}

Result<std::int64_t> whole(const Arguments& given, std::size_t place, std::string_view name,
                           std::int64_t otherwise) {
  const Value* value = given.find(place, name);
  if (value == nullptr) return otherwise;
  if (value->integer() || value->boolean()) return value->whole();
  return refused("expected a whole number as " + std::string(name) + ", found a '" +
                 value->type_name() + "'");
}

Result<std::string> words(Interpreter& interpreter, const Arguments& given, std::size_t place,
                          std::string_view name, std::string otherwise) {
  const Value* value = given.find(place, name);
  return value == nullptr ? std::move(otherwise) : interpreter.shown(*value);
}

namespace {

Result<Value> otherwise(Interpreter&, const Value& of, const Arguments& given) {
  const Value* fallback = given.find(0, "default_value");
  const bool missing = of.undefined() || (flag(given, 1, "boolean", false) && !of.truth());
  if (!missing) return of;
  return fallback == nullptr ? Value("") : *fallback;
}

Result<Value> attribute_of(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string name, words(interpreter, given, 0, "name", ""));
  if (of.dict() == nullptr) return attribute(interpreter, of, name);
  const auto found = method(of, name);  // items are none of its attributes
  return found ? *found : Value(Undefined{fmt::format("a dict has no attribute '{}'", name)});
}

Result<Value> string(Interpreter& interpreter, const Value& of, const Arguments&) {
  if (of.string()) return of;
  TERN_ASSIGN(std::string shown, interpreter.shown(of));
  return interpreter.made(std::move(shown));
}
template <std::string (*kChange)(std::string_view)>
Result<Value> text(Interpreter& interpreter, const Value& of, const Arguments&) {
  TERN_ASSIGN(const std::string shown, interpreter.shown(of));
  return interpreter.made(kChange(shown));
}
std::string uppered(std::string_view t) { return with_case(t, true); }
std::string lowered(std::string_view t) { return with_case(t, false); }
// Words begin behind spaces, dashes and opening brackets: not as str.title() has it.
std::string titled_words(std::string_view text) {
  std::string out;
  bool begins = true;
  for (const std::string_view c : characters(text)) {
    out += with_case(c, begins);
    begins = c == "-" || c == "(" || c == "{" || c == "[" || c == "<" ||
             stripped(c, "", true, true).empty();
  }
  return out;
}

// Of arguments whose default is None; others show it as text, or refuse it.
bool is_none(const Arguments& given, std::size_t place, std::string_view name) {
  const Value* value = given.find(place, name);
  return value != nullptr && value->is_none();
}

Result<Value> trim(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string shown, interpreter.shown(of));
  TERN_ASSIGN(const std::string chars, is_none(given, 0, "chars")
                                           ? Result<std::string>("")
                                           : words(interpreter, given, 0, "chars", ""));
  TERN_TRY(interpreter.spend(shown.size() / 64 * chars.size()));
  return interpreter.made(stripped(shown, chars, true, true));
}
Result<Value> replace(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::int64_t most,
              is_none(given, 2, "count") ? Result<std::int64_t>(-1) : whole(given, 2, "count", -1));
  TERN_ASSIGN(const std::string shown, interpreter.shown(of));
  TERN_ASSIGN(const std::string from, words(interpreter, given, 0, "old", ""));
  TERN_ASSIGN(const std::string to, words(interpreter, given, 1, "new", ""));
  return replaced(interpreter, shown, from, to, most);
}

Result<Value> indent(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (of.string() == nullptr)
    return refused("expected a string to indent, found a '" + of.type_name() + "'");
  const Value* width = given.find(0, "width");
  std::string by = "    ";
  if (width != nullptr && width->string()) {
    by = *width->string();
  } else if (width != nullptr) {
    TERN_ASSIGN(const std::int64_t count, whole(given, 0, "width", 4));
    TERN_TRY(interpreter.spend(0, static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0))));
    by.assign(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)), ' ');
  }
  const bool blank = flag(given, 2, "blank", false);
  TERN_ASSIGN(const std::string all, interpreter.shown(of));
  std::string out = flag(given, 1, "first", false) ? by : "";
  for (std::size_t i = 0; i < all.size(); ++i) {
    out += all[i];
    const bool empty_line = i + 1 == all.size() || all[i + 1] == '\n';
    if (all[i] != '\n' || (empty_line && !blank)) continue;
    TERN_TRY(interpreter.spend(1, by.size()));
    out += by;
  }
  return interpreter.made(std::move(out));
}

Result<Value> center(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::int64_t width, whole(given, 0, "width", 80));
  TERN_ASSIGN(const std::string inside, interpreter.shown(of));
  const auto size = static_cast<std::int64_t>(character_count(inside));
  const std::int64_t pad = width > size ? width - size : 0;
  TERN_TRY(interpreter.spend(0, static_cast<std::uint64_t>(pad)));
  const std::int64_t left = pad / 2 + (pad & width & 1);
  return interpreter.made(std::string(static_cast<std::size_t>(left), ' ') + inside +
                          std::string(static_cast<std::size_t>(pad - left), ' '));
}

Result<Value> escape(Interpreter& interpreter, const Value& of, const Arguments&) {
  TERN_ASSIGN(const std::string shown, interpreter.shown(of));
  std::string out;
  for (const char c : shown) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&#34;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return interpreter.made(std::move(out));
}

// Runs of what "\w" of a regular expression takes, so that "it's" is two.
Result<Value> word_count(Interpreter& interpreter, const Value& of, const Arguments&) {
  TERN_ASSIGN(const std::string shown, interpreter.shown(of));
  TERN_TRY(interpreter.spend(shown.size() / 16));
  std::size_t count = 0;
  bool inside = false;
  for (const std::string_view c : characters(shown)) {
    const bool of_word = c == "_" || is_alphanumeric(c);
    if (of_word && !inside) ++count;
    inside = of_word;
  }
  return Value(count);
}

}  // namespace

// "%s", "%d", "%r" and "%%", which is as far as templates go.
Result<Value> formatted(Interpreter& interpreter, const Value& of, const Arguments& given,
                        bool of_filter) {
  TERN_ASSIGN(const std::string pattern, interpreter.shown(of));
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    const char kind = ++i < pattern.size() ? pattern[i] : ' ';
    if (kind == '%') {
      out += '%';
      continue;
    }
    if (next == given.positional.size()) return refused("expected more values to format");
    const Value& value = given.positional[next++];
    TERN_TRY(interpreter.spend(0, value.measure().weight));
    if (kind == 's') {
      out += value.text();
    } else if (kind == 'r') {
      out += value.repr();
    } else if (kind == 'd' && value.is_number()) {
      out += value.real() ? fmt::format("{:.0f}", std::trunc(value.number()))
                          : std::to_string(value.whole());
    } else {
      return refused("expected %s, %d, %r or %% in a format, found %" + std::string(1, kind));
    }
    TERN_TRY(interpreter.spend(1, out.size()));
  }
  const bool is_open =
      given.positional.size() == 1 && !of_filter &&
      (given.positional[0].list() || given.positional[0].dict() || given.positional[0].undefined());
  if (next < given.positional.size() && !is_open) return refused("expected fewer values to format");
  return interpreter.made(std::move(out));
}

namespace {

Result<Value> format(Interpreter& interpreter, const Value& of, const Arguments& given) {
  return formatted(interpreter, of, given, true);
}

Result<Value> absolute(Interpreter& interpreter, const Value& of, const Arguments&) {
  if (!of.is_number()) return refused("expected a number, found a '" + of.type_name() + "'");
  if (of.real()) return Value(std::fabs(of.number()));
  return of.whole() < 0 ? binary(interpreter, "-", Value(0), of) : Result<Value>(of.whole());
}

// Without its "+", which std::from_chars does not know; nothing of "+-1".
std::string_view without_plus(std::string_view number) {
  if (!number.starts_with('+')) return number;
  number.remove_prefix(1);
  return number.starts_with('-') ? std::string_view() : number;
}

// What float() of Python reads: also what is too large for a number, as infinity, and what is too
// small for one, as zero.
std::optional<double> real_of(std::string_view text) {
  text = without_plus(text);
  if (text.ends_with(')')) return std::nullopt;  // nan(1), which only C++ knows
  double real = 0.0;
  const char* const end = text.data() + text.size();
  const auto outcome = std::from_chars(text.data(), end, real);
  if (outcome.ptr != end || outcome.ec == std::errc::invalid_argument) return std::nullopt;
  if (outcome.ec == std::errc::result_out_of_range) {
    return std::strtod(std::string(text).c_str(), nullptr);
  }
  return real;
}

Result<Value> whole_part(double value, const Value& fallback) {
  if (std::isnan(value)) return fallback;
  if (std::fabs(value) < 9e18) return Value(static_cast<std::int64_t>(value));
  return refused("expected a whole number of 64 bits, found a larger one");
}

Result<Value> to_integer(Interpreter&, const Value& of, const Arguments& given) {
  if (const Undefined* missing = of.undefined()) return is_undefined(*missing);
  const Value* otherwise = given.find(0, "default");
  const Value fallback = otherwise == nullptr ? Value(0) : *otherwise;
  if (of.real()) return whole_part(of.number(), fallback);
  if (of.is_number()) return Value(of.whole());
  if (of.string() == nullptr) return fallback;
  const std::string text = stripped(*of.string(), "", true, true);
  const std::string_view digits = without_plus(text);
  const char* const end = digits.data() + digits.size();
  std::int64_t number = 0;
  const auto outcome = std::from_chars(digits.data(), end, number);
  if (outcome.ec == std::errc() && outcome.ptr == end) return Value(number);
  const std::optional<double> real = real_of(text);
  return real && !std::isinf(*real) ? whole_part(*real, fallback) : fallback;
}

Result<Value> to_real(Interpreter&, const Value& of, const Arguments& given) {
  if (const Undefined* missing = of.undefined()) return is_undefined(*missing);
  const Value* fallback = given.find(0, "default");
  if (of.is_number()) return Value(of.number());
  if (of.string()) {
    const std::optional<double> real = real_of(stripped(*of.string(), "", true, true));
    if (real) return Value(*real);
  }
  return fallback == nullptr ? Value(0.0) : *fallback;
}

// round(none): as Python's round(x, None), a whole number; halves become even.
Result<Value> nearest_whole(double value) {
  if (std::isnan(value)) return refused("expected a number to round, found nan");
  return whole_part(std::nearbyint(value), Value());
}

// To a multiple of 10^-digits, of which there is one: halves to the even one, as Python has it.
Result<Value> to_multiple(std::int64_t value, std::int64_t digits) {
  constexpr std::int64_t kLeastDigits = -19;  // units beyond do not fit in 64 bits
  std::uint64_t unit = 1;
  for (std::int64_t i = std::max(digits, kLeastDigits); i < 0; ++i) unit *= 10;
  const bool negative = value < 0;
  const std::uint64_t size =
      negative ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  std::uint64_t count = size / unit;
  const std::uint64_t below = size % unit;
  if (digits >= kLeastDigits && (below > unit - below || (below == unit - below && count % 2 == 1)))
    ++count;
  std::int64_t rounded = 0;
  if (__builtin_mul_overflow(count, unit, &rounded)) return refused("expected a smaller number");
  return Value(negative ? -rounded : rounded);
}

Result<Value> round(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (!of.is_number()) return refused("expected a number, found a '" + of.type_name() + "'");
  TERN_ASSIGN(const std::string method, words(interpreter, given, 1, "method", "common"));
  if (method == "common" && is_none(given, 0, "precision")) {
    return of.real() ? nearest_whole(of.number()) : Value(of.whole());
  }
  TERN_ASSIGN(const std::int64_t digits, whole(given, 0, "precision", 0));
  if (digits < -300 || digits > 300) return refused("expected a precision of -300 to 300");
  if (!of.real() && method == "common") {
    return digits < 0 ? to_multiple(of.whole(), digits) : Value(of.whole());
  }
  const double factor = std::pow(10.0, static_cast<double>(digits));
  const double scaled = of.number() * factor;
  // "+ 0.0" makes 0.0 of -0.0, for Python's are whole numbers, which have no sign of zero.
  if (method == "ceil") return Value((std::ceil(scaled) + 0.0) / factor);
  if (method == "floor") return Value((std::floor(scaled) + 0.0) / factor);
  if (method != "common") return refused("expected common, ceil or floor as method");
  if (digits < 0) return Value(std::nearbyint(scaled) / factor);
  double rounded = 0.0;  // as Python: to the nearest decimal of the exact value, ties to even
  const std::string decimal = fmt::format("{:.{}f}", of.number(), digits);
  std::from_chars(decimal.data(), decimal.data() + decimal.size(), rounded);
  return Value(rounded);
}

// tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False), as transformers has
// it.
Result<Value> json(Interpreter& interpreter, const Value& of, const Arguments& given) {
  constexpr std::int64_t kWidest = 32;
  JsonStyle style;
  style.ascii = flag(given, 0, "ensure_ascii", false);
  TERN_ASSIGN(const std::int64_t spaces, is_none(given, 1, "indent")
                                             ? Result<std::int64_t>(-1)
                                             : whole(given, 1, "indent", -1));
  if (spaces > kWidest) return refused("expected an indent of at most 32 spaces");
  style.indent = static_cast<int>(std::max<std::int64_t>(spaces, -1));
  if (style.indent >= 0) style.between = ",";  // the line ends there
  if (const Value* separators = given.find(2, "separators"); separators && !separators->is_none()) {
    const List* pair = separators->list();
    if (pair == nullptr || pair->items.size() != 2) return refused("expected two separators");
    TERN_ASSIGN(style.between, interpreter.shown(pair->items[0]));
    TERN_ASSIGN(style.after_key, interpreter.shown(pair->items[1]));
  }
  style.sort_keys = flag(given, 3, "sort_keys", false);
  const Measure& measure = of.measure();
  TERN_TRY(interpreter.spend(0, 2 * measure.weight));  // so that the products below fit 64 bits
  const std::uint64_t joints =
      (style.between.size() + style.after_key.size()) * (measure.weight / 4);
  const auto lines = static_cast<std::uint64_t>(std::max(style.indent, 0)) *
                     static_cast<std::uint64_t>(measure.depth) * (measure.weight / 8);
  TERN_TRY(interpreter.spend(0, joints + lines));
  TERN_ASSIGN(std::string text, to_json(of, style));
  return interpreter.made(std::move(text));
}

}  // namespace

const Filters& value_filters() {
  static const Filters all{{"abs", absolute},
                           {"attr", attribute_of},
                           {"capitalize", text<capitalized>},
                           {"center", center},
                           {"d", otherwise},
                           {"default", otherwise},
                           {"e", escape},
                           {"escape", escape},
                           {"float", to_real},
                           {"format", format},
                           {"indent", indent},
                           {"int", to_integer},
                           {"lower", text<lowered>},
                           {"replace", replace},
                           {"round", round},
                           {"safe", string},
                           {"string", string},
                           {"title", text<titled_words>},
                           {"tojson", json},
                           {"trim", trim},
                           {"upper", text<uppered>},
                           {"wordcount", word_count}};
  return all;
}

Result<Value> apply_filter(Interpreter& interpreter, const std::string& name, const Value& of,
                           const Arguments& arguments) {
  TERN_TRY(interpreter.spend_on_surface(of));
  TERN_TRY(interpreter.spend_on_surface(arguments));
  TERN_TRY(interpreter.enter());  // "map" of "map" of "map"
  const Leave leave(interpreter);
  for (const Filters* all : {&value_filters(), &sequence_filters()}) {
    const auto found = all->find(name);
    if (found != all->end()) return found->second(interpreter, of, arguments);
  }
  return refused("expected a filter that is known, found '" + name + "'");
}

}  // namespace tern::text::jinja
