// Reads the fields of a JSON object one by one, and remembers the first that is wrong.
//
// A field that is null is as if it were not there. A field that nobody has asked for is an error in
// the end: a misspelled option must not be ignored.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "serve/api_error.h"

namespace tern::serve {

class Fields {
 public:
  // `where` goes before names in messages: "messages[2]."
  explicit Fields(const boost::json::object& object, std::string where = {})
      : object_(object), where_(std::move(where)) {}

  // The field if it is there; known from now on.
  const boost::json::value* find(std::string_view name);

  std::optional<double> number(std::string_view name, double least, double most);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t least, std::int64_t most);
  // Any 64 bits: a negative number stands for itself plus 2^64.
  std::optional<std::uint64_t> bits(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name);
  const boost::json::array* array(std::string_view name);
  const boost::json::object* object(std::string_view name);

  // Fields that change no answer.
  void accept(std::initializer_list<std::string_view> names);
  // Fields that other servers have, each with the one value that asks for what is done without it.
  void accept_only(const boost::json::object& neutral);
  // Fields that would change the answer, which this server does not do.
  void refuse(std::initializer_list<std::string_view> names);
  // The first error is kept.
  void fail(ApiError error);
  void fail(std::string_view name, const std::string& expected);

  // The first error; one for a field that nobody has asked for.
  std::optional<ApiError> error();

 private:
  std::string full(std::string_view name) const;
  void unsupported(std::string_view name);

  const boost::json::object& object_;
  std::string where_;
  std::set<std::string, std::less<>> known_;
  std::optional<ApiError> error_;
};

// "a string", "an object": what a value is, for messages.
std::string kind_of(const boost::json::value& value);

}  // namespace tern::serve
