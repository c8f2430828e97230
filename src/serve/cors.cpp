#include "serve/cors.h"

#include <algorithm>
#include <string_view>

namespace tern::serve {
namespace {

bool is_allowed(std::string_view origin, const Origins& allowed) {
  return !origin.empty() && std::any_of(allowed.begin(), allowed.end(), [&](const auto& each) {
    return each == "*" || each == origin;
  });
}

}  // namespace

std::vector<net::HttpHeader> cors_headers(const net::HttpRequest& request, const Origins& allowed) {
  if (allowed.empty()) return {};
  std::vector<net::HttpHeader> headers{{"Vary", "Origin"}};
  const std::string_view origin = request.header("origin");
  if (!is_allowed(origin, allowed)) return headers;
  headers.push_back({"Access-Control-Allow-Origin", std::string(origin)});
  headers.push_back({"Access-Control-Expose-Headers",
                     "x-request-id, retry-after, x-ratelimit-limit-requests, "
                     "x-ratelimit-limit-tokens, x-ratelimit-remaining-requests, "
                     "x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, "
                     "x-ratelimit-reset-tokens"});
  return headers;
}

std::optional<net::HttpResponse> preflight(const net::HttpRequest& request,
                                           const Origins& allowed) {
  if (request.method != "OPTIONS" || request.header("access-control-request-method").empty() ||
      !is_allowed(request.header("origin"), allowed)) {
    return std::nullopt;
  }
  net::HttpResponse response;
  response.status = 204;
  response.content_type.clear();
  response.headers = {{"Access-Control-Allow-Methods", "GET, HEAD, POST"},
                      {"Access-Control-Max-Age", "600"}};
  // Whatever it wants to send: clients name themselves in headers of their own, and none is obeyed
  // but those that this API has.
  if (const auto wanted = request.header("access-control-request-headers"); !wanted.empty()) {
    response.headers.push_back({"Access-Control-Allow-Headers", std::string(wanted)});
  }
  return response;
}

}  // namespace tern::serve
