// Addresses to listen on.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <string>

#include "core/result.h"

namespace tern::net {

// A socket of any protocol that new connections come from. A UNIX socket's file goes with it.
struct Listener {
  boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol> acceptor;
  std::string address;  // as it came to be: with the port that was free
  bool tls = false;
  std::string unix_path = {};

  Listener(boost::asio::io_context& io) : acceptor(io) {}
  Listener(Listener&&) = default;
  ~Listener() { close(); }
  // Takes no more. The file goes first: once nobody listens there, it may be another server's.
  void close();
};

// "HOST:PORT" with an address of IPv4, "[HOST]:PORT" with one of IPv6, "https://" and one of both,
// or "unix:PATH", whose file gets `unix_mode` before anybody can connect. Errors:
// kUsage for anything else, kIo where it cannot be listened on.
Result<Listener> listen(boost::asio::io_context& io, const std::string& address,
                        std::uint32_t unix_mode = 0600);

// Whether it is such an address at all. Errors: kUsage.
Result<void> check_address(const std::string& address);

// Whether listen() would succeed now. The address is bound and given back: nobody can connect
// meanwhile, and who comes next may have it. Errors: those of listen().
Result<void> try_address(const std::string& address);

// Who is at the other end: "127.0.0.1:51234", "unix".
std::string peer_of(const boost::asio::generic::stream_protocol::socket& socket);

}  // namespace tern::net
