#include "text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/operations.h"
#include "text/utf8.h"

namespace tern::text::jinja {
namespace {

// As Python writes a float: the shortest digits that give it back, always with a point or exponent.
std::string text_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const double size = std::fabs(value);
  const bool plain = size == 0.0 || (size >= 1e-4 && size < 1e16);
  char digits[400];
  const auto end = std::to_chars(digits, digits + sizeof digits, value,
                                 plain ? std::chars_format::fixed : std::chars_format::scientific);
  std::string text(digits, end.ptr);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::string quoted(std::string_view text) {
  const bool single =
      text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char quote = single ? '\'' : '"';
  std::string out(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\\' || c == quote) {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out + quote;
}

template <typename Items, typename Show>
std::string joined(const Items& items, Show show) {
  std::string out;
  for (const auto& item : items) {
    if (!out.empty()) out += ", ";
    out += show(item);
  }
  return out;
}

constexpr std::uint64_t kMostWeight = std::uint64_t{1} << 56;  // far beyond every limit

// Of a value that has another one in it.
void include(Measure& measure, const Measure& inner) {
  measure.weight = std::min(measure.weight + inner.weight + 4, kMostWeight);
  measure.depth = std::max(measure.depth, inner.depth + 1);
  measure.plain = measure.plain && inner.plain;
}

}  // namespace

Measure Value::measure() const {
  if (const auto* s = string()) return {4 * s->size() + 2, 1, true};
  if (const List* l = list()) return l->measure;
  if (const Dict* d = dict()) return d->measure;
  if (const Function* f = function()) return f->measure;
  return {32, 1, name_space() == nullptr};
}

const Value* Dict::find(const Value& key) const {
  for (const auto& [name, value] : items) {
    if (equal(name, key)) return &value;
  }
  return nullptr;
}

void Dict::set(const Value& key, Value value) {
  for (auto& [name, old] : items) {
    if (equal(name, key)) {
      old = std::move(value);
      return;
    }
  }
  items.emplace_back(key, std::move(value));
}

const Value* Arguments::find(std::size_t place, std::string_view name) const {
  if (place < positional.size()) return &positional[place];
  for (const auto& [given, value] : named) {
    if (given == name) return &value;
  }
  return nullptr;
}

Value::Value(std::string value) : data_(std::make_shared<const std::string>(std::move(value))) {}
Value::Value(List value) {
  value.measure = {};
  for (const Value& item : value.items) include(value.measure, item.measure());
  data_ = std::make_shared<const List>(std::move(value));
}
Value::Value(Dict value) {
  value.measure = {};
  for (const auto& [key, item] : value.items) {
    include(value.measure, key.measure());
    include(value.measure, item.measure());
  }
  const std::uint64_t names = value.items.size();
  value.measure.weight = std::min(value.measure.weight + names * names / 16, kMostWeight);
  data_ = std::make_shared<const Dict>(std::move(value));
}
Value::Value(Function value) : data_(std::make_shared<const Function>(std::move(value))) {}

std::shared_ptr<Namespace> Value::name_space() const {
  const auto* pointer = std::get_if<std::shared_ptr<Namespace>>(&data_);
  return pointer == nullptr ? nullptr : *pointer;
}

bool Value::truth() const {
  if (undefined() || is_none()) return false;
  if (const bool* b = boolean()) return *b;
  if (const auto* i = integer()) return *i != 0;
  if (const double* d = real()) return *d != 0.0;
  if (const auto* s = string()) return !s->empty();
  if (const List* l = list()) return l->is_iterator || !l->items.empty();
  if (const Dict* d = dict()) return !d->items.empty();
  return true;
}

double Value::number() const {
  if (const double* d = real()) return *d;
  return static_cast<double>(whole());
}

std::int64_t Value::whole() const {
  if (const bool* b = boolean()) return *b ? 1 : 0;
  const auto* i = integer();
  return i == nullptr ? 0 : *i;
}

std::string Value::type_name() const {
  if (undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (boolean()) return "bool";
  if (integer()) return "int";
  if (real()) return "float";
  if (string()) return "str";
  if (const List* l = list()) return l->is_iterator ? "iterator" : l->is_tuple ? "tuple" : "list";
  if (dict()) return "dict";
  return function() ? "function" : "Namespace";
}

std::string Value::text() const {
  if (const auto* s = string()) return *s;
  return undefined() ? std::string() : repr();
}

std::string Value::repr() const {
  if (undefined()) return "Undefined";
  if (is_none()) return "None";
  if (const bool* b = boolean()) return *b ? "True" : "False";
  if (const auto* i = integer()) return std::to_string(*i);
  if (const double* d = real()) return text_of(*d);
  if (const auto* s = string()) return quoted(*s);
  if (const List* l = list()) {
    const std::string inside = joined(l->items, [](const Value& v) { return v.repr(); });
    if (!l->is_tuple) return "[" + inside + "]";
    return "(" + inside + (l->items.size() == 1 ? ",)" : ")");
  }
  if (const Dict* d = dict()) {
    return "{" +
           joined(d->items,
                  [](const auto& item) { return item.first.repr() + ": " + item.second.repr(); }) +
           "}";
  }
  if (const Function* f = function()) return "<function " + f->name + ">";
  return "<Namespace>";
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) {
    return a.real() || b.real() ? a.number() == b.number() : a.whole() == b.whole();
  }
  if (a.string() && b.string()) return *a.string() == *b.string();
  if (a.list() && b.list()) {
    if (a.list()->is_iterator || b.list()->is_iterator) return a.list() == b.list();
    const auto& x = a.list()->items;
    const auto& y = b.list()->items;
    return a.list()->is_tuple == b.list()->is_tuple &&
           std::equal(x.begin(), x.end(), y.begin(), y.end(), equal);
  }
  if (a.dict() && b.dict()) {
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    return std::all_of(a.dict()->items.begin(), a.dict()->items.end(), [&](const auto& item) {
      const Value* other = b.dict()->find(item.first);
      return other != nullptr && equal(item.second, *other);
    });
  }
  if (a.name_space() && b.name_space()) return a.name_space() == b.name_space();
  if (a.function() || b.function()) return a.function() == b.function();
  return (a.is_none() && b.is_none()) || (a.undefined() && b.undefined());
}

Result<int> compare(const Value& a, const Value& b) {
  const auto sign = [](const auto& x, const auto& y) { return x < y ? -1 : (y < x ? 1 : 0); };
  if (a.is_number() && b.is_number()) {
    return a.real() || b.real() ? sign(a.number(), b.number()) : sign(a.whole(), b.whole());
  }
  if (a.string() && b.string()) return sign(*a.string(), *b.string());
  if (a.list() && b.list() && a.type_name() == b.type_name() && !a.list()->is_iterator) {
    const auto& x = a.list()->items;
    const auto& y = b.list()->items;
    for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i])) return compare(x[i], y[i]);
    }
    return sign(x.size(), y.size());
  }
  return refused("expected two values that have an order, found '" + a.type_name() + "' and '" +
                 b.type_name() + "'");
}

