#include "serve/service.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "core/machine.h"
#include "core/shortened.h"
#include "serve/call.h"
#include "serve/completion.h"
#include "serve/embedding.h"
#include "serve/gate.h"
#include "serve/metrics.h"
#include "serve/probe.h"
#include "serve/request_fields.h"
#include "serve/token_requests.h"
#include "text/utf8.h"

namespace tern::serve {

namespace json = boost::json;
using CallPtr = std::shared_ptr<Call>;

namespace {

// Of first tokens and whole requests, to what a long prompt before a large model takes.
constexpr double kSeconds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,  2.5,
                               5,    10,    30,   60,  120,  300, 600};
constexpr double kBetweenTokens[] = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08,
                                     0.16,  0.32,   0.64,  1,    2.5,  5,    10};

// Browsers ask beforehand whether a page may send JSON, but not for a body without a type: of a
// page, none is taken without one.
Answered read_body(Call& call) {
  const std::string_view type = call.request().header("content-type");
  const bool of_a_page = !call.request().header("origin").empty();
  if ((of_a_page || !type.empty()) && !is_media_type(type, "application/json")) {
    return ApiError{415, "expected a body of application/json, found " +
                             (type.empty() ? "no Content-Type" : text::replace_invalid_utf8(type))};
  }
  return parse_body(call.take_body());
}

// What throws ends this request, and not the thread that answers others, too.
template <typename Work>
void guarded(const CallPtr& call, const Work& work) {
  try {
    work();
  } catch (const std::exception& thrown) {
    call->give_up(thrown);
  }
}

}  // namespace

class Service::Impl {
 public:
  Impl(ServedModel model, engine::Engine& engine, telemetry::Telemetry& telemetry,
       ServiceOptions options)
      : model_(std::move(model)),
        engine_(engine),
        telemetry_(telemetry),
        options_(std::move(options)),
        probe_(make_probe(engine, model_.pooling)),
        latency_{telemetry.histogram("http.first_token_seconds", kSeconds),
                 telemetry.histogram("http.between_tokens_seconds", kBetweenTokens)},
        answer_seconds_(telemetry.histogram("http.answer_seconds", kSeconds)),
        embedding_seconds_(telemetry.histogram("http.embedding_seconds", kSeconds)) {
    make_counters(telemetry);
    for (int i = 0; i < 2; ++i) readers_.emplace_back([this] { to_read_.run(); });
  }
  ~Impl() { close(); }

  void set_policy(const ServicePolicy& policy);
  void handle(const CallPtr& call, Door door);
  net::HttpResponse refuse(const net::HttpError& error, const net::HttpRequest& request,
                           Door door) {
    net::HttpResponse response = refusal(error, request, telemetry_);
    if (door == Door::kAdmin) return response;
    for (auto& header : cors_headers(request, rules()->policy.cors_origins)) {
      response.headers.push_back(std::move(header));
    }
    return response;
  }
  bool is_alive();
  void note_reload(bool good) {
    reload_good_ = good;
    if (good) settings_from_ = seconds_since_epoch();
  }
  void drain() { draining_ = true; }
  void close() {
    {
      const std::lock_guard lock(close_mutex_);
      closed_ = true;
    }
    to_read_.poll();  // what waits is told so, however long the readers take
  }
  bool wait_closed(std::chrono::steady_clock::time_point until) {
    std::unique_lock lock(close_mutex_);
    return all_read_.wait_until(lock, until, [&] { return reading_ == 0; });
  }

 private:
  struct Rules;
  // By the rules that the call came under, whatever is in force when it is read.
  using Action = void (Impl::*)(const CallPtr&, const Rules&);
  struct Route {
    std::string_view method;
    std::string_view path;
    Action action;
    bool reads = false;  // a body, for which there is time on another thread
    bool open = false;   // to everybody, without a key
    bool admin = false;  // where there is an address for administrators, there alone
  };
  static const std::array<Route, 12> kRoutes;

