// Which pages may ask: those of other origins, as browsers enforce it (WHATWG Fetch, 3.2: CORS),
// and those whose own name was made to lead here, which browsers take for pages of this server.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "net/http_message.h"

namespace tern::serve {

// "https://app.example.com", exactly as browsers send them; "*": all.
using Origins = std::vector<std::string>;

// "tern.example.com", "fd00::1", in lower case, without a port; "*": all.
using Hosts = std::vector<std::string>;

// Headers for the reply to any request, where there are origins at all: what one origin is told may
// not be kept for another.
std::vector<net::HttpHeader> cors_headers(const net::HttpRequest& request, const Origins& allowed);

// The reply to a browser that asks beforehand whether it may; nothing for any other request, and
// for origins that may not.
std::optional<net::HttpResponse> preflight(const net::HttpRequest& request, const Origins& allowed);

// Whether it came to this machine itself by the name of another one (DNS rebinding): one that is no
// name of the loopback, none of `hosts`, and that of none of `origins`.
bool has_foreign_host(const net::HttpRequest& request, const Origins& origins, const Hosts& hosts);

}  // namespace tern::serve
