#include "serve/call.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <iterator>
#include <new>
#include <utility>

#include "core/random_hex.h"
#include "text/utf8.h"

namespace tern::serve {

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// Who names events there reads all of their fields.
bool asks_for_events(std::string_view accept) {
  while (!accept.empty()) {
    const std::size_t end = std::min(accept.find(','), accept.size());
    if (is_media_type(accept.substr(0, end), "text/event-stream")) return true;
    accept.remove_prefix(std::min(end + 1, accept.size()));
  }
  return false;
}

}  // namespace

std::string id_of(const net::HttpRequest& request) {
  const std::string_view given = request.header("x-request-id");
  const bool good =
      !given.empty() && given.size() <= 128 && std::all_of(given.begin(), given.end(), is_plain);
  return good ? std::string(given) : "req-" + random_hex(12);
}

// 501 and 505 say that the client wants what HTTP/1.1 or this server does not have.
void count_reply(telemetry::Telemetry& telemetry, unsigned status) {
  const unsigned kind = status == 501 || status == 505 ? 4 : status / 100;
  telemetry.counter("http.responses_" + std::to_string(kind) + "xx").add();
  if (status == 429) telemetry.counter("http.responses_429").add();
}

bool is_media_type(std::string_view value, std::string_view type) {
  value = value.substr(0, value.find(';'));
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  value = value.substr(0, value.find_last_not_of(" \t") + 1);
  return std::equal(value.begin(), value.end(), type.begin(), type.end(), [](char found, char c) {
    return (found >= 'A' && found <= 'Z' ? static_cast<char>(found + ('a' - 'A')) : found) == c;
  });
}

std::int64_t seconds_since_epoch() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Call::Call(std::shared_ptr<net::Exchange> exchange, telemetry::Telemetry& telemetry)
    : exchange_(std::move(exchange)),
      telemetry_(telemetry),
      id_(id_of(exchange_->request())),
      arrived_(exchange_->request().head_time.value_or(std::chrono::steady_clock::now())) {}

Call::~Call() {
  try {
    if (!replied_) fail({503, "the server ends; ask another one", "server_error", "", "not_ready"});
  } catch (const std::exception& thrown) {
    give_up(thrown);
  }
}

std::string Call::take_body() {
  std::string body = exchange_->take_body(logs_content_);  // a note of it stays
  note("request_bytes", std::uint64_t{body.size()});
  if (!logs_content_) return body;
  note("body", text::replace_invalid_utf8(body));
  if (const auto last = request().header("last-event-id"); !last.empty()) {
    note("last_event_id", text::replace_invalid_utf8(last));
  }
  return body;
}

std::optional<ApiError> Call::open_answers(std::size_t count) {
  if (!account_) return std::nullopt;
  if (const auto refusal = account_->open(count)) {
    return beyond_limit(refusal->message, refusal->retry_after);
  }
  open_answers_ = count;
  return std::nullopt;
}

std::optional<ApiError> Call::reserve_tokens(std::uint64_t most, std::uint64_t least) {
  if (!account_) return std::nullopt;
  std::uint64_t tokens = most;
  if (const auto refusal = account_->reserve(tokens, least)) {
    has_place_ = false;
    return beyond_limit(refusal->message, refusal->retry_after);
  }
  reserved_tokens_ = tokens;
  return std::nullopt;
}

// Beyond what is reserved it overdraws the budget.
void Call::use_tokens(std::uint64_t tokens) {
  is_computed_ = is_computed_ || tokens > 0;
  const std::uint64_t reserved = std::min(tokens, reserved_tokens_);
  reserved_tokens_ -= reserved;
  if (tokens > reserved) account_->overdraw(tokens - reserved);
}

void Call::give_back() {
  if (!account_) return;
  account_->give_back(std::exchange(reserved_tokens_, 0));
  account_->close(std::exchange(open_answers_, 0));
}

// Who is to come again later, and has had nothing, has not come yet.
void Call::give_back_place() {
  if (has_place_ && !is_computed_) account_->give_back_place();
  has_place_ = has_place_ && is_computed_;
}

void Call::count_prompt(std::uint64_t tokens) {
  if (!account_) return;
  account_->count_prompt(tokens);
  use_tokens(tokens);
}

void Call::count_generated(std::uint64_t tokens) {
  if (!account_) return;
  account_->count_generated(tokens);
  use_tokens(tokens);
}

void Call::count_end(std::string_view reason) {
  telemetry_.counter("http.answers_" + std::string(reason)).add();
}

void Call::note(std::string_view name, telemetry::FieldValue value) {
  notes_.emplace_back(name, std::move(value));
}

