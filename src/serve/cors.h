// Which pages of other origins may ask, as browsers enforce it (WHATWG Fetch, 3.2: CORS).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/http_message.h"

namespace tern::serve {

// "https://app.example.com", exactly as browsers send them; "*": all.
using Origins = std::vector<std::string>;

// Headers for the reply to any request, where there are origins at all: what one origin is told may
// not be kept for another.
std::vector<net::HttpHeader> cors_headers(const net::HttpRequest& request, const Origins& allowed);

// The reply to a browser that asks beforehand whether it may; nothing for any other request, and
// for origins that may not.
std::optional<net::HttpResponse> preflight(const net::HttpRequest& request, const Origins& allowed);

}  // namespace tern::serve