  // A policy in force, with the keys as they are looked for.
  struct Rules {
    ServicePolicy policy;
    KeyRing keys;
  };
  std::shared_ptr<const Rules> rules() const {
    const std::lock_guard lock(rules_mutex_);
    return rules_;
  }
  const Route* route_of(const CallPtr& call, Door door) const;
  void later(const CallPtr& call, std::function<void()> work);
  void note_model(const CallPtr& call, const CompletionRequest& request) const;

  void models(const CallPtr& call, const Rules&) {
    call->reply({{"object", "list"}, {"data", json::array{model_card()}}});
  }
  void model(const CallPtr& call, const Rules&);
  void health(const CallPtr& call, const Rules&) { call->reply({{"status", "ok"}}); }
  void ready(const CallPtr& call, const Rules&);
  void metrics(const CallPtr& call, const Rules& rules);
  void openapi(const CallPtr& call, const Rules&) {
    call->reply_text("application/json", options_.openapi);
  }
  void chat(const CallPtr& call, const Rules& rules) { complete(call, rules, read_chat_request); }
  void text(const CallPtr& call, const Rules& rules) {
    complete(call, rules, read_completion_request);
  }
  void embeddings(const CallPtr& call, const Rules& rules);
  void tokenize(const CallPtr& call, const Rules&) { answer(call, serve::tokenize); }
  void detokenize(const CallPtr& call, const Rules&) { answer(call, serve::detokenize); }
  void apply_template(const CallPtr& call, const Rules&) { answer(call, serve::apply_template); }

  CompletionDefaults defaults(const Rules& rules) const;
  template <typename Read>
  void complete(const CallPtr& call, const Rules& rules, Read read);
  void answer(const CallPtr& call, Answered (*make)(const json::object&, const ServedModel&));
  json::object model_card() const;
  // The body, or nothing where the call has failed by it.
  std::optional<json::object> body_of(const CallPtr& call) const;

  const ServedModel model_;
  engine::Engine& engine_;
  telemetry::Telemetry& telemetry_;
  const ServiceOptions options_;
  const std::shared_ptr<Probe> probe_;
  const Latency latency_;
  telemetry::Histogram& answer_seconds_;
  telemetry::Histogram& embedding_seconds_;
  const std::optional<double> start_ = process_start_seconds();  // of the process
  mutable std::mutex rules_mutex_;
  std::shared_ptr<const Rules> rules_ = std::make_shared<Rules>();
  std::atomic<bool> draining_{false};
  std::atomic<bool> reload_good_{true};
  std::atomic<std::int64_t> settings_from_{seconds_since_epoch()};
  const std::shared_ptr<std::atomic<bool>> computes_ = std::make_shared<std::atomic<bool>>(true);
  std::mutex close_mutex_;
  std::condition_variable all_read_;
  std::size_t reading_ = 0;          // what to_read_ has; close_mutex_ held
  std::atomic<bool> closed_{false};  // set with close_mutex_: then nothing comes to to_read_
  boost::asio::io_context to_read_{2};
  std::vector<std::jthread> readers_;
  // Goes first, and lets them end.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> is_open_{
      to_read_.get_executor()};
};

const std::array<Service::Impl::Route, 12> Service::Impl::kRoutes{{
    {.method = "GET", .path = "/health", .action = &Impl::health, .open = true},
    {.method = "GET", .path = "/ready", .action = &Impl::ready, .open = true, .admin = true},
    {.method = "GET", .path = "/metrics", .action = &Impl::metrics, .admin = true},
    {.method = "GET", .path = "/openapi.json", .action = &Impl::openapi, .open = true},
    {"GET", "/v1/models", &Impl::models},
    {"GET", "/v1/models/", &Impl::model},
    {"POST", "/v1/chat/completions", &Impl::chat, true},
    {"POST", "/v1/completions", &Impl::text, true},
    {"POST", "/v1/embeddings", &Impl::embeddings, true},
    {"POST", "/tokenize", &Impl::tokenize, true},
    {"POST", "/detokenize", &Impl::detokenize, true},
    {"POST", "/apply-template", &Impl::apply_template, true},
}};

