#include "serve/api_error.h"

#include <boost/json/serialize.hpp>

namespace tern::serve {

namespace {

boost::json::value text_or_null(const std::string& text) {
  if (text.empty()) return nullptr;
  return boost::json::string(text);
}

}  // namespace

ApiError api_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kUsage:
    case ErrorCode::kMalformed:
    case ErrorCode::kUnsupported: return {400, error.to_string()};
    case ErrorCode::kContextLength:
      return {400, error.to_string(), "invalid_request_error", "messages",
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
  return {error.status, error.message, ours ? "server_error" : "invalid_request_error", "",
          error.status == 413 ? "request_too_large" : ""};
}

ApiError draining() {
  return {503, "the server ends; ask another one, or again when it is back", "server_error", "",
          "not_ready"};
}

boost::json::object to_json(const ApiError& error) {
  return {{"error",
           {{"message", error.message},
            {"type", error.type},
            {"param", text_or_null(error.param)},
            {"code", text_or_null(error.code)}}}};
}

net::HttpResponse to_response(const ApiError& error) {
  return {error.status, "application/json", boost::json::serialize(to_json(error)) + "\n"};
}

}  // namespace tern::serve
