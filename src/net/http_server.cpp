#include "net/http_server.h"

#include <boost/asio.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "net/listen.h"
#include "net/outbox.h"

namespace tern::net {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;  // NOLINT: its only use
using Socket = asio::generic::stream_protocol::socket;
using asio::awaitable;
using boost::system::error_code;
using Milliseconds = std::chrono::milliseconds;

namespace {

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

class ServerExchange final : public Exchange {
 public:
  ServerExchange(HttpRequest request, std::shared_ptr<Outbox> outbox)
      : request_(std::move(request)),
        with_body_(request_.method != "HEAD"),
        outbox_(std::move(outbox)) {}
  ~ServerExchange() override {
    outbox_->reply({500, "text/plain", "the request was dropped\n"}, with_body_);
    outbox_->end();
  }
  const HttpRequest& request() const override { return request_; }
  void reply(HttpResponse response) override { outbox_->reply(response, with_body_); }
  void begin(HttpResponse head) override { outbox_->begin(head, with_body_); }
  void write(std::string bytes) override { outbox_->write(bytes); }
  void end() override { outbox_->end(); }
  std::stop_token gone() const override { return outbox_->gone(); }

 private:
  HttpRequest request_;
  bool with_body_;
  std::shared_ptr<Outbox> outbox_;
};

}  // namespace

class HttpServer::Impl {
 public:
  Impl(const HttpServerOptions& options, Handler handler)
      : options_(options), handler_(std::move(handler)) {}
  ~Impl() {
    close();
    asio::post(io_, [this] {
      for (Connection* connection : connections_) connection->socket.close(ignored_);
    });
    wait_closed(std::chrono::steady_clock::now() + std::chrono::seconds(5));
    work_.reset();
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Result<void> listen() {
    for (const std::string& address : options_.listen) {
      TERN_ASSIGN(Listener listener, net::listen(io_, address));
      addresses_.push_back(listener.address);
      listeners_.push_back(std::make_unique<Listener>(std::move(listener)));
    }
    for (const auto& listener : listeners_) {
      asio::co_spawn(io_, accept(*listener), asio::detached);
    }
    thread_ = std::thread([this] { io_.run(); });
    return {};
  }
  const std::vector<std::string>& addresses() const { return addresses_; }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  void close() {
    asio::post(io_, [this] {
      closing_ = true;
      for (const auto& listener : listeners_) listener->acceptor.close(ignored_);
      for (Connection* connection : connections_) {
        if (connection->outbox) {
          connection->outbox->close_after();
        } else {
          connection->socket.close(ignored_);
        }
      }
    });
  }
  bool wait_closed(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(mutex_);
    return all_gone_.wait_until(lock, until, [&] { return count_ == 0; });
  }

 private:
  struct Connection {
    Socket socket;
    std::string peer;
    RequestReader reader;
    std::shared_ptr<Outbox> outbox = nullptr;  // of the request at hand
  };

  awaitable<void> accept(Listener& listener);
  awaitable<void> serve(Socket socket, std::string peer);
  awaitable<bool> read_request(Connection& connection);
  awaitable<bool> read_some(Connection& connection, std::chrono::steady_clock::time_point until);
  awaitable<bool> answer(Connection& connection);
  awaitable<bool> send(Connection& connection, asio::steady_timer& wake);
  awaitable<bool> write(Socket& socket, const std::string& bytes);
  awaitable<void> watch(Connection& connection);
  awaitable<void> refuse(Connection& connection, const HttpError& error);
  void count(int change);

  HttpServerOptions options_;
  Handler handler_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::string> addresses_;
  std::set<Connection*> connections_;  // the server's thread's, as is
  bool closing_ = false;
  error_code ignored_;
  mutable std::mutex mutex_;
  std::condition_variable all_gone_;
  std::size_t count_ = 0;
  std::thread thread_;
};

void HttpServer::Impl::count(int change) {
  const std::lock_guard lock(mutex_);
  count_ += static_cast<std::size_t>(change);
  if (count_ == 0) all_gone_.notify_all();
}

awaitable<void> HttpServer::Impl::accept(Listener& listener) {
  while (listener.acceptor.is_open()) {
    auto [code, socket] = co_await listener.acceptor.async_accept(kTuple);
    if (code == asio::error::operation_aborted) co_return;
    if (code) {  // out of descriptors, say: not a reason to end
      asio::steady_timer pause(io_, Milliseconds(50));
      co_await pause.async_wait(kTuple);
      continue;
    }
    std::string peer = peer_of(socket);
    asio::co_spawn(io_, serve(std::move(socket), std::move(peer)), asio::detached);
  }
}

awaitable<void> HttpServer::Impl::serve(Socket socket, std::string peer) {
  Connection connection{std::move(socket), std::move(peer), RequestReader(options_.limits)};
  if (connections_.size() >= options_.connections) {
    co_await refuse(connection, {503, "too many connections; come again later"});
    co_return;
  }
  count(1);
  connections_.insert(&connection);
  while (!closing_ && co_await read_request(connection) && co_await answer(connection)) {
  }
  connections_.erase(&connection);
  count(-1);
}

// False where there is no request and the connection is to end.
awaitable<bool> HttpServer::Impl::read_request(Connection& connection) {
  using State = RequestReader::State;
  const auto now = [] { return std::chrono::steady_clock::now(); };
  auto until = now() + (connection.reader.has_begun() ? options_.head_time : options_.idle_time);
  for (;;) {
    const State before = connection.reader.state();
    if (before == State::kDone) co_return true;
    if (before == State::kError) {
      const HttpError error = connection.reader.error();
      co_await refuse(connection, error);
      co_return false;
    }
    if (connection.reader.expects_continue()) {
      const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      if (!co_await write(connection.socket, go_on)) co_return false;
    }
    const bool had_begun = connection.reader.has_begun();
    if (!co_await read_some(connection, until)) co_return false;
    if (!had_begun) until = now() + options_.head_time;
    if (before == State::kHead && connection.reader.state() == State::kBody) {
      until = now() + options_.body_time;
    }
  }
}

awaitable<bool> HttpServer::Impl::read_some(Connection& connection,
                                            std::chrono::steady_clock::time_point until) {
  std::array<char, 16384> bytes;
  asio::steady_timer timer(io_, until);
  const auto outcome = co_await (connection.socket.async_read_some(asio::buffer(bytes), kTuple) ||
                                 timer.async_wait(kTuple));
  if (outcome.index() == 1) {
    if (connection.reader.has_begun()) {
      co_await refuse(connection, {408, "the request did not come in time"});
    }
    co_return false;
  }
  const auto& [code, size] = std::get<0>(outcome);
  if (code == asio::error::eof && connection.reader.has_begun()) {
    co_await refuse(connection, {400, "the connection was closed in the middle of a request"});
  }
  if (code) co_return false;
  connection.reader.feed(std::string_view(bytes.data(), size));
  co_return true;
}

// False where the connection is to end.
awaitable<bool> HttpServer::Impl::answer(Connection& connection) {
  HttpRequest request = connection.reader.take();
  request.peer = connection.peer;
  const bool keep = request.keep_alive && !closing_;
  const auto wake =
      std::make_shared<asio::steady_timer>(io_, std::chrono::steady_clock::time_point::max());
  connection.outbox =
      std::make_shared<Outbox>(options_.unread_bytes, !request.is_http_1_0,
                               [this, wake] { asio::post(io_, [wake] { wake->cancel(); }); });
  if (!keep) connection.outbox->close_after();
  handler_(std::make_shared<ServerExchange>(std::move(request), connection.outbox));
  const auto outcome = co_await (send(connection, *wake) || watch(connection));
  connection.outbox->leave();
  connection.outbox = nullptr;
  co_return outcome.index() == 0 && std::get<0>(outcome);  // not closed meanwhile
}

// Sends what comes into the outbox until its end. False where the connection is to end.
awaitable<bool> HttpServer::Impl::send(Connection& connection, asio::steady_timer& wake) {
  for (;;) {
    const Outbox::Taken taken = connection.outbox->take();
    if (taken.overflowed) co_return false;
    if (!taken.bytes.empty() && !co_await write(connection.socket, taken.bytes)) co_return false;
    if (taken.ended) co_return !taken.close;
    if (taken.bytes.empty()) {
      co_await wake.async_wait(kTuple);
      wake.expires_at(std::chrono::steady_clock::time_point::max());
    }
  }
}

awaitable<bool> HttpServer::Impl::write(Socket& socket, const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    asio::steady_timer timer(io_, options_.write_time);
    const auto outcome = co_await (
        socket.async_write_some(asio::buffer(bytes.data() + sent, bytes.size() - sent), kTuple) ||
        timer.async_wait(kTuple));
    if (outcome.index() == 1) co_return false;
    const auto& [code, size] = std::get<0>(outcome);
    if (code) co_return false;
    sent += size;
  }
  co_return true;
}

// Says when the client goes, and does not end: the reply does.
awaitable<void> HttpServer::Impl::watch(Connection& connection) {
  const auto [code] = co_await connection.socket.async_wait(Socket::wait_read, kTuple);
  if (code == asio::error::operation_aborted) co_return;
  char byte = 0;
  const auto peeked = ::recv(connection.socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  // Otherwise the next request is there already, and an end behind it is seen when it is read.
  if (code || peeked == 0 || (peeked < 0 && errno != EAGAIN && errno != EINTR)) {
    connection.outbox->leave();
  }
  asio::steady_timer forever(io_, std::chrono::steady_clock::time_point::max());
  co_await forever.async_wait(kTuple);
}

awaitable<void> HttpServer::Impl::refuse(Connection& connection, const HttpError& error) {
  const HttpResponse response =
      options_.refuse ? options_.refuse(error)
                      : HttpResponse{error.status, "text/plain", error.message + "\n"};
  const std::string bytes =
      format_head(response, {.length = response.body.size(), .close = true}) + response.body;
  if (!co_await write(connection.socket, bytes)) co_return;
  // Closed with bytes unread, the reply would be lost at the other side.
  error_code ignored;
  connection.socket.shutdown(Socket::shutdown_send, ignored);
  std::array<char, 4096> rest;
  asio::steady_timer timer(io_, Milliseconds(500));
  for (std::size_t drained = 0; drained < (1u << 20);) {
    const auto outcome = co_await (connection.socket.async_read_some(asio::buffer(rest), kTuple) ||
                                   timer.async_wait(kTuple));
    if (outcome.index() == 1 || std::get<0>(std::get<0>(outcome))) co_return;
    drained += std::get<1>(std::get<0>(outcome));
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
const std::vector<std::string>& HttpServer::addresses() const { return impl_->addresses(); }
std::size_t HttpServer::connections() const { return impl_->connections(); }
void HttpServer::close() { impl_->close(); }
bool HttpServer::wait_closed(std::chrono::steady_clock::time_point until) {
  return impl_->wait_closed(until);
}

}  // namespace tern::net