void Service::Impl::set_policy(const ServicePolicy& policy) {
  const auto before = rules();
  const auto next =
      std::make_shared<const Rules>(Rules{policy, KeyRing(policy.keys, before->keys)});
  const std::lock_guard lock(rules_mutex_);
  rules_ = next;
}

// The route, or nothing where the call has failed.
const Service::Impl::Route* Service::Impl::route_of(const CallPtr& call, Door door) const {
  const net::HttpRequest& request = call->request();
  const std::string method = request.method == "HEAD" ? "GET" : request.method;
  const Route* found = nullptr;
  for (const Route& route : kRoutes) {
    const bool prefix = route.path.ends_with('/');
    const bool is_here =
        door == Door::kAdmin ? route.admin || route.open : !(route.admin && options_.own_admin);
    const bool fits = prefix ? request.path.starts_with(route.path) : request.path == route.path;
    if (is_here && fits) found = &route;
  }
  if (found == nullptr) {
    call->fail({404, "no such path: " + request.path + "; /openapi.json lists them",
                "not_found_error", "", "not_found"});
    return nullptr;
  }
  if (method == found->method) return found;
  const std::string allowed = found->method == "GET" ? "GET, HEAD" : "POST";
  call->fail({405, "expected " + allowed + ", found " + request.method, "invalid_request_error", "",
              "method_not_allowed"},
             {{"Allow", allowed}});
  return nullptr;
}

void Service::Impl::handle(const CallPtr& call, Door door) {
  const auto rules = this->rules();
  const Origins& origins = rules->policy.cors_origins;
  if (door == Door::kPublic) call->add_headers(cors_headers(call->request(), origins));
  const bool is_keyless = door == Door::kAdmin || rules->keys.empty();
  const bool keys_would_help = door == Door::kPublic;
  if (is_keyless && !admit_host(*call, origins, rules->policy.allowed_hosts, keys_would_help)) {
    return;
  }
  if (door == Door::kPublic) {
    if (auto allowed = preflight(call->request(), origins)) return call->reply(std::move(*allowed));
  }
  const Route* route = route_of(call, door);
  if (route == nullptr) return;
  const bool asks_for_key = door == Door::kPublic && !route->open;
  if (asks_for_key && !admit(*call, rules->keys, route->reads)) return;
  if (closed_) return call->fail(draining());
  call->log_content(rules->policy.log_content);
  call->plain_events(rules->policy.plain_events);
  if (!route->reads) return (this->*route->action)(call, *rules);
  later(call, [this, call, rules, action = route->action] {
    if (closed_) return call->fail(draining());
    (this->*action)(call, *rules);
  });
}

// On a thread that may take its time, or, where those have ended, at once. Nothing is done for a
// client that has left meanwhile.
void Service::Impl::later(const CallPtr& call, std::function<void()> work) {
  auto guarded_work = [call, work = std::move(work)] {
    guarded(call, [&] { call->gone().stop_requested() ? call->fail(client_left()) : work(); });
  };
  {
    const std::lock_guard lock(close_mutex_);
    if (!closed_) {
      boost::asio::post(to_read_, [this, todo = std::move(guarded_work)] {
        todo();
        const std::lock_guard done(close_mutex_);
        if (--reading_ == 0) all_read_.notify_all();
      });
      ++reading_;
      return;
    }
  }
  guarded_work();
}

json::object Service::Impl::model_card() const {
  json::array endpoints{"/v1/completions"};
  if (model_.chat_template) {
    endpoints.push_back("/v1/chat/completions");
    endpoints.push_back("/apply-template");
  }
  if (model_.pooling) endpoints.push_back("/v1/embeddings");
  endpoints.push_back("/tokenize");
  endpoints.push_back("/detokenize");
  json::object capabilities{
      {"modalities", json::object{{"input", json::array{"text"}}, {"output", json::array{"text"}}}},
      {"endpoints", std::move(endpoints)}};
  return {{"id", model_.id},
          {"object", "model"},
          {"created", model_.created},
          {"owned_by", "tern"},
          {"context_length", engine_.context()},
          {"capabilities", std::move(capabilities)}};
}

