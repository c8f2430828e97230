// The other side of HTTP/1.1: a request to a server, and its reply as it comes.
//
// For one thread with Asio's coroutines, on which any number of requests may be on their way.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "net/http_message.h"

namespace boost::asio::ssl {  // NOLINT: not ours to name
class context;
}

namespace tern::net {

// Where a server is.
struct HttpTarget {
  std::string url;     // as it was given
  std::string host;    // what the header Host says: "127.0.0.1:8080"
  std::string prefix;  // of all paths: "/proxy", often empty
  std::string name;    // of the host alone, which a certificate has to show
  std::vector<boost::asio::generic::stream_protocol::endpoint> endpoints;  // tried in turn
  std::shared_ptr<boost::asio::ssl::context> tls;                          // null: plain HTTP
};

// "http://HOST[:PORT][/PREFIX]" or https, whose HOST may be a name, which is looked up here and
// now, or "unix:PATH". `ca_file` has the certificates to trust instead of the system's; empty:
// those. Errors: kUsage for anything else, kIo for a name that nobody knows, kMalformed for
// certificates that cannot be read.
Result<HttpTarget> find_target(const std::string& url, const std::string& ca_file = {});

// One request over a connection of its own: connect(), send(), head(), then read_some() until the
// end. Errors: kIo where the connection or its TLS fails or ends too soon, kMalformed where what
// comes is no reply; of connect() kIo alone.
class HttpCall {
 public:
  explicit HttpCall(boost::asio::io_context& io);
  ~HttpCall();
  HttpCall(const HttpCall&) = delete;
  HttpCall& operator=(const HttpCall&) = delete;

  boost::asio::awaitable<Result<void>> connect(const HttpTarget& target);
  boost::asio::awaitable<Result<void>> send(const HttpRequest& request);
  // Status and headers, without the body.
  boost::asio::awaitable<Result<HttpResponse>> head();
  // The next bytes of the body; none where it has ended.
  boost::asio::awaitable<Result<std::string>> read_some();
  // All that is left of it.
  boost::asio::awaitable<Result<std::string>> read_all();

  // Ends it: what is waited for fails.
  void close();

 private:
  struct Impl;
  boost::asio::awaitable<Result<void>> feed();

  std::unique_ptr<Impl> impl_;
};

}  // namespace tern::net
