// Any bytes as those of a connection, in one piece, byte by byte and in pieces of any sizes: the
// same requests, and the same error or none. Limits hold, and each request, written again, is read
// as the same one.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"
#include "net/request_reader.h"

namespace {

using tern::fuzz::Input;
using tern::fuzz::require;
using tern::net::HttpHeader;
using tern::net::HttpLimits;
using tern::net::HttpRequest;
using tern::net::RequestReader;
using State = RequestReader::State;

// What a connection brought.
struct Brought {
  std::vector<HttpRequest> requests;
  State state = State::kHead;
  bool begun = false;
  std::string message;
};

void require_same(const HttpRequest& a, const HttpRequest& b) {
  require(a.method == b.method && a.path == b.path && a.body == b.body);
  require(a.keep_alive == b.keep_alive && a.is_http_1_0 == b.is_http_1_0);
  require(a.headers.size() == b.headers.size());
  for (std::size_t i = 0; i < a.headers.size(); ++i) {
    require(a.headers[i].name == b.headers[i].name && a.headers[i].value == b.headers[i].value);
  }
}

void take_all(RequestReader& reader, Brought& brought) {
  while (reader.state() == State::kDone) brought.requests.push_back(reader.take());
}

Brought finish(RequestReader& reader, Brought brought) {
  take_all(reader, brought);
  brought.state = reader.state();
  brought.begun = reader.has_begun();
  if (brought.state == State::kError) {
    brought.message = reader.error().message;
    require(!brought.message.empty());
    require(reader.error().status >= 400 && reader.error().status <= 505);
  }
  return brought;
}

// `sizes` says how long the pieces are, and when requests are taken: at once, or at the end.
Brought read_pieces(std::string_view bytes, const HttpLimits& limits, Input sizes) {
  RequestReader reader(limits);
  Brought brought;
  const bool at_once = sizes.flag();
  while (!bytes.empty()) {
    const std::string_view piece = bytes.substr(0, 1 + sizes.byte());
    bytes.remove_prefix(piece.size());
    const std::vector<char> copy(piece.begin(), piece.end());
    reader.feed({copy.data(), copy.size()});
    if (at_once) take_all(reader, brought);
    require(!reader.expects_continue() || reader.state() == State::kBody);
  }
  return finish(reader, std::move(brought));
}

void require_limits(const HttpRequest& request, const HttpLimits& limits) {
  require(request.body.size() <= limits.body_bytes);
  require(request.headers.size() <= limits.headers + 1);  // a host that came with the target
  require(!request.method.empty() && request.path.starts_with('/'));
  std::size_t size = request.method.size();
  for (const HttpHeader& header : request.headers) {
    size += header.name.size() + header.value.size();
    require(!header.name.empty());
    require(header.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos);
  }
  require(size <= limits.head_bytes);
}

bool is_framing(std::string_view name) {
  return tern::net::find_header({{std::string(name), "x"}}, "Content-Length") == "x" ||
         tern::net::find_header({{std::string(name), "x"}}, "Transfer-Encoding") == "x";
}

// The request as bytes, and as it is then: its body has a length, and its path is escaped.
std::string write_again(HttpRequest& request) {
  std::erase_if(request.headers, [](const HttpHeader& h) { return is_framing(h.name); });
  request.headers.push_back({"Content-Length", std::to_string(request.body.size())});
  std::string bytes = request.method + " ";
  for (const char c : request.path) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto value = static_cast<unsigned char>(c);
    bytes.append({'%', kDigits[value >> 4], kDigits[value & 15]});
    if (c == '/' && bytes.ends_with(" %2f")) bytes.replace(bytes.size() - 3, 3, "/");
  }
  bytes += request.is_http_1_0 ? "?a HTTP/1.0\r\n" : "?a HTTP/1.1\r\n";
  for (const auto& [name, value] : request.headers) bytes += name + ":" + value + "\r\n";
  return bytes + "\r\n" + request.body;
}

void require_survives(HttpRequest request) {
  RequestReader reader({.head_bytes = 60'000, .headers = 1000, .body_bytes = 1u << 20});
  const std::string bytes = write_again(request);
  require(reader.feed(bytes) == State::kDone);
  require_same(reader.take(), request);
  require(reader.state() == State::kHead && !reader.has_begun());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const HttpLimits limits{.head_bytes = 32 + in.byte() * std::size_t{8},
                          .headers = in.below(16),
                          .body_bytes = in.byte()};
  const Input sizes(data + (size - in.size()), std::min<std::size_t>(in.size(), 8));
  in.bytes(8);
  const std::string_view bytes = in.rest();

  RequestReader reader(limits);
  reader.feed(bytes);
  const Brought whole = finish(reader, {});
  for (const HttpRequest& request : whole.requests) {
    require_limits(request, limits);
    require_survives(request);
  }
  // The bytes of `sizes` are used up soon: what follows comes byte by byte.
  const Brought pieces = read_pieces(bytes, limits, sizes);
  require(whole.requests.size() == pieces.requests.size());
  for (std::size_t i = 0; i < whole.requests.size(); ++i) {
    require_same(whole.requests[i], pieces.requests[i]);
  }
  require(whole.state == pieces.state && whole.begun == pieces.begun);
  require(whole.message == pieces.message);
  return 0;
}