void Service::Impl::model(const CallPtr& call, const Rules&) {
  const std::string id = call->request().path.substr(std::string_view("/v1/models/").size());
  if (model_.answers_to(id)) return call->reply(model_card());
  call->fail({404, "no model \"" + shortened(id) + "\" here; this server has \"" + model_.id + "\"",
              "not_found_error", "model", "model_not_found"});
}

void Service::Impl::ready(const CallPtr& call, const Rules&) {
  const engine::EngineState state = engine_.state();
  const auto reply = [call, state](const char* status, unsigned code) {
    guarded(call, [&] {
      call->reply({{"status", status}, {"running", state.running}, {"waiting", state.waiting}},
                  code);
    });
  };
  if (draining_) return reply("draining", 503);
  probe_->ask([reply](bool computes) { computes ? reply("ready", 200) : reply("stalled", 503); });
}

// By what is known: the answer to what is asked here comes with the next look.
bool Service::Impl::is_alive() {
  probe_->ask([computes = computes_](bool found) { *computes = found; });
  return *computes_;
}

void Service::Impl::metrics(const CallPtr& call, const Rules& rules) {
  const engine::EngineState state = engine_.state();
  const auto number = [](auto value) { return static_cast<double>(value); };
  const double used = number(state.pages - state.free_pages) / number(state.pages);
  std::vector<telemetry::Gauge> gauges{
      {"engine.running", "Answers, and texts of embeddings, that are being computed.",
       number(state.running)},
      {"engine.waiting", "Answers, and texts of embeddings, that wait to be computed.",
       number(state.waiting)},
      {"engine.kv_pages", "Pages for keys and values.", number(state.pages)},
      {"engine.kv_use", "The share of them in use.", used},
      {"engine.since_step_seconds", "Since the last step, while there is something to do.",
       std::chrono::duration<double>(state.since_step).count()},
      {"config.last_reload_success",
       "1, or 0 where the settings were refused when they were last read again.",
       reload_good_ ? 1.0 : 0.0},
      {"config.last_reload_success_time_seconds",
       "When the settings in force were read, since 1970-01-01T00:00:00Z.",
       number(settings_from_.load())},
      {"build_info", "What answers.", 1.0, {{"version", options_.build}, {"model", model_.id}}},
  };
  add_process_metrics(gauges, start_);
  if (options_.connections) add_connection_metrics(gauges, *options_.connections);
  if (const auto end = rules.policy.certificate_end) {
    gauges.push_back({"tls.certificate_end_seconds",
                      "When the first of the certificates ends, since 1970-01-01T00:00:00Z.",
                      number(end->time_since_epoch().count())});
  }
  add_key_metrics(gauges, rules.keys);
  call->reply_text("text/plain; version=0.0.4; charset=utf-8", metrics_text(telemetry_, gauges));
}

std::optional<json::object> Service::Impl::body_of(const CallPtr& call) const {
  const std::string_view coding = call->request().header("content-encoding");
  if (!coding.empty() && !is_media_type(coding, "identity")) {
    call->fail({415, "expected a body without Content-Encoding, found " +
                         text::replace_invalid_utf8(coding) + "; send it as it is"},
               {{"Accept-Encoding", "identity"}});
    return std::nullopt;
  }
  auto body = read_body(*call);
  if (auto* object = std::get_if<json::object>(&body)) return std::move(*object);
  call->fail(std::get<ApiError>(body));
  return std::nullopt;
}

// For a log with content: all that decides the answer and is not in the body.
void Service::Impl::note_model(const CallPtr& call, const CompletionRequest& request) const {
  if (!call->logs_content()) return;
  call->note("version", options_.build);
  call->note("model", model_.id);
  call->note("system_fingerprint", model_.fingerprint_of(request.chat));
  call->note("context", std::uint64_t{engine_.context()});
  call->note("seed", request.answer.sampling.seed);
  call->note("created", static_cast<std::uint64_t>(request.created));
  if (request.answer.max_tokens)
    call->note("max_tokens", std::uint64_t{*request.answer.max_tokens});
  if (request.chat) call->note("chat_template", "sha256:" + model_.chat_template_sha256);
}

