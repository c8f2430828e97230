#include "serve/call.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <random>
#include <utility>

namespace tern::serve {

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// The client's own id, where it can stand in a header and a log.
std::string id_of(const net::HttpRequest& request) {
  const std::string_view given = request.header("x-request-id");
  const bool good =
      !given.empty() && given.size() <= 128 && std::all_of(given.begin(), given.end(), is_plain);
  return good ? std::string(given) : "req-" + random_hex(12);
}

}  // namespace

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string random_hex(std::size_t bytes) {
  thread_local std::random_device device;
  std::string text;
  for (std::size_t i = 0; i < bytes * 2; ++i) text += "0123456789abcdef"[device() % 16];
  return text;
}

Call::Call(std::shared_ptr<net::Exchange> exchange, telemetry::Telemetry& telemetry)
    : exchange_(std::move(exchange)), telemetry_(telemetry), id_(id_of(exchange_->request())) {}

Call::~Call() {
  if (!replied_) fail({503, "the server ends; ask another one", "server_error", "", "not_ready"});
}

void Call::send(net::HttpResponse response) {
  response.headers.push_back({"x-request-id", id_});
  log(response.status);
  exchange_->reply(std::move(response));
}

void Call::log(unsigned status) {
  replied_ = true;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - arrived_;
  telemetry_.counter("http.responses_" + std::to_string(status / 100) + "xx").add();
  telemetry_.emit({"http.request",
                   {{"request_id", id_},
                    {"method", request().method},
                    {"path", request().path},
                    {"peer", request().peer},
                    {"status", std::uint64_t{status}},
                    {"seconds", seconds.count()}}});
}

void Call::reply(const boost::json::value& body, unsigned status) {
  send({status, "application/json", boost::json::serialize(body) + "\n"});
}

void Call::reply_text(std::string content_type, std::string body) {
  send({200, std::move(content_type), std::move(body)});
}

void Call::fail(const ApiError& error, std::vector<net::HttpHeader> headers) {
  net::HttpResponse response = to_response(error);
  response.headers = std::move(headers);
  send(std::move(response));
}

void turn_away(Call& call, const engine::Engine& engine, const ApiError& error) {
  if (engine.state().closed) return call.fail(draining());
  if (error.status != 429) return call.fail(error);
  call.fail(error, {{"Retry-After", std::to_string(engine.retry_after().count())}});
}

void Call::begin_events() {
  replied_ = true;
  exchange_->begin({200,
                    "text/event-stream; charset=utf-8",
                    "",
                    {{"Cache-Control", "no-cache"}, {"x-request-id", id_}}});
}

void Call::event(const std::string& id, std::string_view data) {
  std::string text = id.empty() ? "" : "id: " + id + "\n";
  exchange_->write(text.append("data: ").append(data).append("\n\n"));
}

void Call::end_events() {
  exchange_->end();
  log(200);
}

}  // namespace tern::serve
