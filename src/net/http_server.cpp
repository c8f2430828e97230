#include "net/http_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "net/at_end.h"
#include "net/listen.h"
#include "net/memory_share.h"
#include "net/outbox.h"
#include "net/stream.h"
#include "net/tls_context.h"

namespace tern::net {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;  // NOLINT: its only use
using Socket = Stream::Socket;
using asio::awaitable;
using boost::system::error_code;
using Milliseconds = std::chrono::milliseconds;

namespace {

// Connections beyond the limit that are told so at once; more are closed without a word.
constexpr std::size_t kMostTurnedAway = 64;
// For what a client still sends once its last reply is out; bytes at the least rate buy more.
constexpr Milliseconds kLastRead{1000};

// Whether another connection would leave so many descriptors: the lowest that is free is given
// first. `any` is one that is open.
bool leaves_descriptors(std::size_t spare, int any) {
  rlimit limit{};
  if (spare == 0 || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  const int next = ::fcntl(any, F_DUPFD_CLOEXEC, 0);
  if (next < 0) return false;
  ::close(next);
  return limit.rlim_cur > static_cast<rlim_t>(next) + spare;
}

class ServerExchange final : public Exchange {
 public:
  ServerExchange(HttpRequest request, MemoryShare share, std::shared_ptr<Outbox> outbox)
      : request_(std::move(request)), share_(std::move(share)), outbox_(std::move(outbox)) {}
  ~ServerExchange() override { outbox_->drop(); }
  const HttpRequest& request() const override { return request_; }
  std::string take_body(bool keeps_share) override {
    if (!keeps_share) share_.give_back();
    return std::exchange(request_.body, {});
  }
  Room reserve(std::size_t bytes) override { return outbox_->reserve(bytes); }
  void reply(HttpResponse response) override { outbox_->reply(response); }
  void begin(HttpResponse head) override { outbox_->begin(head); }
  void write(std::string bytes) override { outbox_->write(bytes); }
  void end() override { outbox_->end(); }
  std::stop_token gone() const override { return outbox_->gone(); }

 private:
  HttpRequest request_;
  MemoryShare share_;  // of its body
  std::shared_ptr<Outbox> outbox_;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, Handler handler)
      : options_(options),
        handler_(std::move(handler)),
        counts_(options.counts ? options.counts : std::make_shared<ConnectionCounts>()),
        bodies_(std::make_shared<MemoryPot>(options.all_body_bytes)),
        replies_(std::make_shared<MemoryPot>(options.all_reply_bytes)) {}
  ~Impl() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    // Exchanges may outlive the server. What still waits goes with io_.
    for (Connection* connection : connections_) {
      if (connection->outbox) leave(*connection->outbox);
    }
  }

  Result<void> listen() {
    for (const std::string& address : options_.listen) {
      TERN_ASSIGN(Listener listener, net::listen(io_, address, options_.unix_mode));
      if (listener.tls && !options_.tls) {
        return Error{ErrorCode::kUsage, "TLS needs a certificate and a key", address};
      }
      addresses_.push_back(listener.address);
      listeners_.push_back(std::make_unique<Listener>(std::move(listener)));
    }
    for (const auto& listener : listeners_) {
      asio::co_spawn(io_, accept(*listener), asio::detached);
    }
    thread_ = std::thread([this] { io_.run(); });
    return {};
  }
  void reconfigure(HttpServerOptions options) {
    asio::post(io_, [this, options = std::move(options)]() mutable {
      options.listen = std::move(options_.listen);
      options.refuse = std::move(options_.refuse);
      options.spare_descriptors = options_.spare_descriptors;
      if (!options.tls) options.tls = std::move(options_.tls);  // addresses of TLS stay that
      options_ = std::move(options);
      bodies_->most = options_.all_body_bytes;
      replies_->most = options_.all_reply_bytes;
    });
  }
  const std::vector<std::string>& addresses() const { return addresses_; }
  void close() {
    asio::post(io_, [this] {
      closing_ = true;
      for (const auto& listener : listeners_) listener->close();
      for (Connection* connection : connections_) {
        if (connection->outbox) {
          connection->outbox->close_after();
        } else if (connection->waits) {
          connection->stream.socket().cancel(ignored_);
        }
      }
    });
  }
  bool wait_closed(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    return all_gone_.wait_until(lock, until, [&] { return count_ == 0; });
  }