CompletionDefaults Service::Impl::defaults(const Rules& rules) const {
  CompletionDefaults defaults;
  defaults.max_tokens = rules.policy.default_max_tokens;
  defaults.most_tokens = rules.policy.most_tokens;
  defaults.most_time = rules.policy.most_time;
  defaults.context = engine_.context();
  defaults.most_answers = std::min<std::size_t>(defaults.most_answers, engine_.most_requests());
  defaults.most_priority = rules.policy.most_priority;
  defaults.seed = std::random_device{}();
  defaults.created = seconds_since_epoch();
  return defaults;
}

template <typename Read>
void Service::Impl::complete(const CallPtr& call, const Rules& rules, Read read) {
  call->measure(answer_seconds_);
  const auto body = body_of(call);
  if (!body) return;
  CompletionDefaults defaults = this->defaults(rules);
  std::optional<EventId> resume;
  if (const auto last = call->request().header("last-event-id"); !last.empty()) {
    resume = EventId::parse(last);
    if (!resume) {
      return call->fail({400, "Last-Event-ID: expected the id of an event of such an answer",
                         "invalid_request_error", "Last-Event-ID"});
    }
    defaults.seed = resume->seed;
    defaults.created = resume->created;
  }
  auto request = read(*body, model_, defaults);
  if (auto* error = std::get_if<ApiError>(&request)) return call->fail(*error);
  auto& good = std::get<CompletionRequest>(request);
  if (resume) {
    const auto error = cannot_go_on(*resume, good, model_, engine_.context());
    if (error) return call->fail(*error);
  }
  note_model(call, good);
  std::make_shared<Completion>(call, model_, engine_, latency_, std::move(good), std::move(resume))
      ->start();
}

void Service::Impl::embeddings(const CallPtr& call, const Rules& rules) {
  call->measure(embedding_seconds_);
  const auto body = body_of(call);
  if (!body) return;
  auto request = read_embedding_request(*body, model_, defaults(rules));
  if (auto* error = std::get_if<ApiError>(&request)) return call->fail(*error);
  auto& good = std::get<EmbeddingRequest>(request);
  std::make_shared<Embedding>(call, model_, engine_, std::move(good), [this, call](auto work) {
    later(call, std::move(work));
  })->start();
}

void Service::Impl::answer(const CallPtr& call,
                           Answered (*make)(const json::object&, const ServedModel&)) {
  const auto body = body_of(call);
  if (!body) return;
  const Answered made = make(*body, model_);
  if (const auto* error = std::get_if<ApiError>(&made)) return call->fail(*error);
  call->reply(std::get<json::object>(made));
}

Service::Service(ServedModel model, engine::Engine& engine, telemetry::Telemetry& telemetry,
                 ServiceOptions options)
    : impl_(std::make_unique<Impl>(std::move(model), engine, telemetry, std::move(options))),
      telemetry_(telemetry) {}
Service::~Service() = default;

void Service::set_policy(const ServicePolicy& policy) { impl_->set_policy(policy); }

void Service::handle(std::shared_ptr<net::Exchange> exchange, Door door) {
  const auto call = std::make_shared<Call>(std::move(exchange), telemetry_);
  guarded(call, [&] { impl_->handle(call, door); });
}

net::HttpResponse Service::refuse(const net::HttpError& error, const net::HttpRequest& request,
                                  Door door) {
  return impl_->refuse(error, request, door);
}

void Service::note_reload(bool good) { impl_->note_reload(good); }
bool Service::is_alive() { return impl_->is_alive(); }
void Service::drain() { impl_->drain(); }
void Service::close() { impl_->close(); }
bool Service::wait_closed(std::chrono::steady_clock::time_point until) {
  return impl_->wait_closed(until);
}

}  // namespace tern::serve
