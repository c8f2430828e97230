#include "net/http_client.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <charconv>
#include <optional>
#include <utility>

namespace tern::net {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using asio::awaitable;
using boost::system::error_code;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);
constexpr std::uint32_t kMostHeadBytes = 64u << 10;
constexpr std::uint64_t kMostBodyBytes = 256u << 20;

Error not_a_url(const std::string& url) {
  return {ErrorCode::kUsage,
          "expected http://HOST:PORT, https:// or unix:PATH, as in http://127.0.0.1:8080", url};
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

Result<std::shared_ptr<ssl::context>> trusting(const std::string& ca_file) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_client);
  SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  error_code code;
  context->set_verify_mode(ssl::verify_peer, code);
  if (ca_file.empty()) {
    context->set_default_verify_paths(code);
  } else {
    context->load_verify_file(ca_file, code);
  }
  if (!code) return context;
  return Error{ErrorCode::kMalformed, "expected certificates in PEM: " + code.message(), ca_file};
}

}  // namespace

Result<HttpTarget> find_target(const std::string& url, const std::string& ca_file) {
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
  const bool is_tls = url.starts_with("https://");
  const std::string_view scheme = is_tls ? "https://" : "http://";
  if (!url.starts_with(scheme) || url.find_first_of(" ?#@") != std::string::npos) {
    return not_a_url(url);
  }
  const std::string rest = url.substr(scheme.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  target.host = rest.substr(0, slash);
  target.prefix = rest.substr(slash);
  while (target.prefix.ends_with('/')) target.prefix.pop_back();
  const std::size_t bracket = target.host.find(']');
  const std::size_t colon = target.host.find(':', bracket == std::string::npos ? 0 : bracket);
  std::string& name = target.name;
  name = target.host.substr(0, colon);
  std::string port = is_tls ? "443" : "80";
  if (colon != std::string::npos) port = target.host.substr(colon + 1);
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (name.empty() || error != std::errc() || end != port.data() + port.size() || number > 65535) {
    return not_a_url(url);
  }
  if (is_tls) {
    TERN_ASSIGN(target.tls, trusting(ca_file));
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

  awaitable<std::tuple<error_code, std::size_t>> read_some(asio::mutable_buffer bytes) {
    return tls ? tls->async_read_some(bytes, kTuple) : socket.async_read_some(bytes, kTuple);
  }
  awaitable<std::tuple<error_code, std::size_t>> write(asio::const_buffer bytes) {
    return tls ? asio::async_write(*tls, bytes, kTuple) : asio::async_write(socket, bytes, kTuple);
  }
  // The certificate has to be of that name, which may be an address.
  awaitable<std::tuple<error_code>> handshake(const HttpTarget& target) {
    tls.emplace(socket, *target.tls);
    error_code code;
    asio::ip::make_address(target.name, code);
    if (code) {  // SSL_set_tlsext_host_name(), which has a cast of C
      SSL_ctrl(tls->native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(target.name.c_str()));
    }
    tls->set_verify_callback(ssl::host_name_verification(target.name), code);
    return tls->async_handshake(ssl::stream_base::client, kTuple);
  }

  asio::generic::stream_protocol::socket socket;
  std::optional<ssl::stream<asio::generic::stream_protocol::socket&>> tls;
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
  if (!target.tls) co_return Result<void>();
  const auto [code] = co_await impl_->handshake(target);
  if (code) co_return failed("cannot agree on TLS", code);
  co_return Result<void>();
}

awaitable<Result<void>> HttpCall::send(const HttpRequest& request) {
  HttpRequest whole = request;
  whole.path = impl_->prefix + request.path;
  whole.headers.insert(whole.headers.begin(), {"Host", impl_->host});
  const std::string bytes = format_request(whole);
  const auto [code, size] = co_await impl_->write(asio::buffer(bytes));
  if (code) co_return failed("cannot send", code);
  co_return Result<void>();
}

// What comes next, to the parser.
awaitable<Result<void>> HttpCall::feed() {
  Impl& own = *impl_;
  const auto [code, size] = co_await own.read_some(asio::buffer(own.buffer));
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