 private:
  using Tls = std::shared_ptr<asio::ssl::context>;
  struct Connection {
    Connection(Socket socket, const Listener& listener, Tls tls, const HttpLimits& limits,
               std::shared_ptr<MemoryPot> bodies)
        : peer(peer_of(socket)),
          at(listener.address),
          stream(std::move(socket), std::move(tls)),
          reader(limits),
          share(std::move(bodies)) {}

    std::string peer;
    const std::string& at;  // see HttpRequest; the listener's
    Stream stream;
    RequestReader reader;
    MemoryShare share;   // of what the reader keeps
    bool ended = false;  // the client sends no more; Asio says so once, and then waits forever
    bool waits = true;   // for the first byte of a request
    std::optional<std::chrono::steady_clock::time_point> head_time = {};  // see HttpRequest
    std::shared_ptr<Outbox> outbox = nullptr;                             // of the request at hand
  };

  enum class Sent { kNotAll, kAll, kAllAndKeep };

  awaitable<void> accept(Listener& listener);
  awaitable<void> serve(Socket socket, const Listener& listener);
  awaitable<bool> shake_hands(Connection& connection);
  awaitable<bool> read_request(Connection& connection);
  awaitable<bool> read_some(Connection& connection, std::chrono::steady_clock::time_point until);
  awaitable<bool> answer(Connection& connection);
  awaitable<Sent> send(Connection& connection, asio::steady_timer& wake);
  awaitable<bool> write(Stream& stream, const std::string& bytes);
  awaitable<void> watch(Connection& connection);
  awaitable<void> refuse(Connection& connection, const HttpError& error);
  awaitable<void> finish(Connection& connection);
  static void leave(Outbox& outbox);
  void count(int change);

