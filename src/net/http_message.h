// HTTP/1.1 requests and responses as values.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tern::net {

struct HttpHeader {
  std::string name;
  std::string value;
};

// The first header of that name, whatever its case; empty where there is none.
std::string_view find_header(const std::vector<HttpHeader>& headers, std::string_view name);

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // decoded, without a query: "/v1/models"
  std::vector<HttpHeader> headers;
  std::string body;
  std::string peer;          // who sent it: "127.0.0.1:51234", "unix"
  std::string at;            // where it came in, as HttpServer::addresses() has it
  bool keep_alive = true;    // may send another one; never with HTTP/1.0
  bool is_http_1_0 = false;  // knows no chunks
  // Of a server: when its head was there, or its turn came behind others of its connection.
  std::optional<std::chrono::steady_clock::time_point> head_time = {};

  std::string_view header(std::string_view name) const { return find_header(headers, name); }
};

struct HttpResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<HttpHeader> headers = {};  // beside Content-Type, Content-Length, Connection and Date
  // Of a reply in parts: sent whenever nothing else was for `HttpServerOptions::pause_time`,
  // between two parts, so that nobody on the way takes the connection for dead.
  std::string pause = {};
};

// Why a request is refused before anybody looks at what it asks for.
struct HttpError {
  unsigned status;
  std::string message;
};

// "Not Found"
std::string_view reason_phrase(unsigned status);

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7).
std::string http_date(std::chrono::sys_seconds time);
std::chrono::sys_seconds now_in_seconds();

// The bytes before the body: status line and headers, the date among them. Without a length the
// body comes in chunks, or ends with the connection.
struct HeadFraming {
  std::optional<std::size_t> length;
  bool chunked = false;
  bool close = false;
};
std::string format_head(const HttpResponse& response, const HeadFraming& framing,
                        std::chrono::sys_seconds date);
// A whole request of the client's side, whose connection ends with the reply. The path is sent as
// it is.
std::string format_request(const HttpRequest& request);
// One chunk of a body; not for an empty one, which would end it.
std::string format_chunk(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// The text that a path of a URL stands for; no value where an escape is broken, or for control
// characters and bytes that are no UTF-8.
std::optional<std::string> decode_path(std::string_view path);

}  // namespace tern::net