void Call::complete(std::vector<net::HttpHeader>& headers) const {
  headers.push_back({"x-request-id", id_});
  if (account_) {
    for (net::HttpHeader& header : account_->headers()) headers.push_back(std::move(header));
  }
  headers.insert(headers.end(), headers_.begin(), headers_.end());
}

std::optional<ApiError> Call::reserve(std::size_t bytes) {
  const net::Room room = exchange_->reserve(bytes);
  if (room == net::Room::kYes) return std::nullopt;
  return no_room(bytes, room);
}

void Call::send(net::HttpResponse response, std::string error) {
  if (const auto no_room = reserve(response.body.size())) {
    response = to_response(*no_room);
    error = short_name(*no_room);
    reserve(response.body.size());
  }
  give_back();
  if (response.status == 429 || response.status == 503) give_back_place();
  complete(response.headers);
  if (request().method != "HEAD") response_bytes_ = response.body.size();
  log(response.status, std::move(error));
  replied_ = true;
  exchange_->reply(std::move(response));
}

// What may throw goes before what counts: nothing is counted twice.
void Call::log(unsigned status, std::string error) {
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - arrived_;
  std::vector<std::pair<std::string_view, telemetry::FieldValue>> fields{
      {"request_id", id_},      {"method", request().method},      {"path", request().path},
      {"peer", request().peer}, {"status", std::uint64_t{status}}, {"seconds", seconds.count()}};
  fields.emplace_back("response_bytes", response_bytes_);
  if (!error.empty()) fields.emplace_back("error", std::move(error));
  if (account_) fields.emplace_back("key_id", account_->name());
  std::move(notes_.begin(), notes_.end(), std::back_inserter(fields));
  telemetry_.emit({"http.request", std::move(fields)});
  logged_ = true;
  if (has_place_) account_->count_request();
  count_reply(telemetry_, status);
  if (seconds_ != nullptr && status < 300) seconds_->observe(seconds.count());
}

void Call::reply(const boost::json::value& body, unsigned status) {
  send({status, "application/json", boost::json::serialize(body) + "\n"}, {});
}

void Call::reply_text(std::string content_type, std::string body) {
  send({200, std::move(content_type), std::move(body)}, {});
}

void Call::fail(const ApiError& error, std::vector<net::HttpHeader> headers) {
  net::HttpResponse response = to_response(error);
  for (net::HttpHeader& header : headers) response.headers.push_back(std::move(header));
  send(std::move(response), short_name(error));
}

void turn_away(Call& call, const engine::Engine& engine, ApiError error, std::size_t requests) {
  if (engine.state().closed) return call.fail(draining());
  if (error.status == 429) error.retry_after = engine.retry_after(requests).count();
  call.fail(error);
}

// Who reads events, or had an id already, gets the next in any case.
void Call::begin_events() {
  sends_ids_ = !plain_events_ || asks_for_events(request().header("accept")) ||
               !request().header("last-event-id").empty();
  net::HttpResponse head{200, "text/event-stream; charset=utf-8", "", {}};
  head.headers.push_back({"Cache-Control", "no-cache"});
  // nginx would hold events back until a page of 4 or 8 KiB is full.
  head.headers.push_back({"X-Accel-Buffering", "no"});
  complete(head.headers);
  // A comment, which programs that know no ids do not know either.
  if (sends_ids_) head.pause = ":\n\n";
  exchange_->begin(std::move(head));
  replied_ = true;
}

void Call::event(const std::string& id, std::string_view data) {
  std::string text = id.empty() || !sends_ids_ ? "" : "id: " + id + "\n";
  text.append("data: ").append(data).append("\n\n");
  response_bytes_ += text.size();
  exchange_->write(std::move(text));
}

void Call::end_events(unsigned status, std::string error) {
  give_back();
  log(status, std::move(error));
  exchange_->end();
}

void Call::give_up(const std::exception& thrown) noexcept {
  if (logged_) return;
  try {
    const bool memory = dynamic_cast<const std::bad_alloc*>(&thrown) != nullptr;
    const ApiError error =
        memory ? api_error(Error{ErrorCode::kOutOfMemory, "there is no memory for it left", ""}, "")
               : ApiError{500, std::string("the server failed: ") + thrown.what(), "server_error"};
    if (!replied_) return fail(error);
    event("", boost::json::serialize(to_json(error)));
    end_events(error);
  } catch (const std::exception&) {
    replied_ = logged_ = true;  // by the exchange, when it is dropped
    give_back();
  }
}

}  // namespace tern::serve