  HttpServerOptions options_;  // the server's thread's, as are connections_
  Handler handler_;
  const std::shared_ptr<ConnectionCounts> counts_;
  std::shared_ptr<MemoryPot> bodies_;
  std::shared_ptr<MemoryPot> replies_;
  std::set<Connection*> connections_;
  std::size_t turned_away_ = 0;  // the server's thread's, too
  bool closing_ = false;         // the server's thread's, too
  error_code ignored_;
  mutable std::mutex mutex_;
  std::condition_variable all_gone_;
  std::size_t count_ = 0;
  asio::io_context io_{1};  // behind what coroutines use where they go with it
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_;
  std::thread thread_;
};

void HttpServer::Impl::count(int change) {
  const std::lock_guard lock(mutex_);
  count_ += static_cast<std::size_t>(change);
  counts_->open += static_cast<std::uint64_t>(change);
  if (count_ == 0) all_gone_.notify_all();
}

awaitable<void> HttpServer::Impl::accept(Listener& listener) {
  constexpr Milliseconds kPause{50};
  asio::steady_timer pause(io_);
  for (bool waits = false; listener.acceptor.is_open();) {
    try {
      if (waits) {
        pause.expires_after(kPause);
        co_await pause.async_wait(kTuple);
        waits = false;
        continue;
      }
      waits = true;  // unless all goes well
      if (!leaves_descriptors(options_.spare_descriptors, listener.acceptor.native_handle())) {
        ++counts_->starved;
        continue;
      }
      auto [code, socket] = co_await listener.acceptor.async_accept(kTuple);
      if (code == asio::error::operation_aborted) co_return;
      if (code == asio::error::no_descriptors) ++counts_->starved;
      if (code) continue;  // the system is out of descriptors, say: not a reason to end
      asio::co_spawn(io_, serve(std::move(socket), listener), asio::detached);
      waits = false;
    } catch (const std::exception&) {  // no memory for a connection: not a reason, either
    }
  }
}

awaitable<void> HttpServer::Impl::serve(Socket socket, const Listener& listener) {
  socket.set_option(asio::ip::tcp::no_delay(true), ignored_);  // fails for those of UNIX
  const bool is_tls = listener.tls;
  Connection connection(std::move(socket), listener, is_tls ? options_.tls->context : nullptr,
                        options_.limits, bodies_);
  if (connections_.size() >= options_.connections) {
    ++counts_->refused;
    const HttpError error{503, "too many connections; come again later"};
    if (is_tls || turned_away_ >= kMostTurnedAway) co_return;  // a handshake is not worth it
    ++turned_away_;
    const AtEnd turned([this] { --turned_away_; });
    co_await refuse(connection, error);
    co_return;
  }
  count(1);
  const AtEnd ended([&] {
    if (connection.outbox) leave(*connection.outbox);
    connections_.erase(&connection);
    count(-1);
  });
  connections_.insert(&connection);
  bool goes_on = true;
  if (is_tls) goes_on = co_await shake_hands(connection);
  while (goes_on) {
    goes_on = co_await read_request(connection);
    if (goes_on) goes_on = co_await answer(connection);
  }
}

// False where the connection is to end: what comes is no TLS, or not in time.
awaitable<bool> HttpServer::Impl::shake_hands(Connection& connection) {
  asio::steady_timer timer(io_, options_.head_time);
  const auto outcome = co_await (connection.stream.handshake() || timer.async_wait(kTuple));
  if (outcome.index() == 1) co_return false;
  const error_code code = std::get<0>(std::get<0>(outcome));
  if (!code) co_return true;
  if (is_plain_http(code)) {
    connection.waits = false;
    connection.stream.give_up_tls();
    const HttpError error{400, "expected TLS here, found plain HTTP: ask for https://"};
    co_await refuse(connection, error);
  }
  co_return false;
}

// False where there is no request and the connection is to end.
awaitable<bool> HttpServer::Impl::read_request(Connection& connection) {
  using State = RequestReader::State;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  // Some of it, or its head, may have come while the last one was answered.
  auto until = now() + (connection.reader.state() == State::kBody ? options_.body_time
                        : connection.reader.has_begun()           ? options_.head_time
                                                                  : options_.idle_time);
  connection.head_time.reset();
  for (;;) {
    const State before = connection.reader.state();
    const bool has_head = before == State::kBody || before == State::kDone;
    if (has_head && !connection.head_time) connection.head_time = now();
    if (before == State::kDone) co_return true;
    if (before == State::kError) {
      const HttpError error = connection.reader.error();
      co_await refuse(connection, error);
      co_return false;
    }
    if (connection.reader.expects_continue()) {
      const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      if (!co_await write(connection.stream, go_on)) co_return false;
    }
    const bool had_begun = connection.reader.has_begun();
    if (!had_begun && closing_) {
      co_await finish(connection);
      co_return false;
    }
    if (!co_await read_some(connection, until)) co_return false;
    if (!had_begun && connection.reader.has_begun()) until = now() + options_.head_time;
    if (before == State::kHead && connection.reader.state() == State::kBody) {
      until = now() + options_.body_time;
    }
  }
}

awaitable<bool> HttpServer::Impl::read_some(Connection& connection,
                                            std::chrono::steady_clock::time_point until) {
  std::array<char, 16384> bytes;
  asio::steady_timer timer(io_, until);
  std::size_t size = 0;
  if (!connection.ended) {
    connection.waits = !connection.reader.has_begun();
    const auto outcome =
        co_await (connection.stream.read_some(asio::buffer(bytes)) || timer.async_wait(kTuple));
    connection.waits = false;
    if (outcome.index() == 1) {
      const HttpError error{408, "the request did not come in time"};
      if (connection.reader.has_begun()) co_await refuse(connection, error);
      co_return false;
    }
    const error_code code = std::get<0>(std::get<0>(outcome));
    if (code == asio::error::operation_aborted) {  // by close()
      co_await finish(connection);
      co_return false;
    }
    connection.ended = bool(code);
    size = std::get<1>(std::get<0>(outcome));
  }
  if (connection.ended) {
    const HttpError error{400, "the connection was closed in the middle of a request"};
    if (connection.reader.has_begun()) co_await refuse(connection, error);
    co_return false;
  }
  connection.reader.feed(std::string_view(bytes.data(), size));
  if (!connection.share.resize(connection.reader.kept_bytes())) {
    const HttpError error{503, "too many bodies at once; come again later"};
    co_await refuse(connection, error);
    co_return false;
  }
  co_return true;
}

// False where the connection is to end.
awaitable<bool> HttpServer::Impl::answer(Connection& connection) {
  HttpRequest request = connection.reader.take();
  request.peer = connection.peer;
  request.at = connection.at;
  request.head_time = connection.head_time;
  const bool keep = request.keep_alive && !closing_;
  const auto forever = std::chrono::steady_clock::time_point::max();
  const auto wake = std::make_shared<asio::steady_timer>(io_, forever);
  const auto overflow = std::make_shared<asio::steady_timer>(io_, forever);
  const auto outbox = std::make_shared<Outbox>(
      Outbox::Shape{options_.unread_bytes, !request.is_http_1_0, request.method != "HEAD"},
      MemoryShare(replies_), [this, wake, overflow](bool overflowed) {
        asio::post(io_, [timer = overflowed ? overflow : wake] { timer->cancel(); });
      });
  if (!keep) outbox->close_after();
  connection.outbox = outbox;
  MemoryShare share = std::move(connection.share);
  handler_(std::make_shared<ServerExchange>(std::move(request), std::move(share), outbox));
  const auto outcome =
      co_await (send(connection, *wake) || overflow->async_wait(kTuple) || watch(connection));
  const Sent sent = outcome.index() == 0 ? std::get<0>(outcome) : Sent::kNotAll;
  connection.outbox = nullptr;
  if (sent == Sent::kNotAll) {
    leave(*outbox);
    co_return false;
  }
  outbox->disconnect();
  if (sent == Sent::kAllAndKeep) co_return true;
  co_await finish(connection);
  co_return false;
}

// The reply that it takes reaches nobody.
void HttpServer::Impl::leave(Outbox& outbox) {
  outbox.disconnect();
  outbox.client_left();
}

// Sends what comes into the outbox until its end.
awaitable<HttpServer::Impl::Sent> HttpServer::Impl::send(Connection& connection,
                                                         asio::steady_timer& wake) {
  for (;;) {
    const Outbox::Taken taken = connection.outbox->take();
    if (taken.overflowed) co_return Sent::kNotAll;
    if (!co_await write(connection.stream, taken.bytes)) co_return Sent::kNotAll;
    if (taken.ended) co_return taken.close ? Sent::kAll : Sent::kAllAndKeep;
    if (!taken.bytes.empty()) continue;
    wake.expires_after(options_.pause_time);
    const auto [woken] = co_await wake.async_wait(kTuple);
    if (!woken) connection.outbox->fill_pause();
  }
}

awaitable<bool> HttpServer::Impl::write(Stream& stream, const std::string& bytes) {
  using std::chrono::steady_clock;
  const std::chrono::seconds at_least_rate(bytes.size() / options_.least_rate);
  const auto until = steady_clock::now() + options_.write_time + at_least_rate;
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    asio::steady_timer timer(io_, std::min(until, steady_clock::now() + options_.write_time));
    const auto outcome =
        co_await (stream.write_some(asio::buffer(bytes.data() + sent, bytes.size() - sent)) ||
                  timer.async_wait(kTuple));
    if (outcome.index() == 1) co_return false;
    const auto& [code, size] = std::get<0>(outcome);
    if (code) co_return false;
    sent += size;
  }
  co_return true;
}

