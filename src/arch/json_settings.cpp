#include "arch/json_settings.h"

#include <boost/json/serialize.hpp>

namespace tern::arch {

namespace json = boost::json;

const json::value* JsonSettings::find(std::string_view key) const {
  const json::value* value = object_.if_contains({key.data(), key.size()});
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string JsonSettings::shown(std::string_view key) const {
  constexpr std::size_t kMost = 60;
  const json::value* value = find(key);
  if (value == nullptr) return "nothing";
  std::string text = json::serialize(*value);
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return text;
}

Error JsonSettings::malformed(std::string_view key, std::string message) const {
  return Error{ErrorCode::kMalformed, std::move(message), source_ + ": " + std::string(key)};
}

Error JsonSettings::unsupported(std::string_view key, std::string message) const {
  return Error{ErrorCode::kUnsupported, std::move(message), source_ + ": " + std::string(key)};
}

Result<std::uint32_t> JsonSettings::count(std::string_view key, std::uint64_t most) const {
  const json::value* value = find(key);
  const bool whole = value != nullptr && value->is_int64();
  if (!whole || value->get_int64() < 1 || value->get_int64() > static_cast<std::int64_t>(most)) {
    return malformed(
        key, "expected a whole number of 1 to " + std::to_string(most) + ", found " + shown(key));
  }
  return static_cast<std::uint32_t>(value->get_int64());
}

Result<std::uint32_t> JsonSettings::count_or(std::string_view key, std::uint32_t fallback,
                                             std::uint64_t most) const {
  if (find(key) == nullptr) return fallback;
  return count(key, most);
}

Result<double> JsonSettings::number(std::string_view key) const {
  const json::value* value = find(key);
  double number = 0.0;
  if (value != nullptr && value->is_double()) number = value->get_double();
  if (value != nullptr && value->is_int64()) number = static_cast<double>(value->get_int64());
  if (number > 0.0 && number <= 1e12) return number;
  return malformed(key, "expected a number above zero, found " + shown(key));
}

Result<double> JsonSettings::number_or(std::string_view key, double fallback) const {
  if (find(key) == nullptr) return fallback;
  return number(key);
}

Result<std::string> JsonSettings::text(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr || !value->is_string()) {
    return malformed(key, "expected a text, found " + shown(key));
  }
  return std::string(value->get_string().data(), value->get_string().size());
}

Result<std::string> JsonSettings::text_or(std::string_view key, std::string_view fallback) const {
  if (find(key) == nullptr) return std::string(fallback);
  return text(key);
}

Result<bool> JsonSettings::flag_or(std::string_view key, bool fallback) const {
  const json::value* value = find(key);
  if (value == nullptr) return fallback;
  if (value->is_bool()) return value->get_bool();
  return malformed(key, "expected true or false, found " + shown(key));
}

}  // namespace tern::arch
