#include "net/http_client.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <utility>

namespace tern::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using boost::system::error_code;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kMostHeadBytes = 64u << 10;
constexpr std::uint64_t kMostBodyBytes = 256u << 20;

Error not_a_url(const std::string& url) {
  return {ErrorCode::kUsage, "expected http://HOST:PORT or unix:PATH, as in http://127.0.0.1:8080",
          url};
}

Error failed(const char* what, const error_code& code) {
  return {ErrorCode::kIo, std::string(what) + ": " + code.message(), ""};
}

Result<void> look_up(const std::string& name, const std::string& port, HttpTarget& target) {
  asio::io_context io;
  asio::ip::tcp::resolver resolver(io);
  error_code code;
  const auto found = resolver.resolve(name, port, asio::ip::tcp::resolver::numeric_service, code);
  if (code) return Error{ErrorCode::kIo, "cannot find " + name + ": " + code.message(), target.url};
  for (const auto& entry : found) target.endpoints.emplace_back(entry.endpoint());
  return {};
}

}  // namespace

Result<HttpTarget> find_target(const std::string& url) {
  HttpTarget target;
  target.url = url;
  if (url.starts_with("unix:")) {
    const std::string path = url.substr(5);
    if (path.empty() || path.size() > 100) {
      return Error{ErrorCode::kUsage, "expected a path of 1 to 100 bytes behind unix:", url};
    }
    target.host = "localhost";
    target.endpoints.emplace_back(asio::local::stream_protocol::endpoint(path));
    return target;
  }
  if (url.starts_with("https://")) {
    return Error{ErrorCode::kUnsupported,
                 "https is not supported; use http or a UNIX socket of the same machine", url};
  }
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme) || url.find_first_of(" ?#@") != std::string::npos) {
    return not_a_url(url);
  }
  const std::string rest = url.substr(kScheme.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  target.host = rest.substr(0, slash);
  target.prefix = rest.substr(slash);
  while (target.prefix.ends_with('/')) target.prefix.pop_back();
  const std::size_t bracket = target.host.find(']');
  const std::size_t colon = target.host.find(':', bracket == std::string::npos ? 0 : bracket);
  std::string name = target.host.substr(0, colon);
  const std::string port = colon == std::string::npos ? "80" : target.host.substr(colon + 1);
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (name.empty() || error != std::errc() || end != port.data() + port.size() || number > 65535) {
    return not_a_url(url);
  }
  TERN_TRY(look_up(name, port, target));
  return target;
}

struct HttpCall::Impl {
  explicit Impl(asio::io_context& io) : socket(io) {
    parser.header_limit(kMostHeadBytes);
    parser.body_limit(kMostBodyBytes);
    parser.eager(true);
  }

  asio::generic::stream_protocol::socket socket;
  http::response_parser<http::string_body> parser;
  std::string host;
  std::string prefix;
  std::string pending;  // what the parser has not taken yet
  std::array<char, 16384> buffer;
};

HttpCall::HttpCall(asio::io_context& io) : impl_(std::make_unique<Impl>(io)) {}
HttpCall::~HttpCall() = default;

void HttpCall::close() {
  error_code ignored;
  impl_->socket.close(ignored);
}

awaitable<Result<void>> HttpCall::connect(const HttpTarget& target) {
  impl_->host = target.host;
  impl_->prefix = target.prefix;
  error_code last;
  for (const auto& endpoint : target.endpoints) {
    close();
    const auto [code] = co_await impl_->socket.async_connect(endpoint, kTuple);
    last = code;
    if (!code || code == asio::error::operation_aborted) break;
  }
  if (last) co_return failed("cannot connect", last);
  error_code ignored;  // of UNIX sockets, which have no such option
  impl_->socket.set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return Result<void>();
}

awaitable<Result<void>> HttpCall::send(const HttpRequest& request) {
  HttpRequest whole = request;
  whole.path = impl_->prefix + request.path;
  whole.headers.insert(whole.headers.begin(), {"Host", impl_->host});
  const std::string bytes = format_request(whole);
  const auto [code, size] = co_await asio::async_write(impl_->socket, asio::buffer(bytes), kTuple);
  if (code) co_return failed("cannot send", code);
  co_return Result<void>();
}

// What comes next, to the parser.
awaitable<Result<void>> HttpCall::feed() {
  Impl& own = *impl_;
  const auto [code, size] = co_await own.socket.async_read_some(asio::buffer(own.buffer), kTuple);
  error_code wrong;
  if (code == asio::error::eof) {
    const bool got_some = own.parser.got_some();
    own.parser.put_eof(wrong);
    if (!wrong && got_some) co_return Result<void>();
    co_return Error{ErrorCode::kIo, "the connection was closed in the middle of a reply", ""};
  }
  if (code) co_return failed("cannot read", code);
  own.pending.append(own.buffer.data(), size);
  while (!own.pending.empty() && !own.parser.is_done()) {
    const std::size_t used = own.parser.put(asio::buffer(own.pending), wrong);
    own.pending.erase(0, used);
    if (wrong == http::error::need_more) break;
    if (wrong) co_return Error{ErrorCode::kMalformed, "no HTTP reply: " + wrong.message(), ""};
  }
  co_return Result<void>();
}

awaitable<Result<HttpResponse>> HttpCall::head() {
  while (!impl_->parser.is_header_done()) {
    const Result<void> fed = co_await feed();
    if (!fed) co_return fed.error();
  }
  HttpResponse response;
  const auto& message = impl_->parser.get();
  response.status = message.result_int();
  response.content_type = std::string(message[http::field::content_type]);
  for (const auto& field : message) {
    response.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  co_return response;
}

awaitable<Result<std::string>> HttpCall::read_some() {
  while (impl_->parser.get().body().empty() && !impl_->parser.is_done()) {
    const Result<void> fed = co_await feed();
    if (!fed) co_return fed.error();
  }
  co_return std::exchange(impl_->parser.get().body(), {});
}

awaitable<Result<std::string>> HttpCall::read_all() {
  std::string whole;
  for (;;) {
    const Result<std::string> part = co_await read_some();
    if (!part) co_return part.error();
    if (part->empty()) co_return whole;
    whole += *part;
  }
}

}  // namespace tern::net
