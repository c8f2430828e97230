// The bytes of a connection, plain or through TLS, in one form.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstddef>
#include <memory>
#include <optional>
#include <tuple>

namespace tern::net {

inline constexpr auto kTuple = boost::asio::as_tuple(boost::asio::use_awaitable);

// One reader and one writer at a time, on the thread of the socket. Stays where it was made.
class Stream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Moved = std::tuple<boost::system::error_code, std::size_t>;
  using Done = std::tuple<boost::system::error_code>;

  // `tls`: what the other side is shown; nothing for a plain connection.
  Stream(Socket socket, std::shared_ptr<boost::asio::ssl::context> tls)
      : socket_(std::move(socket)) {
    if (tls) tls_.emplace(socket_, *tls);  // which OpenSSL keeps for as long
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool is_tls() const { return tls_.has_value(); }
  // Below TLS.
  Socket& socket() { return socket_; }

  boost::asio::awaitable<Moved> read_some(boost::asio::mutable_buffer bytes) {
    return tls_ ? tls_->async_read_some(bytes, kTuple) : socket_.async_read_some(bytes, kTuple);
  }
  boost::asio::awaitable<Moved> write_some(boost::asio::const_buffer bytes) {
    return tls_ ? tls_->async_write_some(bytes, kTuple) : socket_.async_write_some(bytes, kTuple);
  }
  // Of TLS: the first thing, and the last: "this is all", and the same from the other side.
  boost::asio::awaitable<Done> handshake() {
    return tls_->async_handshake(boost::asio::ssl::stream_base::server, kTuple);
  }
  boost::asio::awaitable<Done> say_goodbye() { return tls_->async_shutdown(kTuple); }
  // From now on what is read and written is plain.
  void give_up_tls() { tls_.reset(); }

 private:
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
};

}  // namespace tern::net
