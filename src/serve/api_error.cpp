#include "serve/api_error.h"

#include <boost/json/serialize.hpp>

namespace tern::serve {

namespace {

boost::json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return boost::json::string(text);
}

}  // namespace

ApiError api_error(const Error& error, std::string_view text) {
  switch (error.code) {
    case ErrorCode::kUsage:
    case ErrorCode::kMalformed:
    case ErrorCode::kUnsupported: return {400, error.to_string()};
    case ErrorCode::kContextLength:
      return {400, error.to_string(), "invalid_request_error", std::string(text),
              "context_length_exceeded"};
    case ErrorCode::kOverloaded:
      return {429, error.to_string(), "rate_limit_error", "", "overloaded"};
    case ErrorCode::kIo:
    case ErrorCode::kProofFailed:
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kNumeric: break;
  }
  return {500, error.to_string(), "server_error", "", std::string(name(error.code))};
}

ApiError api_error(const net::HttpError& error) {
  const bool ours = error.status >= 500 && error.status != 501 && error.status != 505;
  return {.status = error.status,
          .message = error.message,
          .type = ours ? "server_error" : "invalid_request_error",
          .code = error.status == 413 ? "request_too_large" : "",
          .retry_after = error.status == 503 ? 1 : 0};
}

ApiError draining() {
  return {503, "the server ends; ask another one, or again when it is back", "server_error", "",
          "not_ready"};
}

ApiError beyond_limit(const std::string& message, std::chrono::seconds retry_after) {
  return {429, message, "rate_limit_error", "", "rate_limit_exceeded", retry_after.count()};
}

ApiError client_left() {
  return {499, "the client closed the connection before the answer was there",
          "invalid_request_error", "", "client_closed_request"};
}

ApiError no_room(std::size_t bytes, net::Room room) {
  const std::string one = "one of " + std::to_string(bytes) + " bytes or more";
  if (room == net::Room::kNever) {
    return {400,
            "expected a reply for which there is room, found " + one +
                ": ask for less at once, or for a stream where there can be one",
            "invalid_request_error", "", "reply_too_large"};
  }
  return {.status = 503,
          .message = "too many long replies are made or not read yet: there is no room for " + one +
                     "; come again later, or ask for less at once",
          .type = "server_error",
          .code = "overloaded",
          .retry_after = 1};
}

const std::string& short_name(const ApiError& error) {
  return error.code.empty() ? error.type : error.code;
}

boost::json::object to_json(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

net::HttpResponse to_response(const ApiError& error) {
  net::HttpResponse response{error.status, "application/json",
                             boost::json::serialize(to_json(error)) + "\n"};
  if (error.retry_after > 0) {
    response.headers.push_back({"Retry-After", std::to_string(error.retry_after)});
  }
  return response;
}

}  // namespace tern::serve
