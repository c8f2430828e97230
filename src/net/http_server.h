// An HTTP/1.1 server: connections in, exchanges out, with limits on everything that a client sends,
// holds or does not read.
//
// A server has one thread, which calls the handler; the handler must not block. It answers through
// the Exchange, at once or later, from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "net/http_message.h"
#include "net/memory_share.h"
#include "net/request_reader.h"
#include "net/tls_identity.h"

namespace tern::net {

// A request and its reply. Any thread may call; nothing blocks. Whoever drops the last reference
// without a reply leaves the client a 500; in the middle of one, a connection that is cut. It may
// outlive its server.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  // The request's body, once: it need not stay for as long as the reply takes. Who keeps it, or a
  // copy, that long keeps its share of all bodies, too; else it is given back at once.
  virtual std::string take_body(bool keeps_share) = 0;

  // Keeps room for a whole reply whose body has so many bytes, or will have, until it is sent;
  // asked again, so many instead. Where others hold too much, or it is too long for ever, another
  // is to be sent, which any of up to `unread_bytes` may be.
  virtual Room reserve(std::size_t bytes) = 0;
  // The whole reply.
  virtual void reply(HttpResponse response) = 0;
  // A reply whose body comes in parts: `head` (its body is ignored), any number of writes, the end.
  // A client that leaves too much unread is disconnected.
  virtual void begin(HttpResponse head) = 0;
  virtual void write(std::string bytes) = 0;
  virtual void end() = 0;

  // Asked to stop once the client is gone, reads too little or closes its side, by the server's
  // thread: callbacks must not block. What is written then may be lost. Not asked once the reply
  // has been sent.
  virtual std::stop_token gone() const = 0;
};

// What becomes of connections, for whoever reports it; any thread.
struct ConnectionCounts {
  std::atomic<std::uint64_t> open{0};
  std::atomic<std::uint64_t> refused{0};  // beyond HttpServerOptions::connections
  std::atomic<std::uint64_t> starved{0};  // times that none was taken for lack of descriptors
};

struct HttpServerOptions {
  // "127.0.0.1:8080", "[::1]:0" (a free port), "unix:/run/t.sock"; https:// before the first two
  // for TLS, which needs `tls`
  std::vector<std::string> listen;
  std::uint32_t unix_mode = 0600;  // of the file of a socket: who may connect
  std::shared_ptr<const TlsIdentity> tls = {};
  HttpLimits limits = {};
  std::size_t connections = 1024;
  // Where others look, too.
  std::shared_ptr<ConnectionCounts> counts = {};
  // Descriptors that are left to the rest of the process: where there are fewer, connections wait.
  std::size_t spare_descriptors = 0;
  std::size_t all_body_bytes = 256u << 20;       // of requests that are read or not yet looked at
  std::size_t unread_bytes = 4u << 20;           // of a reply that a client does not read
  std::size_t all_reply_bytes = 256u << 20;      // of whole replies that are longer, together:
                                                 // those that are made, and not sent yet
  std::chrono::milliseconds head_time{10'000};   // for the head of a request, once it began; for
                                                 // the handshake of TLS as well
  std::chrono::milliseconds body_time{30'000};   // for its body, and for what is refused of it
  std::chrono::milliseconds idle_time{75'000};   // between requests of a connection
  std::chrono::milliseconds write_time{30'000};  // for a client to read on
  std::chrono::milliseconds pause_time{15'000};  // of a reply in parts: see HttpResponse::pause
  std::size_t least_rate = 16384;                // bytes a second that buy it more of that, and
                                                 // time to send on what was refused
  // The reply to what is refused before the handler sees it; of the request there is its peer and,
  // where its head was read, that.
  std::function<HttpResponse(const HttpError&, const HttpRequest&)> refuse = {};
};

class HttpServer {
 public:
  using Handler = std::function<void(std::shared_ptr<Exchange>)>;

  // Errors: kUsage for an address that is none, and for one of TLS without certificates; kIo where
  // one cannot be listened on.
  static Result<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options,
                                                   Handler handler);
  // Closes all connections at once; see close().
  ~HttpServer();

  // Takes new limits, times and certificates, for connections to come; those of `options` that stay
  // as they are: listen, refuse, counts and spare_descriptors, and certificates where there are no
  // new ones.
  void reconfigure(const HttpServerOptions& options);

  // Where it listens, with the ports that were found: "127.0.0.1:41234", "https://[::1]:41235".
  const std::vector<std::string>& addresses() const;

  // Takes no new connections; those that there are end with the reply at hand, or with that to the
  // request that has begun to come, which has its time.
  void close();
  // Waits for the last connection to end. False where the time has run out before.
  bool wait_closed(std::chrono::steady_clock::time_point until);

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tern::net
