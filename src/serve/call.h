// One request to the API and its reply: an id for both sides' logs, JSON, errors, and a line of the
// access log at its end.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "net/http_server.h"
#include "serve/api_error.h"
#include "serve/api_keys.h"
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

  // Before anything else: whose it is, what each reply says beside its own headers, and whether the
  // log may have what was asked and answered.
  void belongs_to(std::shared_ptr<Account> account) { account_ = std::move(account); }
  void add_headers(std::vector<net::HttpHeader> headers) { headers_ = std::move(headers); }
  void log_content(bool wanted) { logs_content_ = wanted; }
  bool logs_content() const { return logs_content_; }

  const net::HttpRequest& request() const { return exchange_->request(); }
  std::string take_body();
  const std::string& id() const { return id_; }
  std::chrono::steady_clock::time_point arrived() const { return arrived_; }
  std::stop_token gone() const { return exchange_->gone(); }
  // The name of its key; empty where there are no keys.
  std::string account() const { return account_ ? account_->name() : ""; }

  // It has a place among the requests of its key.
  void take_place() { has_place_ = true; }
  // Begins so many of the answers that its key may have at once; they have ended when its reply is
  // complete. Else why there are too many.
  std::optional<ApiError> open_answers(std::size_t count);
  // Keeps tokens of the budget of its key, as Account::reserve does; what it did not come to goes
  // back before its reply is complete. Else why there are none, and its place goes back as well.
  std::optional<ApiError> reserve_tokens(std::uint64_t most, std::uint64_t least);
  // Those that it comes to. One thread at a time.
  void count_prompt(std::uint64_t tokens);
  void count_generated(std::uint64_t tokens);
  // One of its answers has ended, by finish_reason().
  void count_end(std::string_view reason);
  // What is told how long it took, where it went well; outlives it.
  void measure(telemetry::Histogram& seconds) { seconds_ = &seconds; }
  // A field of its line in the log. One thread at a time, before the reply is complete.
  void note(std::string_view name, telemetry::FieldValue value);

  // Keeps room for a whole reply of so many bytes, which it has or will have, until it is sent;
  // asked again, so many instead. Else why there is none.
  std::optional<ApiError> reserve(std::size_t bytes);
  void reply(const boost::json::value& body, unsigned status = 200);
  void reply_text(std::string content_type, std::string body);
  void reply(net::HttpResponse response) { send(std::move(response), {}); }
  void fail(const ApiError& error, std::vector<net::HttpHeader> headers = {});
  // Of the events below: no id but for a client that asks for events by Accept, or for what follows
  // one by Last-Event-ID. Many take each line of an event for its data.
  void plain_events(bool wanted) { plain_events_ = wanted; }
  // Server-sent events (WHATWG HTML, 9.2), with their ids.
  void begin_events();
  void event(const std::string& id, std::string_view data);
  void end_events() { end_events(200, {}); }
  // They end with it, though 200 was sent: so the log and the counters have them.
  void end_events(const ApiError& error) { end_events(error.status, short_name(error)); }
  // Where something threw on the way to a reply, as for want of memory: a 500, or the end of the
  // events; nothing where it is complete.
  void give_up(const std::exception& thrown) noexcept;

 private:
  void send(net::HttpResponse response, std::string error);
  void end_events(unsigned status, std::string error);
  // `error`: its short name, where there is one.
  void log(unsigned status, std::string error);
  void use_tokens(std::uint64_t tokens);
  void give_back();
  void give_back_place();
  // x-request-id, the limits of the key, and what add_headers() was given.
  void complete(std::vector<net::HttpHeader>& headers) const;

  std::shared_ptr<net::Exchange> exchange_;
  telemetry::Telemetry& telemetry_;
  std::string id_;
  std::chrono::steady_clock::time_point arrived_;  // its head, before its body
  std::shared_ptr<Account> account_;               // nothing where there are no keys
  std::size_t open_answers_ = 0;
  std::uint64_t reserved_tokens_ = 0;  // and not come to
  bool has_place_ = false;
  bool is_computed_ = false;  // some of it
  std::vector<net::HttpHeader> headers_;
  bool logs_content_ = false;
  telemetry::Histogram* seconds_ = nullptr;
  std::vector<std::pair<std::string_view, telemetry::FieldValue>> notes_;
  std::uint64_t response_bytes_ = 0;  // of the body of the reply
  bool replied_ = false;
  bool logged_ = false;  // the reply is complete
  bool plain_events_ = false;
  bool sends_ids_ = true;
};

// Tells a client that the engine does not take its `requests`: when to come again where the queue
// is full, that the server ends where it does, else `error`.
void turn_away(Call& call, const engine::Engine& engine, ApiError error, std::size_t requests = 1);

// Counts a reply of that status as one that went well, or as the client's fault or the server's.
void count_reply(telemetry::Telemetry& telemetry, unsigned status);
// The client's own, of x-request-id, where it can stand in a header and a log; else a new one.
std::string id_of(const net::HttpRequest& request);

// Whether `value`, of a header, names `type`, which is in lower case: types have no case, and a
// parameter may stand behind them (RFC 9110, 8.3.1).
bool is_media_type(std::string_view value, std::string_view type);
std::int64_t seconds_since_epoch();

}  // namespace tern::serve