// Says when the client goes, and does not end: the reply does. To see the end of a connection, what
// comes before it is read: requests that are to be answered next, as many as a head may be long.
awaitable<void> HttpServer::Impl::watch(Connection& connection) {
  std::array<char, 4096> bytes;
  while (!connection.ended && connection.reader.kept_bytes() <= options_.limits.head_bytes) {
    const auto [code, size] = co_await connection.stream.read_some(asio::buffer(bytes));
    if (code == asio::error::operation_aborted) co_return;  // the reply was sent
    connection.ended = bool(code);
    connection.reader.feed(std::string_view(bytes.data(), size));
  }
  // Behind more than is read, the end shows in poll() alone; what is before it is read later.
  asio::steady_timer pause(io_);
  for (bool left = connection.ended; !left;) {
    pause.expires_after(Milliseconds(250));
    const auto [code] = co_await pause.async_wait(kTuple);
    if (code) co_return;
    pollfd poll{connection.stream.socket().native_handle(), POLLRDHUP, 0};
    left = ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLRDHUP | POLLHUP | POLLERR));
  }
  connection.outbox->client_left();
  pause.expires_at(std::chrono::steady_clock::time_point::max());
  co_await pause.async_wait(kTuple);
}

// `error` is a variable of the caller: GCC 12 destroys a temporary of a co_await twice.
awaitable<void> HttpServer::Impl::refuse(Connection& connection, const HttpError& error) {
  const HttpRequest& read = connection.reader.request();
  HttpRequest request;  // without the body
  request.method = read.method;
  request.path = read.path;
  request.headers = read.headers;
  request.peer = connection.peer;
  request.head_time = connection.head_time;
  const HttpResponse response =
      options_.refuse ? options_.refuse(error, request)
                      : HttpResponse{error.status, "text/plain", error.message + "\n"};
  std::string bytes =
      format_head(response, {.length = response.body.size(), .close = true}, now_in_seconds());
  if (request.method != "HEAD") bytes += response.body;
  if (co_await write(connection.stream, bytes)) co_await finish(connection);
}

