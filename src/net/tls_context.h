// What a server shows to clients that speak TLS: its certificates and how it speaks.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>

#include "core/result.h"
#include "net/http_server.h"

namespace tern::net {

// TLS 1.2 and 1.3, and HTTP/1.1 for clients that ask which protocol (ALPN). Connections keep the
// context that they began with. Errors: kIo for a file that cannot be read; kUsage for a key that
// anybody may read or that belongs to another certificate; kUnsupported for an encrypted key;
// kMalformed for what is no PEM of its kind.
Result<std::shared_ptr<boost::asio::ssl::context>> make_tls_context(const TlsFiles& files);

// Whether a handshake failed because the other side speaks plain HTTP.
bool is_plain_http(const boost::system::error_code& code);

}  // namespace tern::net
