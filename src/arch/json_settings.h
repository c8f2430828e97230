// Typed look-ups in a JSON object of settings, each checked, each error naming file and member.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::arch {

// Borrows the object. A member that is null counts as one that is missing.
class JsonSettings {
 public:
  JsonSettings(const boost::json::object& object, std::string source)
      : object_(object), source_(std::move(source)) {}

  const boost::json::object& object() const { return object_; }
  const std::string& source() const { return source_; }
  const boost::json::value* find(std::string_view key) const;  // nullptr: missing

  Result<std::uint32_t> count(std::string_view key, std::uint64_t most) const;  // 1 to `most`
  Result<std::uint32_t> count_or(std::string_view key, std::uint32_t fallback,
                                 std::uint64_t most) const;
  Result<double> number(std::string_view key) const;  // above zero
  Result<double> number_or(std::string_view key, double fallback) const;
  Result<std::string> text(std::string_view key) const;
  Result<std::string> text_or(std::string_view key, std::string_view fallback) const;
  Result<bool> flag_or(std::string_view key, bool fallback) const;

  Error malformed(std::string_view key, std::string message) const;
  Error unsupported(std::string_view key, std::string message) const;
  // What stands at the key, for a message; "nothing" where it is missing.
  std::string shown(std::string_view key) const;

 private:
  const boost::json::object& object_;
  std::string source_;
};

}  // namespace tern::arch
