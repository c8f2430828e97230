// Errors in the shape that OpenAI's clients read.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"
#include "net/http_message.h"
#include "net/memory_share.h"

namespace tern::serve {

struct ApiError {
  unsigned status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param = {};        // the field that is wrong; empty: null
  std::string code = {};         // for programs: "context_length_exceeded"; empty: null
  std::int64_t retry_after = 0;  // in how many seconds it may go well; 0: who knows
};

// What the engine, the tokenizer or a template says, as an answer to the request that caused it;
// `text` is the field that has its text.
ApiError api_error(const Error& error, std::string_view text);
// What the server refuses before anybody reads the request.
ApiError api_error(const net::HttpError& error);

// Of a server that takes no more.
ApiError draining();
// Of a request beyond the limits of its key.
ApiError beyond_limit(const std::string& message, std::chrono::seconds retry_after);
// Of a client that did not wait for its answer: nobody reads it but the log.
ApiError client_left();
// Of a whole reply of so many bytes, which there is no room for, now or ever.
ApiError no_room(std::size_t bytes, net::Room room);

// What a log calls it: its code or, without one, its type.
const std::string& short_name(const ApiError& error);
// {"error": {...}}
boost::json::object to_json(const ApiError& error);
net::HttpResponse to_response(const ApiError& error);

}  // namespace tern::serve
