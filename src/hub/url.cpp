#include "hub/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>

namespace tern::hub {
namespace {

struct CloseUrl {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Url = std::unique_ptr<CURLU, CloseUrl>;

std::string part(const Url& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return "";
  std::string copy = text;
  curl_free(text);
  return copy;
}

Result<Url> parse(const std::string& text) {
  Url url(curl_url());
  if (url == nullptr || curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return Error{ErrorCode::kMalformed, "expected an address that begins with http:// or https://",
                 shown_url(text)};
  }
  const std::string scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return Error{ErrorCode::kMalformed, "expected http or https, found another way to get there",
                 shown_url(text)};
  }
  return url;
}

// 127.0.0.0/8 in four decimal parts: 127.example is a name, and anybody's.
bool is_loopback_ipv4(const std::string& host) {
  std::array<unsigned char, 4> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 && bytes[0] == 127;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<std::string> origin_of(const std::string& url) {
  TERN_ASSIGN(const Url parsed, parse(url));
  std::string host = part(parsed, CURLUPART_HOST);
  std::ranges::transform(host, host.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  });
  return part(parsed, CURLUPART_SCHEME) + "://" + host + ":" +
         part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

bool is_loopback(const std::string& url) {
  const auto parsed = parse(url);
  if (!parsed) return false;
  const std::string host = part(*parsed, CURLUPART_HOST);
  return host == "localhost" || host == "[::1]" || is_loopback_ipv4(host);
}

Result<std::string> follow(const std::string& base, const std::string& target) {
  TERN_ASSIGN(const Url url, parse(base));
  if (curl_url_set(url.get(), CURLUPART_URL, target.c_str(), 0) != CURLUE_OK) {
    return Error{ErrorCode::kMalformed, "a redirect leads to what is no address", shown_url(base)};
  }
  const std::string scheme = part(url, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") {
    return Error{ErrorCode::kMalformed, "a redirect leads away from http and https",
                 shown_url(base)};
  }
  return part(url, CURLUPART_URL);
}

std::string shown_url(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const std::size_t slashes = url.find("://");
  if (slashes == std::string_view::npos) return std::string(url);
  const std::size_t host = slashes + 3;
  const std::size_t path = std::min(url.find('/', host), url.size());
  const std::size_t user = url.substr(0, path).rfind('@');
  if (user == std::string_view::npos || user < host) return std::string(url);
  return std::string(url.substr(0, host)) + std::string(url.substr(user + 1));
}

std::string escape_path(std::string_view path) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~' || c == '/';
    const auto value = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out.append({'%', kDigits[value >> 4], kDigits[value & 15]});
    }
  }
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool whole = text[i] == '%' && i + 2 < text.size();
    if (whole && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace tern::hub
