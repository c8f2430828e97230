#include "serve/fields.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <limits>
#include <utility>

#include "core/shortened.h"

namespace tern::serve {

namespace json = boost::json;

namespace {

std::string text_of(double value) {
  return value == std::floor(value) && std::fabs(value) < 1e15
             ? std::to_string(static_cast<std::int64_t>(value))
             : fmt::format("{}", value);
}

std::string range(const std::string& kind, const std::string& least, const std::string& most) {
  return kind + " from " + least + " to " + most + ", found ";
}

// What was found, short enough for a message.
std::string shown(const json::value& value) {
  if (value.is_array() || value.is_object() || value.is_string()) return kind_of(value);
  return value.is_double() ? text_of(value.get_double()) : json::serialize(value);
}

// 1 is 1.0.
bool is_same(const json::value& a, const json::value& b) {
  json::error_code code;
  return a == b ||
         (a.is_number() && b.is_number() && a.to_number<double>(code) == b.to_number<double>(code));
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
  fail(name, range("a number", text_of(least), text_of(most)) + shown(*value));
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
  fail(name, range("an integer", std::to_string(least), std::to_string(most)) + shown(*value));
  return std::nullopt;
}

std::optional<std::uint64_t> Fields::bits(std::string_view name) {
  using Signed = std::numeric_limits<std::int64_t>;
  const json::value* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_number()) {
    json::error_code code;
    if (const auto number = value->to_number<std::uint64_t>(code); !code) return number;
    const auto negative = value->to_number<std::int64_t>(code);
    if (!code) return static_cast<std::uint64_t>(negative);
  }
  fail(name, range("an integer", std::to_string(Signed::min()), std::to_string(UINT64_MAX)) +
                 shown(*value));
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

void Fields::accept_only(const json::object& neutral) {
  for (const auto& [name, value] : neutral) {
    const json::value* found = find(name);
    if (found != nullptr && !is_same(*found, value)) unsupported(name);
  }
}

void Fields::refuse(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    const json::value* value = find(name);
    const bool empty = value == nullptr || (value->is_array() && value->get_array().empty()) ||
                       (value->is_string() && value->get_string().empty()) ||
                       (value->is_bool() && !value->get_bool());
    if (!empty) unsupported(name);
  }
}

void Fields::unsupported(std::string_view name) {
  fail({400, full(name) + ": not supported by this server; leave it out", "invalid_request_error",
        full(name), "unsupported_parameter"});
}

// What nobody bounds is the client's: the reply is not to be longer for it.
std::string Fields::full(std::string_view name) const { return where_ + shortened(name); }

void Fields::fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

void Fields::fail(std::string_view name, const std::string& expected) {
  fail({400, full(name) + ": expected " + expected, "invalid_request_error", full(name)});
}

std::optional<ApiError> Fields::error() {
  for (const auto& field : object_) {
    if (error_) break;
    const std::string name(field.key());
    if (!known_.contains(name) && !field.value().is_null()) {
      fail({400, full(name) + ": no such field; is it misspelled?", "invalid_request_error",
            full(name), "unknown_parameter"});
    }
  }
  return error_;
}

}  // namespace tern::serve
