// The head of a request: its first line and its headers.
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

#include "net/http_message.h"

namespace tern::net {

struct RequestHead {
  HttpRequest request;  // all but its body and its peer
  bool chunked = false;
  std::uint64_t length = 0;  // of the body where it is not chunked
  bool expects_continue = false;
};

// Reads a whole head: lines that end with CR LF, an empty one at last, without control characters
// and without folded lines (RequestReader sees to that). What two readers could understand in two
// ways is refused.
std::variant<RequestHead, HttpError> parse_head(std::string_view head);

// Whether all of it may stand in a name of a header or in a method.
bool is_token(std::string_view text);

}  // namespace tern::net
