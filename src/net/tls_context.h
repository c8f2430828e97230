// The inside of a TlsIdentity, for net/ alone.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <utility>

#include "net/tls_identity.h"

namespace tern::net {

class TlsIdentity {
 public:
  TlsIdentity(std::shared_ptr<boost::asio::ssl::context> made, std::chrono::sys_seconds ends)
      : context(std::move(made)), end(ends) {}

  // Connections keep the context that they began with.
  std::shared_ptr<boost::asio::ssl::context> context;
  std::chrono::sys_seconds end;
};

// Whether a handshake failed because the other side speaks plain HTTP.
bool is_plain_http(const boost::system::error_code& code);

}  // namespace tern::net
