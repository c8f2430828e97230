#include "diagnose/load/exchange.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "core/json.h"
#include "net/event_stream.h"

namespace tern::diagnose {

namespace asio = boost::asio;
namespace json = boost::json;
using asio::awaitable;

namespace {

constexpr std::size_t kMostMessage = 200;
// Prompts are made of these, or of their tokens: common ones, so that most are a token each.
constexpr std::array<std::string_view, 96> kWords{
    "the",   "of",    "and",   "to",     "in",     "a",     "is",     "that",    "for",   "it",
    "as",    "was",   "with",  "be",     "by",     "on",    "not",    "he",      "his",   "but",
    "at",    "are",   "this",  "have",   "from",   "which", "one",    "had",     "or",    "were",
    "all",   "their", "there", "when",   "who",    "so",    "said",   "what",    "up",    "its",
    "about", "into",  "them",  "can",    "only",   "other", "time",   "new",     "some",  "could",
    "these", "two",   "may",   "then",   "do",     "first", "any",    "my",      "now",   "such",
    "like",  "our",   "over",  "man",    "me",     "even",  "most",   "made",    "after", "also",
    "did",   "many",  "off",   "before", "must",   "well",  "back",   "through", "years", "where",
    "much",  "your",  "way",   "down",   "should", "long",  "people", "each",    "how",   "good",
    "day",   "world", "water", "house",  "king",   "old"};

// The field of an object, or null.
const json::value& field(const json::value& value, std::string_view name) {
  static const json::value kNull;
  const json::object* object = value.if_object();
  const json::value* found =
      object == nullptr ? nullptr : object->if_contains({name.data(), name.size()});
  return found == nullptr ? kNull : *found;
}

std::string text_or(const json::value& value, std::string_view otherwise) {
  return value.is_string() ? std::string(value.get_string()) : std::string(otherwise);
}

// What an error says: its message in OpenAI's form, else how its body begins.
std::string message_of(const std::string& body) {
  const auto parsed = parse_json(body);
  if (parsed) {
    const json::value& error = field(*parsed, "error");
    const std::string found = text_or(field(error, "message"), text_or(error, ""));
    if (!found.empty()) return found.substr(0, kMostMessage);
  }
  return body.substr(0, std::min(body.find('\n'), kMostMessage));
}

void fail(RequestOutcome& outcome, std::string kind, std::string message) {
  outcome.failure = std::move(kind);
  outcome.message = std::move(message);
}

void fail(RequestOutcome& outcome, const Error& error) {
  fail(outcome, error.code == ErrorCode::kMalformed ? "malformed" : "closed", error.message);
}

bool has_text(const json::value& chunk) {
  const json::array* choices = field(chunk, "choices").if_array();
  return choices != nullptr && std::any_of(choices->begin(), choices->end(), [](const auto& one) {
           return !text_or(field(one, "text"), "").empty() ||
                  !text_or(field(field(one, "delta"), "content"), "").empty();
         });
}

std::uint64_t count_of(const json::value& value) {
  json::error_code ignored;
  const auto count = value.is_number() ? value.to_number<std::int64_t>(ignored) : 0;
  return static_cast<std::uint64_t>(std::max<std::int64_t>(count, 0));
}

// An event of an answer, which came at that time. True for the last one.
bool take(const std::string& data, double at, RequestOutcome& outcome) {
  if (data == "[DONE]") return true;
  const auto chunk = parse_json(data);
  if (!chunk || !chunk->is_object()) {
    fail(outcome, "malformed", "an event is no JSON object: " + data.substr(0, kMostMessage));
    return true;
  }
  if (!field(*chunk, "error").is_null()) {
    fail(outcome, "stream_error", message_of(data));
    return true;
  }
  if (has_text(*chunk)) outcome.pieces.push_back(at);
  if (const json::value& usage = field(*chunk, "usage"); usage.is_object()) {
    outcome.prompt_tokens = count_of(field(usage, "prompt_tokens"));
    outcome.output_tokens = count_of(field(usage, "completion_tokens"));
  }
  return false;
}

awaitable<void> read_events(net::HttpCall& call, const std::function<double()>& now,
                            RequestOutcome& outcome) {
  net::EventStreamReader reader;
  for (;;) {
    const Result<std::string> part = co_await call.read_some();
    if (!part) co_return fail(outcome, part.error());
    if (part->empty()) break;
    const double at = now();
    const auto events = reader.feed(*part);
    if (!events) co_return fail(outcome, events.error());
    for (const std::string& data : *events) {
      if (take(data, at, outcome)) co_return;
    }
  }
  fail(outcome, "closed", "the answer ended before its [DONE]");
}

Error not_openai(const LoadOptions& options, const std::string& found) {
  return {ErrorCode::kUnsupported,
          "expected an OpenAI-compatible server, whose " + options.target.prefix +
              "/v1/models lists models; found " + found,
          options.target.url};
}

// The reply to a request that is no part of the load.
awaitable<Result<std::pair<net::HttpResponse, std::string>>> ask(asio::io_context& io,
                                                                 const LoadOptions& options,
                                                                 const net::HttpRequest& request) {
  net::HttpCall call(io);
  const Result<void> connected = co_await call.connect(options.target);
  if (!connected) {
    co_return Error{ErrorCode::kIo, connected.error().message + "; is the server running?",
                    options.target.url};
  }
  const Result<void> sent = co_await call.send(request);
  if (!sent) co_return in_context(options.target.url, sent.error());
  Result<net::HttpResponse> head = co_await call.head();
  if (!head) co_return not_openai(options, head.error().message);
  Result<std::string> body = co_await call.read_all();
  if (!body) co_return not_openai(options, body.error().message);
  co_return std::pair(std::move(*head), std::move(*body));
}

// The ids of the tokens of kWords, each once; none where the server does not cut texts.
std::vector<std::int64_t> token_ids(const net::HttpResponse& head, const std::string& body) {
  std::vector<std::int64_t> ids;
  const auto parsed = parse_json(body);
  if (head.status != 200 || !parsed) return ids;
  const json::array* tokens = field(*parsed, "tokens").if_array();
  if (tokens == nullptr) return ids;
  for (const json::value& token : *tokens) {
    if (!token.is_int64() || token.get_int64() < 0) return {};
    if (std::find(ids.begin(), ids.end(), token.get_int64()) == ids.end()) {
      ids.push_back(token.get_int64());
    }
  }
  return ids;
}

std::string text_of(const std::vector<std::uint32_t>& words) {
  std::string text;
  for (const std::uint32_t word : words) text.append(text.empty() ? "" : " ").append(kWords[word]);
  return text;
}

}  // namespace

net::HttpRequest make_request(const LoadOptions& options, std::string path, std::string body) {
  net::HttpRequest request;
  request.method = body.empty() ? "GET" : "POST";
  request.path = std::move(path);
  request.headers = {{"User-Agent", "tern"}, {"Accept", "*/*"}};
  if (!body.empty()) request.headers.push_back({"Content-Type", "application/json"});
  if (!options.api_key.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + options.api_key});
  }
  request.body = std::move(body);
  return request;
}