// Ends a connection: closed with bytes unread, the reply would be lost at the other side. So what
// is left of a body that was refused is read, for as long as a body may take at most.
awaitable<void> HttpServer::Impl::finish(Connection& connection) {
  using std::chrono::steady_clock;
  const auto start = steady_clock::now();
  asio::steady_timer timer(io_, kLastRead);
  if (connection.stream.is_tls()) {
    co_await (connection.stream.say_goodbye() || timer.async_wait(kTuple));
  }
  Socket& socket = connection.stream.socket();
  socket.shutdown(Socket::shutdown_send, ignored_);
  std::array<char, 16384> rest;
  for (std::size_t drained = 0; !connection.ended;) {
    const Milliseconds bought(drained * 1000 / options_.least_rate);
    timer.expires_at(start + std::min(options_.body_time, kLastRead + bought));
    const auto outcome =
        co_await (socket.async_read_some(asio::buffer(rest), kTuple) || timer.async_wait(kTuple));
    if (outcome.index() == 1) co_return;
    const auto& [code, size] = std::get<0>(outcome);
    if (code) co_return;
    drained += size;
  }
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options,
                                                      Handler handler) {
  auto impl = std::make_unique<Impl>(options, std::move(handler));
  TERN_TRY(impl->listen());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
void HttpServer::reconfigure(const HttpServerOptions& options) { impl_->reconfigure(options); }
const std::vector<std::string>& HttpServer::addresses() const { return impl_->addresses(); }
void HttpServer::close() { impl_->close(); }
bool HttpServer::wait_closed(std::chrono::steady_clock::time_point until) {
  return impl_->wait_closed(until);
}

}  // namespace tern::net
