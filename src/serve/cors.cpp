#include "serve/cors.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace tern::serve {
namespace {

bool is_allowed(std::string_view origin, const Origins& allowed) {
  return !origin.empty() && std::any_of(allowed.begin(), allowed.end(), [&](const auto& each) {
    return each == "*" || each == origin;
  });
}

// "[fd00:0::1]" as "[fd00::1]"; all else as it is.
std::string with_short_address(const std::string& host) {
  in6_addr v6{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool is_v6 = host.starts_with('[') && host.ends_with(']') &&
                     ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1 &&
                     ::inet_ntop(AF_INET6, &v6, text.data(), text.size()) != nullptr;
  return is_v6 ? fmt::format("[{}]", text.data()) : host;
}

// Of "App.example.com:8443" or "[::1]:8080": without the port and a last dot, in lower case, and an
// address in its one short form.
std::string host_of(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
  std::string host(authority.substr(0, has_port ? colon : authority.size()));
  if (host.ends_with('.')) host.pop_back();
  for (char& c : host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return with_short_address(host);
}

std::string_view without_scheme(std::string_view origin) {
  const std::size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? origin : origin.substr(scheme + 3);
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host.ends_with(".localhost")) return true;  // RFC 6761, 6.3
  in_addr v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  return host.starts_with('[') && host.ends_with(']') &&
         ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1 &&
         IN6_IS_ADDR_LOOPBACK(&v6);
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

// No browser leaves Host out.
bool has_foreign_host(const net::HttpRequest& request, const Origins& origins, const Hosts& hosts) {
  if (request.at.starts_with("unix:") || !is_loopback(host_of(without_scheme(request.at)))) {
    return false;
  }
  const std::string host = host_of(request.header("host"));
  if (host.empty() || is_loopback(host)) return false;
  const auto is_named = [&](const std::string& each) {
    const bool is_v6 = each.find(':') != std::string::npos;
    return each == "*" || host_of(is_v6 ? "[" + each + "]" : each) == host;
  };
  const auto is_of = [&](const std::string& origin) {
    return origin == "*" || host_of(without_scheme(origin)) == host;
  };
  return std::none_of(hosts.begin(), hosts.end(), is_named) &&
         std::none_of(origins.begin(), origins.end(), is_of);
}

}  // namespace tern::serve
