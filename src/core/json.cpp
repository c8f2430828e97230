#include "core/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parser.hpp>
#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/shortened.h"

namespace tern {
namespace {

namespace json = boost::json;

// Takes the events of a parse and refuses what Boost.JSON alone takes: names that stand twice in an
// object, and numbers that become an infinity.
class StrictCheck {
 public:
  // NOLINTBEGIN(readability-identifier-naming): Boost.JSON asks for these names.
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = std::size_t(-1);
  static constexpr std::size_t max_string_size = std::size_t(-1);
  // NOLINTEND(readability-identifier-naming)
  using Code = json::error_code;

  const std::string& wrong() const { return wrong_; }

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) {
    open_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    open_.pop_back();
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, Code&) {
    name_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, std::size_t, Code& code) {
    name_.append(part.data(), part.size());
    if (!open_.back().insert(name_).second) {
      return refuse("the name '" + shortened(name_) + "' stands twice in one object", code);
    }
    name_.clear();
    return true;
  }
  bool on_string_part(json::string_view, std::size_t, Code&) { return true; }
  bool on_string(json::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return true; }
  bool on_double(double value, json::string_view, Code& code) {
    return std::isfinite(value) || refuse("a number is beyond what a double holds", code);
  }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }

 private:
  bool refuse(std::string wrong, Code& code) {
    wrong_ = std::move(wrong);
    code = json::error::extra_data;  // any error ends the parse; wrong() says which it was
    return false;
  }

  // In order, not hashed: names that somebody chose to have one hash would take quadratic time.
  std::vector<std::set<std::string>> open_;
  std::string name_;
  std::string wrong_;
};

Error malformed(std::string message) {
  return Error{ErrorCode::kMalformed, std::move(message), ""};
}

Result<void> check(std::string_view text, const json::parse_options& options,
                   const JsonLimits& limits) {
  json::basic_parser<StrictCheck> parser(options);
  json::error_code code;
  const std::size_t used = parser.write_some(false, text.data(), text.size(), code);
  const std::string at = " (at offset " + std::to_string(used) + ")";
  if (!parser.handler().wrong().empty()) return malformed(parser.handler().wrong() + at);
  if (code == json::error::too_deep) {
    return Error{ErrorCode::kUnsupported,
                 "JSON nested deeper than " + std::to_string(limits.depth) + " levels" + at, ""};
  }
  if (text.empty()) return malformed("expected JSON, found nothing");
  if (code) return malformed("expected JSON, found: " + code.message() + at);
  if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos) {
    return malformed("expected nothing behind the JSON, found more" + at);
  }
  return {};
}

}  // namespace

Result<json::value> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    return Error{ErrorCode::kUnsupported,
                 "expected at most " + std::to_string(limits.bytes) + " bytes of JSON, found " +
                     std::to_string(text.size()),
                 ""};
  }
  json::parse_options options;
  options.max_depth = limits.depth;
  TERN_TRY(check(text, options, limits));
  json::parser parser(json::make_shared_resource<json::monotonic_resource>(), options);
  json::error_code error;
  parser.write_some(text.data(), text.size(), error);
  if (error) return malformed("expected JSON, found: " + error.message());
  return parser.release();
}

}  // namespace tern
