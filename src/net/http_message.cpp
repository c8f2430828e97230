#include "net/http_message.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <charconv>
#include <ostream>

namespace tern::net {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool equal_but_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

void add_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ");
  // A line break in a value would end the header.
  std::copy_if(value.begin(), value.end(), std::back_inserter(head),
               [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
  head += "\r\n";
}

// Whether the text is UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const unsigned first = byte(i);
    const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first >= 0x80 && (first < 0xc2 || first > 0xf4)) return false;
    // What may follow the first byte is narrower where a shorter form, a surrogate or a number too
    // large would begin.
    const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (std::size_t k = 1; k < length; ++k) {
      const unsigned next = byte(i + k);
      if (next < (k == 1 ? least : 0x80) || next > (k == 1 ? most : 0xbf)) return false;
    }
    i += length;
  }
  return true;
}

}  // namespace

std::string_view find_header(const std::vector<HttpHeader>& headers, std::string_view name) {
  const auto found = std::find_if(headers.begin(), headers.end(), [&](const HttpHeader& header) {
    return equal_but_case(header.name, name);
  });
  return found == headers.end() ? std::string_view() : std::string_view(found->value);
}

std::string_view reason_phrase(unsigned status) {
  const auto phrase =
      boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  return {phrase.data(), phrase.size()};
}

std::string http_date(std::chrono::sys_seconds time) {
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(time));
}

std::chrono::sys_seconds now_in_seconds() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string format_head(const HttpResponse& response, const HeadFraming& framing,
                        std::chrono::sys_seconds date) {
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " ";
  head.append(reason_phrase(response.status)).append("\r\n");
  add_header(head, "Date", http_date(date));
  if (!response.content_type.empty()) add_header(head, "Content-Type", response.content_type);
  for (const HttpHeader& header : response.headers) add_header(head, header.name, header.value);
  if (framing.length) add_header(head, "Content-Length", std::to_string(*framing.length));
  if (framing.chunked) add_header(head, "Transfer-Encoding", "chunked");
  if (framing.close) add_header(head, "Connection", "close");
  return head += "\r\n";
}

std::string format_request(const HttpRequest& request) {
  std::string bytes = request.method + " " + request.path + " HTTP/1.1\r\n";
  for (const HttpHeader& header : request.headers) add_header(bytes, header.name, header.value);
  if (!request.body.empty())
    add_header(bytes, "Content-Length", std::to_string(request.body.size()));
  add_header(bytes, "Connection", "close");
  return bytes.append("\r\n").append(request.body);
}

std::string format_chunk(std::string_view bytes) {
  char size[16];
  const auto end = std::to_chars(std::begin(size), std::end(size), bytes.size(), 16).ptr;
  std::string chunk(std::begin(size), end);
  return chunk.append("\r\n").append(bytes).append("\r\n");
}

std::optional<std::string> decode_path(std::string_view path) {
  std::string decoded;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      unsigned value = 0;
      const char* digits = path.data() + i + 1;
      if (path.size() - i < 3) return std::nullopt;
      // Of one digit and something else it makes a control character, which is refused below.
      if (std::from_chars(digits, digits + 2, value, 16).ec != std::errc()) return std::nullopt;
      c = static_cast<char>(value);
      i += 2;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    decoded += c;
  }
  if (!is_utf8(decoded)) return std::nullopt;
  return decoded;
}

}  // namespace tern::net
