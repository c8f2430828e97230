#include "net/listen.h"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <charconv>
#include <cstring>
#include <utility>

namespace tern::net {

namespace asio = boost::asio;
using asio::ip::tcp;
using Generic = asio::generic::stream_protocol;
using boost::system::error_code;

namespace {

constexpr std::string_view kHttps = "https://";
constexpr std::string_view kUnix = "unix:";

std::string_view without_scheme(std::string_view address) {
  return address.substr(address.starts_with(kHttps) ? kHttps.size() : 0);
}

Error failed(const std::string& address, const char* doing, const error_code& code) {
  return {ErrorCode::kIo, std::string("cannot ") + doing + ": " + code.message(), address};
}

std::string text_of(const tcp::endpoint& endpoint) {
  const std::string host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" +
         std::to_string(endpoint.port());
}

// Of `where`, the part of `address` behind https://.
Result<tcp::endpoint> tcp_endpoint(std::string_view where, const std::string& address) {
  const Error malformed{ErrorCode::kUsage,
                        "expected ADDRESS:PORT, [IPV6]:PORT, https:// before one of them, or "
                        "unix:PATH, as in 127.0.0.1:8080",
                        address};
  const std::size_t colon = where.rfind(':');
  if (colon == std::string_view::npos) return malformed;
  std::string host(where.substr(0, colon));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string::npos) {
    return malformed;
  }
  unsigned port = 0;
  const char* first = where.data() + colon + 1;
  const char* last = where.data() + where.size();
  const auto [end, error] = std::from_chars(first, last, port);
  error_code code;
  const auto parsed = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, code);
  if (code || error != std::errc() || end != last || port > 65535) return malformed;
  return tcp::endpoint(parsed, static_cast<std::uint16_t>(port));
}

Result<void> bind_to(Listener& listener, const Generic::endpoint& endpoint,
                     const std::string& address) {
  error_code code;
  listener.acceptor.bind(endpoint, code);
  if (code) return failed(address, "listen there", code);
  return {};
}

Result<void> begin_to_listen(Listener& listener, const std::string& address) {
  error_code code;
  listener.acceptor.listen(asio::socket_base::max_listen_connections, code);
  if (code) return failed(address, "listen there", code);
  return {};
}

Result<void> bind_tcp(Listener& listener, const std::string& address) {
  listener.tls = address.starts_with(kHttps);
  TERN_ASSIGN(const tcp::endpoint endpoint, tcp_endpoint(without_scheme(address), address));
  error_code code;
  listener.acceptor.open(Generic(endpoint.protocol()), code);
  if (code) return failed(address, "open a socket", code);
  listener.acceptor.set_option(asio::socket_base::reuse_address(true), code);
  if (endpoint.address().is_v6()) {  // [::] is not 0.0.0.0, too
    listener.acceptor.set_option(asio::ip::v6_only(true), code);
  }
  TERN_TRY(bind_to(listener, endpoint, address));
  const auto bound = listener.acceptor.local_endpoint(code);
  tcp::endpoint found;
  found.resize(bound.size());
  std::memcpy(found.data(), bound.data(), bound.size());
  listener.address = (listener.tls ? std::string(kHttps) : "") + text_of(found);
  return {};
}

// A file that a server left behind may go; one that is in use, or no socket, may not.
Result<void> remove_stale(const std::string& path, const std::string& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Error{ErrorCode::kIo, "expected a socket or nothing, found another file", address};
  }
  asio::io_context io;
  asio::local::stream_protocol::socket probe(io);
  error_code code;
  const asio::local::stream_protocol::endpoint endpoint(path);
  probe.open(endpoint.protocol(), code);
  if (!code) probe.non_blocking(true, code);
  if (!code) probe.connect(endpoint, code);
  if (code != asio::error::connection_refused) {  // not even by a full queue
    return Error{ErrorCode::kIo, "another server listens there already", address};
  }
  ::unlink(path.c_str());
  return {};
}

Result<std::string> unix_path(const std::string& address) {
  std::string path = address.substr(kUnix.size());
  if (!path.empty() && path.size() <= 100) return path;
  return Error{ErrorCode::kUsage, "expected a path of 1 to 100 bytes behind unix:", address};
}

Result<void> bind_unix(Listener& listener, const std::string& address, std::uint32_t mode) {
  TERN_ASSIGN(const std::string path, unix_path(address));
  TERN_TRY(remove_stale(path, address));
  const asio::local::stream_protocol::endpoint endpoint(path);
  error_code code;
  listener.acceptor.open(Generic(endpoint.protocol()), code);
  if (code) return failed(address, "open a socket", code);
  TERN_TRY(bind_to(listener, endpoint, address));
  listener.unix_path = path;
  if (::chmod(path.c_str(), mode) != 0) {  // whatever the umask, and before anybody can connect
    return failed(address, "set its mode", {errno, boost::system::system_category()});
  }
  listener.address = address;
  return {};
}

Result<void> bind_any(Listener& listener, const std::string& address, std::uint32_t unix_mode) {
  return address.starts_with(kUnix) ? bind_unix(listener, address, unix_mode)
                                    : bind_tcp(listener, address);
}

}  // namespace

void Listener::close() {
  if (!unix_path.empty()) ::unlink(std::exchange(unix_path, {}).c_str());
  error_code ignored;
  acceptor.close(ignored);
}

Result<Listener> listen(asio::io_context& io, const std::string& address, std::uint32_t unix_mode) {
  Listener listener(io);
  TERN_TRY(bind_any(listener, address, unix_mode));
  TERN_TRY(begin_to_listen(listener, address));
  return listener;
}

Result<void> check_address(const std::string& address) {
  if (address.starts_with(kUnix)) {
    TERN_TRY(unix_path(address));
    return {};
  }
  TERN_TRY(tcp_endpoint(without_scheme(address), address));
  return {};
}

Result<void> try_address(const std::string& address) {
  asio::io_context io;
  Listener listener(io);
  return bind_any(listener, address, 0600);
}

std::string peer_of(const Generic::socket& socket) {
  error_code code;
  const auto peer = socket.remote_endpoint(code);
  if (code || (peer.data()->sa_family != AF_INET && peer.data()->sa_family != AF_INET6)) {
    return "unix";
  }
  tcp::endpoint found;
  found.resize(peer.size());
  std::memcpy(found.data(), peer.data(), peer.size());
  return text_of(found);
}

}  // namespace tern::net