awaitable<Result<LoadServer>> look_at(asio::io_context& io, const LoadOptions& options) {
  LoadServer server;
  const net::HttpRequest request = make_request(options, "/v1/models");
  const auto reply = co_await ask(io, options, request);
  if (!reply) co_return reply.error();
  const auto& [head, body] = *reply;
  if (head.status == 401 || head.status == 403) {
    co_return Error{ErrorCode::kUsage,
                    "the server wants another key (" + std::to_string(head.status) + ": " +
                        message_of(body) + "); put it into $TERN_API_KEY",
                    options.target.url};
  }
  const auto parsed = parse_json(body);
  const json::array* models = parsed ? field(*parsed, "data").if_array() : nullptr;
  if (head.status != 200 || models == nullptr || models->empty()) {
    const std::string found = std::to_string(head.status) + " " + head.content_type;
    co_return not_openai(options, found);
  }
  server.model = options.model.empty() ? text_or(field((*models)[0], "id"), "") : options.model;
  if (options.chat) co_return server;
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < kWords.size(); ++i) all.push_back(i);
  const json::object wanted{{"content", text_of(all)}, {"add_special", false}};
  const net::HttpRequest cut = make_request(options, "/tokenize", json::serialize(wanted));
  const auto tokens = co_await ask(io, options, cut);
  if (tokens) server.tokens = token_ids(tokens->first, tokens->second);
  co_return server;
}

net::HttpRequest planned_request(const LoadOptions& options, const LoadServer& server,
                                 std::uint64_t index) {
  const LoadPlan plan(options.plan);
  json::object body{{"model", server.model},
                    {"max_tokens", plan.output_length(index)},
                    {"temperature", options.temperature},
                    {"seed", plan.seed(index)},
                    {"stream", true},
                    {"stream_options", {{"include_usage", true}}}};
  if (options.ignore_end) body["ignore_eos"] = true;
  const std::size_t words = server.tokens.empty() ? kWords.size() : server.tokens.size();
  const auto chosen = plan.prompt(index, static_cast<std::uint32_t>(words));
  if (options.chat) {
    body["messages"] = json::array{{{"role", "user"}, {"content", text_of(chosen)}}};
  } else if (server.tokens.empty()) {
    body["prompt"] = text_of(chosen);
  } else {
    json::array prompt;
    for (const std::uint32_t word : chosen) prompt.push_back(server.tokens[word]);
    body["prompt"] = std::move(prompt);
  }
  return make_request(options, options.chat ? "/v1/chat/completions" : "/v1/completions",
                      json::serialize(body));
}

awaitable<void> exchange(net::HttpCall& call, const net::HttpTarget& target,
                         const net::HttpRequest& request, const std::function<double()>& now,
                         RequestOutcome& outcome) {
  outcome.sent = now();
  const Result<void> connected = co_await call.connect(target);
  if (!connected) co_return fail(outcome, "connect", connected.error().message);
  const Result<void> sent = co_await call.send(request);
  if (!sent) co_return fail(outcome, sent.error());
  const Result<net::HttpResponse> head = co_await call.head();
  if (!head) co_return fail(outcome, head.error());
  if (head->status != 200) {
    const Result<std::string> body = co_await call.read_all();
    co_return fail(outcome, "http_" + std::to_string(head->status),
                   body ? message_of(*body) : body.error().message);
  }
  if (!head->content_type.starts_with("text/event-stream")) {
    co_return fail(outcome, "malformed", "expected text/event-stream, found " + head->content_type);
  }
  co_await read_events(call, now, outcome);
}

}  // namespace tern::diagnose
