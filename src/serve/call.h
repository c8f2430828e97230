// One request to the API and its reply: an id for both sides' logs, JSON, errors, and a line of the
// access log at its end.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/engine.h"
#include "net/http_server.h"
#include "serve/api_error.h"
#include "telemetry/telemetry.h"

namespace tern::serve {

// Any thread; one reply.
class Call {
 public:
  Call(std::shared_ptr<net::Exchange> exchange, telemetry::Telemetry& telemetry);
  // Without a reply: a 503, since the server ends.
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const net::HttpRequest& request() const { return exchange_->request(); }
  std::string take_body() { return exchange_->take_body(); }
  const std::string& id() const { return id_; }
  std::chrono::steady_clock::time_point arrived() const { return arrived_; }
  std::stop_token gone() const { return exchange_->gone(); }

  void reply(const boost::json::value& body, unsigned status = 200);
  void reply_text(std::string content_type, std::string body);
  void fail(const ApiError& error, std::vector<net::HttpHeader> headers = {});
  // Server-sent events (WHATWG HTML, 9.2).
  void begin_events();
  void event(const std::string& id, std::string_view data);
  void end_events();

 private:
  void send(net::HttpResponse response);
  void log(unsigned status);

  std::shared_ptr<net::Exchange> exchange_;
  telemetry::Telemetry& telemetry_;
  std::string id_;
  std::chrono::steady_clock::time_point arrived_ = std::chrono::steady_clock::now();
  bool replied_ = false;
};

// Tells a client that the engine does not take its request: when to come again where the queue is
// full, that the server ends where it does, else `error`.
void turn_away(Call& call, const engine::Engine& engine, const ApiError& error);

std::int64_t seconds_since_epoch();
// Letters and digits that nobody can guess: `bytes` of them in hexadecimal.
std::string random_hex(std::size_t bytes);

}  // namespace tern::serve