Error too_deep() {
  return refused("expected at most " + std::to_string(kDeepestValue) +
                 " values inside of each other, found more");
}

Result<void> check_hashable(Interpreter& interpreter, const Value& value) {
  if (value.dict() || (value.list() && !value.list()->is_tuple)) {
    return refused("expected a value that Python can hash, found a '" + value.type_name() + "'");
  }
  if (value.list() == nullptr) return {};
  TERN_TRY(interpreter.spend(1 + value.list()->items.size() / 16));
  for (const Value& item : value.list()->items) TERN_TRY(check_hashable(interpreter, item));
  return {};
}

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> all;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = next_utf8(text, at);
    const std::size_t length = sequence.status == Utf8Status::kValid ? sequence.length : 1;
    all.push_back(text.substr(at, length));
    at += length;
  }
  return all;
}

std::size_t character_count(std::string_view text) { return characters(text).size(); }

Result<std::vector<Value>> items_of(Interpreter& interpreter, const Value& value) {
  const std::size_t most = value.list()     ? value.list()->items.size()
                           : value.dict()   ? value.dict()->items.size()
                           : value.string() ? value.string()->size()
                                            : 0;
  TERN_TRY(interpreter.spend(most, most * sizeof(Value)));
  if (const List* list = value.list()) return list->items;
  std::vector<Value> items;
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, unused] : dict->items) items.push_back(key);
  } else if (const std::string* text = value.string()) {
    for (const std::string_view c : characters(*text)) items.emplace_back(c);
  } else if (!value.undefined()) {
    return refused("expected something to go through, found a '" + value.type_name() + "'");
  }
  return items;
}

}  // namespace tern::text::jinja
