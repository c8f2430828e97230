#include "serve/logged_request.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <utility>

#include "core/json.h"
#include "serve/completion_request.h"

namespace tern::serve {

namespace json = boost::json;
using text::TokenId;

namespace {

// Reads fields of a line, and remembers the first that is not what it should be.
class LogFields {
 public:
  LogFields(const json::object& object, std::string where)
      : object_(object), where_(std::move(where)) {}

  std::string text(const char* name) {
    const json::value* value = object_.if_contains(name);
    if (value != nullptr && value->is_string()) return std::string(value->get_string());
    fail(name, "a string");
    return {};
  }
  std::uint64_t number(const char* name, std::uint64_t most) {
    const json::value* value = object_.if_contains(name);
    if (value != nullptr && value->is_number()) {
      json::error_code code;
      const auto found = value->to_number<std::uint64_t>(code);
      if (!code && found <= most) return found;
    }
    fail(name, "an integer of at most " + std::to_string(most));
    return 0;
  }
  std::vector<TokenId> tokens(const char* name) {
    const json::value* value = object_.if_contains(name);
    const json::array* items = value == nullptr ? nullptr : value->if_array();
    std::vector<TokenId> found;
    for (std::size_t i = 0; items != nullptr && i < items->size(); ++i) {
      const std::int64_t* token = (*items)[i].if_int64();
      if (token == nullptr || *token < 0 || *token > INT32_MAX) items = nullptr;
      if (token != nullptr) found.push_back(static_cast<TokenId>(*token));
    }
    if (items == nullptr) fail(name, "an array of tokens");
    return found;
  }
  void fail(const char* name, const std::string& expected) {
    if (!error_) error_ = Error{ErrorCode::kMalformed, "expected " + expected, where_ + name};
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const json::object& object_;
  std::string where_;
  std::optional<Error> error_;
};

Result<LoggedChoice> read_choice(const json::value& value, std::size_t index) {
  const std::string where = "choices[" + std::to_string(index) + "]";
  const json::object* object = value.if_object();
  if (object == nullptr) return Error{ErrorCode::kMalformed, "expected an object", where};
  LogFields fields(*object, where + ".");
  LoggedChoice choice;
  choice.tokens = fields.tokens("tokens");
  choice.text = fields.text("text");
  const json::value* reason = object->if_contains("finish_reason");
  if (reason == nullptr || !reason->is_null()) choice.finish_reason = fields.text("finish_reason");
  if (fields.error()) return *fields.error();
  return choice;
}

bool has_answer(const json::object& line) {
  const json::value* event = line.if_contains("event");
  return event != nullptr && *event == json::value("http.request") && line.contains("body") &&
         line.contains("choices");
}

}  // namespace

Result<std::optional<LoggedRequest>> read_logged_request(std::string_view line) {
  TERN_ASSIGN(const json::value value, parse_json(line));
  const json::object* object = value.if_object();
  if (object == nullptr) return Error{ErrorCode::kMalformed, "expected an object", ""};
  if (!has_answer(*object)) return std::optional<LoggedRequest>();
  LogFields fields(*object, "");
  LoggedRequest request;
  request.id = fields.text("request_id");
  request.path = fields.text("path");
  request.body = fields.text("body");
  request.fingerprint = fields.text("system_fingerprint");
  request.build = fields.text("version");
  request.model = fields.text("model");
  request.seed = fields.number("seed", UINT64_MAX);
  request.created = static_cast<std::int64_t>(fields.number("created", kLatestCreated));
  request.context = static_cast<std::uint32_t>(fields.number("context", UINT32_MAX));
  if (object->contains("max_tokens")) {
    request.max_tokens = static_cast<std::uint32_t>(fields.number("max_tokens", UINT32_MAX));
  }
  if (object->contains("chat_template")) request.chat_template = fields.text("chat_template");
  const json::array* choices = object->at("choices").if_array();
  if (choices == nullptr) fields.fail("choices", "an array");
  if (fields.error()) return *fields.error();
  for (std::size_t i = 0; i < choices->size(); ++i) {
    TERN_ASSIGN(LoggedChoice choice, read_choice((*choices)[i], i));
    request.choices.push_back(std::move(choice));
  }
  return std::optional(std::move(request));
}

}  // namespace tern::serve
