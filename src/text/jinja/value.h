// Values of a template, with Python's meaning of truth, equality, order and text.
//
// Strings, lists and dictionaries are shared and never change; a namespace is the one thing that a
// template can write to.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace tern::text::jinja {

class Value;
class Interpreter;

struct Undefined {
  std::string name;  // of what is not there, for messages
};
struct None {};
// What a value costs those who walk or show it, kept where it is made.
struct Measure {
  // At least the bytes that show it, without line breaks; of a dictionary more, as each name is
  // looked for among all of another's where two are compared.
  std::uint64_t weight = 0;
  int depth = 1;      // of values in values
  bool plain = true;  // nothing in it that can be called or written to
};
struct List {
  std::vector<Value> items;
  bool is_tuple = false;  // shown with round brackets
  Measure measure = {};
  // Of a filter that jinja2 makes an iterator of: true even where it is empty, to be gone through
  // and nothing else.
  bool is_iterator = false;
};
struct Dict {
  std::vector<std::pair<Value, Value>> items;  // in the order in which they were put in
  const Value* find(const Value& key) const;
  void set(const Value& key, Value value);
  Measure measure = {};
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
  bool is_open = true;  // whether a template may set its items
};
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  // The argument at a place or of a name; null where it was not given.
  const Value* find(std::size_t place, std::string_view name) const;
};
struct Function {
  std::string name;
  std::function<Result<Value>(Interpreter&, const Arguments&)> call;
  Measure measure = {32, 1, false};
  std::shared_ptr<const Dict> members = nullptr;  // of `loop`, which has both
};

class Value {
 public:
  Value() : data_(None{}) {}
  Value(bool value) : data_(value) {}               // NOLINT: a value is a bool
  Value(std::int64_t value) : data_(value) {}       // NOLINT
  Value(int value) : data_(std::int64_t{value}) {}  // NOLINT
  Value(std::size_t value) : data_(static_cast<std::int64_t>(value)) {}  // NOLINT
  Value(double value) : data_(value) {}                                  // NOLINT
  Value(std::string value);                                              // NOLINT
  Value(const char* value) : Value(std::string(value)) {}                // NOLINT
  Value(std::string_view value) : Value(std::string(value)) {}           // NOLINT
  Value(List value);                                                     // NOLINT
  Value(Dict value);                                                     // NOLINT
  Value(Undefined value) : data_(std::move(value)) {}                    // NOLINT
  Value(std::shared_ptr<Namespace> value) : data_(std::move(value)) {}   // NOLINT
  Value(Function value);                                                 // NOLINT

  // Null where it is another type.
  const Undefined* undefined() const { return std::get_if<Undefined>(&data_); }
  const bool* boolean() const { return std::get_if<bool>(&data_); }
  const std::int64_t* integer() const { return std::get_if<std::int64_t>(&data_); }
  const double* real() const { return std::get_if<double>(&data_); }
  const std::string* string() const { return shared<std::string>(); }
  const List* list() const { return shared<List>(); }
  const Dict* dict() const { return shared<Dict>(); }
  const Function* function() const { return shared<Function>(); }
  std::shared_ptr<Namespace> name_space() const;
  bool is_none() const { return std::holds_alternative<None>(data_); }
  bool is_number() const { return boolean() || integer() || real(); }

  Measure measure() const;
  bool truth() const;
  double number() const;          // of a number
  std::int64_t whole() const;     // of a boolean or an integer
  std::string type_name() const;  // as Python names it
  std::string text() const;       // str()
  std::string repr() const;

 private:
  template <typename T>
  const T* shared() const {
    const auto* pointer = std::get_if<std::shared_ptr<const T>>(&data_);
    return pointer == nullptr ? nullptr : pointer->get();
  }

  std::variant<Undefined, None, bool, std::int64_t, double, std::shared_ptr<const std::string>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<const Function>>
      data_;
};

// Takes no longer than a walk through the lighter of the two.
bool equal(const Value& a, const Value& b);
// How deep values may lie in values, which are walked by recursion.
inline constexpr int kDeepestValue = 200;
Error too_deep();
// Negative, 0 or positive. Errors: kUsage for values that have no order.
Result<int> compare(const Value& a, const Value& b);
// What a dictionary may have as a key. Counted before it is walked. Errors: kUsage for lists and
// dictionaries, and for tuples of them; kOutOfMemory for too many.
Result<void> check_hashable(Interpreter& interpreter, const Value& value);
// What a loop goes over: the items of a list, the keys of a dictionary, the characters of a string;
// nothing of what is undefined. Counted before it is made. Errors: kUsage for other values,
// kOutOfMemory for too many.
Result<std::vector<Value>> items_of(Interpreter& interpreter, const Value& value);
// As json.dumps(ensure_ascii=False) writes it; indent < 0: on one line. Errors: kUsage for what
// JSON has no form for.
struct JsonStyle {
  int indent = -1;
  std::string between = ", ";  // two items, and a key and its value
  std::string after_key = ": ";
  bool sort_keys = false;
  bool ascii = false;
};
Result<std::string> to_json(const Value& value, const JsonStyle& style = {});

// Characters of UTF-8 text; a byte that is none of a valid sequence is one of its own.
std::vector<std::string_view> characters(std::string_view text);
std::size_t character_count(std::string_view text);

}  // namespace tern::text::jinja
