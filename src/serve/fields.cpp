#include "serve/fields.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <utility>

namespace tern::serve {

namespace json = boost::json;

namespace {

std::string text_of(double value) {
  return value == std::floor(value) && std::fabs(value) < 1e15
             ? std::to_string(static_cast<std::int64_t>(value))
             : json::serialize(json::value(value));
}

std::string range(const std::string& kind, double least, double most) {
  return kind + " from " + text_of(least) + " to " + text_of(most);
}

// What was found, short enough for a message.
std::string shown(const json::value& value) {
  if (value.is_array() || value.is_object() || value.is_string()) return kind_of(value);
  return json::serialize(value);
}

}  // namespace

std::string kind_of(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::int64:
    case json::kind::uint64: return "an integer";
    case json::kind::double_: return "a number";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
  }
  return "nothing";
}

const json::value* Fields::find(std::string_view name) {
  known_.emplace(name);
  const json::value* value = object_.if_contains(json::string_view(name.data(), name.size()));
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<double> Fields::number(std::string_view name, double least, double most) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  json::error_code code;
  const double number = value->is_number() ? value->to_number<double>(code) : NAN;
  if (number >= least && number <= most) return number;
  fail(name, range("a number", least, most) + ", found " + shown(*value));
  return std::nullopt;
}

std::optional<std::int64_t> Fields::integer(std::string_view name, std::int64_t least,
                                            std::int64_t most) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  json::error_code code;
  // A whole number in another form (1.0, 1e3) is one, too.
  const std::int64_t number = value->is_number() ? value->to_number<std::int64_t>(code) : 0;
  if (value->is_number() && !code && number >= least && number <= most) return number;
  fail(name, range("an integer", static_cast<double>(least), static_cast<double>(most)) +
                 ", found " + shown(*value));
  return std::nullopt;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  fail(name, "true or false, found " + shown(*value));
  return std::nullopt;
}

std::optional<std::string> Fields::string(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::string(value->get_string());
  fail(name, "a string, found " + shown(*value));
  return std::nullopt;
}

const json::array* Fields::array(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return nullptr;
  if (value->is_array()) return &value->get_array();
  fail(name, "an array, found " + shown(*value));
  return nullptr;
}

const json::object* Fields::object(std::string_view name) {
  const json::value* value = find(name);
  if (value == nullptr) return nullptr;
  if (value->is_object()) return &value->get_object();
  fail(name, "an object, found " + shown(*value));
  return nullptr;
}

void Fields::accept(std::initializer_list<std::string_view> names) {
  known_.insert(names.begin(), names.end());
}

void Fields::refuse(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const json::value* value = find(name);
    const bool empty = value == nullptr || (value->is_array() && value->get_array().empty()) ||
                       (value->is_string() && value->get_string().empty()) ||
                       (value->is_bool() && !value->get_bool());
    if (empty) continue;
    fail({400, full(name) + ": not supported by this server; leave it out", "invalid_request_error",
          full(name), "unsupported_parameter"});
  }
}

void Fields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

void Fields::fail(std::string_view name, const std::string& expected) {
  fail({400, full(name) + ": expected " + expected, "invalid_request_error", full(name)});
}

std::optional<ApiError> Fields::error() {
  for (const auto& field : object_) {
    const std::string name(field.key());
    if (!known_.contains(name) && !field.value().is_null()) {
      fail({400, full(name) + ": no such field; is it misspelled?", "invalid_request_error",
            full(name), "unknown_parameter"});
    }
  }
  return error_;
}

}  // namespace tern::serve
