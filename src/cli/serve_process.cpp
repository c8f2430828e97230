#include "cli/serve_process.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "arch/gguf_dialect.h"
#include "cli/access_log.h"
#include "cli/build_info.h"
#include "cli/descriptors.h"
#include "cli/exit_code.h"
#include "cli/key_file.h"
#include "cli/model_source.h"
#include "cli/model_watch.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/runtime.h"
#include "cli/serve_setup.h"
#include "cli/service_manager.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "engine/sequence.h"
#include "net/listen.h"
#include "schemas/embedded_schemas.h"
#include "serve/service.h"

namespace tern::cli {
namespace {

using std::chrono::steady_clock;

// A reader of standard error that has stopped stops no server.
void say(const std::string& line) {
  pollfd look{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&look, 1, 1000) > 0) write_stderr("tern: " + printable(line) + "\n");
}

bool is_loopback(std::string_view address) {
  if (is_https(address)) address.remove_prefix(std::string_view("https://").size());
  return address.starts_with("127.") || address.starts_with("[::1]") ||
         address.starts_with("unix:");
}

std::string url(const std::string& address) {
  return address.starts_with("unix:") || is_https(address) ? address : "http://" + address;
}

// What strangers could do there, if anything.
void warn(const std::string& address, bool has_keys) {
  if (is_loopback(address)) return;
  if (!has_keys && !is_https(address)) {
    say("WARNING: anybody who reaches " + address +
        " can use this model and see what others ask it: there are no keys (--api-keys) and no "
        "encryption (https://)");
  } else if (!has_keys) {
    say("warning: anybody who reaches " + address +
        " can use this model: there are no keys (--api-keys)");
  } else if (!is_https(address)) {
    say("warning: keys, questions and answers pass " + address +
        " in the clear: there is no encryption (https://)");
  }
}

// From then on clients may refuse to connect; before, there is time to do something about it.
void warn_of_end(const std::string& certificates, std::chrono::sys_seconds end) {
  constexpr auto kSoon = std::chrono::days(14);
  // In seconds, as the end: nanoseconds end in 2262, certificates may not.
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  if (end - now >= kSoon) return;
  const std::string date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(end));
  if (end <= now) {
    say(
        fmt::format("WARNING: {}: a certificate ended at {}: clients may refuse it; put a new one "
                    "there and send SIGHUP",
                    certificates, date));
  } else {
    say(fmt::format(
        "warning: {}: a certificate ends at {}, in {} days; put a new one there and send "
        "SIGHUP",
        certificates, date, std::chrono::floor<std::chrono::days>(end - now).count()));
  }
}

// For what is being read when no more is answered.
constexpr auto kLastRead = std::chrono::seconds(1);
// For administrators, the log and a reload, whatever clients hold.
constexpr std::size_t kSpareDescriptors = 16;

// Beyond what the system allows, connections would neither be taken nor told why.
void warn_of_descriptors(std::uint32_t connections) {
  constexpr std::uint64_t kOwn = 64;  // files, and connections that are turned away
  const std::uint64_t most = raise_descriptors();
  if (connections + kOwn <= most) return;
  say(
      fmt::format("warning: --max-connections {} needs {} open files, {} are allowed: raise that "
                  "(ulimit -n), or take fewer",
                  connections, connections + kOwn, most));
}

using Identity = std::shared_ptr<const net::TlsIdentity>;

// Read once for all addresses: they show the same.
Result<Identity> identity_of(const LiveOptions& live) {
  if (live.tls_cert.empty()) return Identity();
  return net::read_tls_identity({live.tls_cert, live.tls_key});
}

Result<serve::ServicePolicy> policy_of(const LiveOptions& live, const Identity& tls) {
  serve::ServicePolicy policy;
  if (tls) policy.certificate_end = net::end_of(*tls);
  if (live.max_tokens != 0) policy.default_max_tokens = live.max_tokens;
  if (live.answer != 0) policy.most_tokens = live.answer;
  if (live.answer_seconds != 0) policy.most_time = std::chrono::seconds(live.answer_seconds);
  policy.most_priority = live.priority;
  policy.cors_origins = live.cors_origins;
  policy.allowed_hosts = live.allowed_hosts;
  policy.log_content = live.log_prompts;
  policy.plain_events = live.plain_events;
  if (!live.api_keys.empty()) {
    TERN_ASSIGN(policy.keys, read_key_file(live.api_keys));
  }
  return policy;
}

net::HttpServerOptions http_options(const LiveOptions& live, Identity tls) {
  constexpr std::size_t kMiB = 1u << 20;
  using std::chrono::seconds;
  net::HttpServerOptions http;
  http.tls = std::move(tls);
  http.limits = {.head_bytes = std::size_t{live.head_kib} << 10,
                 .headers = live.headers,
                 .body_bytes = live.body_mib * kMiB};
  http.connections = live.connections;
  http.all_body_bytes = live.bodies_mib * kMiB;
  http.unread_bytes = live.unread_mib * kMiB;
  http.all_reply_bytes = live.replies_mib * kMiB;
  http.head_time = seconds(live.head_seconds);
  http.body_time = seconds(live.body_seconds);
  http.idle_time = seconds(live.idle_seconds);
  http.write_time = seconds(live.write_seconds);
  return http;
}

// What the load of a model is not to be waited for. The addresses are free again meanwhile: to keep
// them would keep nobody else out, who may bind what is not listened on.
Result<void> try_addresses(const ServeOptions& options) {
  for (const std::string& address : options.listen) {
    TERN_TRY(net::try_address(address));
  }
  if (options.admin_listen.empty()) return {};
  return net::try_address(options.admin_listen);
}

// A disk that is full leaves files empty.
Result<void> check_not_empty(const std::string& file) {
  std::error_code failed;
  if (file.empty() || std::filesystem::file_size(file, failed) != 0 || failed) return {};
  return Error{ErrorCode::kUsage, "the file is empty; all settings would be lost", file};
}

// What a reload never does, since it looks like an accident.
Result<void> check_reload(const LiveOptions& now, const LiveOptions& next,
                          const std::string& file) {
  TERN_TRY(check_not_empty(file));
  if (now.api_keys.empty() || !next.api_keys.empty()) return {};
  return Error{
      ErrorCode::kUsage,
      "the setting is gone, and everybody could ask; put it back, or start anew without it",
      "api-keys"};
}

// Built in the order of its members: each stands on those before it.
class ServeProcess {
 public:
  // `model` is the path of what the settings name.
  ServeProcess(std::string model, ServeConfig config, const GivenOptions& command_line,
               const std::string& file)
      : model_(std::move(model)),
        config_(std::move(config)),
        command_line_(command_line),
        file_(file) {}

  Result<void> start();
  // Errors: kIo for a model file that was changed. Does not return where a request is still read
  // at the end.
  Result<void> run();

 private:
  // Names of settings: what is new, and what would take a new start.
  struct Changes {
    std::vector<std::string> taken;
    std::vector<std::string> left;
    std::optional<std::chrono::sys_seconds> certificate_end;  // of what is in force
  };
  const ServeOptions& options() const { return config_.options; }
  const LiveOptions& live() const { return config_.options.live; }
  Result<std::unique_ptr<net::HttpServer>> listen(std::vector<std::string> where, serve::Door door,
                                                  const Identity& tls);
  void greet(const serve::ServedModel& model) const;
  void reload();
  Result<Changes> take_settings();
  void tell(const Changes& changes) const;
  std::string keep_settings(const Error& error);
  Result<void> look();
  void end(const Result<void>& outcome);
  void drain(std::uint32_t seconds);
  void tell_of_life() const;

  Signals signals_;  // before threads are made
  const ServiceManager manager_;
  const std::string model_;
  ServeConfig config_;
  const GivenOptions& command_line_;
  const std::string& file_;
  telemetry::Telemetry telemetry_;
  AccessLog* log_ = nullptr;  // telemetry_'s
  ModelWatch watch_;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<serve::Service> service_;
  const std::shared_ptr<net::ConnectionCounts> connections_ =
      std::make_shared<net::ConnectionCounts>();  // of server_
  bool said_starved_ = false;
  std::unique_ptr<net::HttpServer> admin_;  // none: what it has is where all else is
  std::unique_ptr<net::HttpServer> server_;
};

Result<void> ServeProcess::start() {
  TERN_ASSIGN(const Identity tls, identity_of(live()));
  TERN_ASSIGN(const serve::ServicePolicy policy, policy_of(live(), tls));
  TERN_ASSIGN(const LogFile log_file, open_log(live().access_log));
  TERN_TRY(try_addresses(options()));
  auto log = std::make_unique<AccessLog>(telemetry_.counter("log.dropped_lines"));
  log_ = log.get();
  log_->write_to(log_file);
  telemetry_.add_sink(std::move(log));
  TERN_ASSIGN(watch_, ModelWatch::open(model_));
  Progress progress;
  TERN_ASSIGN(Runtime runtime,
              load_runtime(model_, options().compute, true, options().head, progress));
  progress.clear();
  runtime_ = std::make_unique<Runtime>(std::move(runtime));
  TERN_ASSIGN(engine_, make_engine(*runtime_, options(), telemetry_));
  TERN_ASSIGN(const serve::ServedModel model, make_served_model(*runtime_, options(), *engine_));
  serve::ServiceOptions wanted;
  wanted.own_admin = !options().admin_listen.empty();
  wanted.openapi = schemas::openapi_json();
  wanted.connections = connections_;
  wanted.build = std::string(kVersion) + "+" + kGitCommit;
  service_ = std::make_unique<serve::Service>(model, *engine_, telemetry_, wanted);
  service_->set_policy(policy);
  if (wanted.own_admin) {
    TERN_ASSIGN(admin_, listen({options().admin_listen}, serve::Door::kAdmin, tls));
  }
  TERN_ASSIGN(server_, listen(options().listen, serve::Door::kPublic, tls));
  signals_.take_over();
  warn_of_descriptors(live().connections);
  if (tls) warn_of_end(live().tls_cert, net::end_of(*tls));
  greet(model);
  return {};
}

Result<std::unique_ptr<net::HttpServer>> ServeProcess::listen(std::vector<std::string> where,
                                                              serve::Door door,
                                                              const Identity& tls) {
  net::HttpServerOptions http = http_options(live(), tls);
  http.listen = std::move(where);
  http.unix_mode = options().socket_mode;
  if (door == serve::Door::kPublic) {
    http.counts = connections_;
    http.spare_descriptors = kSpareDescriptors;
  }
  http.refuse = [this, door](const net::HttpError& error, const net::HttpRequest& request) {
    return service_->refuse(error, request, door);
  };
  return net::HttpServer::start(http, [this, door](std::shared_ptr<net::Exchange> exchange) {
    service_->handle(std::move(exchange), door);
  });
}

void ServeProcess::greet(const serve::ServedModel& model) const {
  const engine::EngineState state = engine_->state();
  for (const std::string& address : server_->addresses()) {
    say(fmt::format("serving {} on {}", model.id, url(address)));
    warn(address, !live().api_keys.empty());
  }
  if (admin_) {
    const std::string& address = admin_->addresses().front();
    say(fmt::format("for administrators: {}/metrics, /ready", url(address)));
    if (!is_loopback(address)) {
      say("warning: anybody who reaches " + address + " can read them: they ask for no key");
    }
  }
  say(fmt::format("{} tokens a request, {} for all at once; {}", engine_->context(),
                  std::uint64_t{state.pages} * backend::KvPool::kPageTokens,
                  model.chat_template ? "with a chat template" : "without a chat template"));
}

void ServeProcess::reload() {
  manager_.reloading();
  const auto taken = take_settings();
  service_->note_reload(taken.ok());  // before it is said: who reads that may look
  if (taken) {
    tell(*taken);
  } else {
    say("reload: " + keep_settings(taken.error()));
  }
  manager_.ready();
}

// The log is opened again all the same: whoever has renamed it waits for that, and a setting that
// is wrong is no reason to fill the renamed one for ever.
std::string ServeProcess::keep_settings(const Error& error) {
  const std::string what = error.to_string();
  auto log_file = open_log(live().access_log);
  if (!log_file) {
    const std::string why = log_file.error().to_string();
    return (why == what ? what : what + "; " + why) + "; all stays as it was";
  }
  if (!*log_file) return what + "; all stays as it was";
  log_->write_to(std::move(*log_file));
  return what + "; the log was opened again, and all stays as it was";
}

// All of what is new, or nothing of it.
Result<ServeProcess::Changes> ServeProcess::take_settings() {
  TERN_ASSIGN(ServeConfig next, make_config(command_line_, file_));
  Changes changes;
  for (std::size_t i = 0; i < next.lines.size(); ++i) {
    ConfigLine& line = next.lines[i];
    if (line.text == config_.lines[i].text) continue;
    (line.is_live ? changes.taken : changes.left).push_back(line.name);
    if (!line.is_live) line = config_.lines[i];
  }
  ServeOptions options = config_.options;
  options.live = next.options.live;
  TERN_TRY(check_reload(live(), options.live, file_));
  if (auto fits = check(options); !fits) {  // beside what stays
    Error error = std::move(fits.error());
    if (!changes.left.empty()) {
      error.message += fmt::format(" ({} would stay as before until a new start)",
                                   fmt::join(changes.left, ", "));
    }
    return error;
  }
  TERN_ASSIGN(const Identity tls, identity_of(options.live));
  TERN_ASSIGN(const serve::ServicePolicy policy, policy_of(options.live, tls));
  TERN_ASSIGN(LogFile log_file, open_log(options.live.access_log));
  const net::HttpServerOptions http = http_options(options.live, tls);
  server_->reconfigure(http);
  if (admin_) admin_->reconfigure(http);
  service_->set_policy(policy);
  log_->write_to(std::move(log_file));
  config_ = {std::move(options), std::move(next.lines)};
  changes.certificate_end = policy.certificate_end;
  return changes;
}

void ServeProcess::tell(const Changes& changes) const {
  for (const std::string& name : changes.left) {
    say("reload: " + name + " stays as it was: it takes a new start");
  }
  for (const std::string& address : server_->addresses()) warn(address, !live().api_keys.empty());
  warn_of_descriptors(live().connections);
  if (changes.certificate_end) warn_of_end(live().tls_cert, *changes.certificate_end);
  say(changes.taken.empty() ? "reload: done; keys, certificates and the log were opened again"
                            : fmt::format("reload: done; new: {}", fmt::join(changes.taken, ", ")));
}

void ServeProcess::tell_of_life() const {
  if (service_->is_alive()) manager_.lives();
}

// What a server may suffer without anybody asking. A model that was changed beneath it ends it, and
// the answers at hand with it: each further token may be nonsense. A new start proves what is there
// now, or says what is wrong with it; a server that stayed, and only said that it is not ready,
// would go on answering whoever does not ask for that.
Result<void> ServeProcess::look() {
  if (const auto losses = log_->losses()) say(*losses);
  if (connections_->starved > 0 && !std::exchange(said_starved_, true)) {
    say("WARNING: nearly all files that the process may open are open: new connections wait; raise "
        "that (ulimit -n), or lower --max-connections (said once)");
  }
  return watch_.look();
}

Result<void> ServeProcess::run() {
  constexpr auto kLook = std::chrono::seconds(1);
  manager_.ready();
  const auto pause = manager_.watchdog();
  std::optional<steady_clock::time_point> life;  // its next sign, however many signals come before
  if (pause) life = steady_clock::now() + *pause;
  auto next_look = steady_clock::now() + kLook;
  Result<void> good;
  while (good) {
    const auto signal = signals_.wait(life ? std::min(next_look, *life) : next_look);
    if (signal && *signal != SIGHUP) break;
    if (signal) reload();
    if (life && steady_clock::now() >= *life) {
      tell_of_life();
      life = steady_clock::now() + *pause;
    }
    if (steady_clock::now() < next_look) continue;
    good = look();
    next_look = steady_clock::now() + kLook;
  }
  end(good);
  return good;
}

void ServeProcess::end(const Result<void>& outcome) {
  manager_.stopping();
  drain(outcome ? live().drain_seconds : 0);
  service_->close();
  tell_of_life();
  service_->wait_closed(steady_clock::now() + kLastRead);
  engine_->stop();  // its last words go to clients that are still there
  server_->wait_closed(steady_clock::now() + std::chrono::seconds(1));
  if (service_->wait_closed(steady_clock::now())) return;
  // Nothing ends a thread that reads, and what it uses has to stay: the process goes without it.
  say("ended while a request was being read: its client may get no answer");
  if (!outcome) say(outcome.error().to_string());
  server_.reset();
  admin_.reset();
  log_->close();
  std::_Exit(static_cast<int>(outcome ? ExitCode::kOk : exit_code(outcome.error().code)));
}

// Answers what runs, at most so long; a second signal ends it at once. Who is not answered then is
// told so.
void ServeProcess::drain(std::uint32_t seconds) {
  say(fmt::format("ending: no new requests; those at hand have {} s", seconds));
  service_->drain();
  engine_->close();
  server_->close();
  const auto until = steady_clock::now() + std::chrono::seconds(seconds);
  while (steady_clock::now() < until) {
    const auto next = std::min(until, steady_clock::now() + std::chrono::milliseconds(50));
    if (engine_->wait_idle(next) && server_->wait_closed(next)) break;
    const auto signal = signals_.wait(steady_clock::now());
    if (signal && *signal != SIGHUP) break;
    tell_of_life();
  }
  const engine::EngineState state = engine_->state();
  const std::size_t left = state.running + state.waiting;
  if (left > 0) say(fmt::format("ended {} answers early", left));
}

}  // namespace

Result<void> serve(ServeConfig config, const GivenOptions& command_line, const std::string& file) {
  TERN_ASSIGN(std::string model, model_path(config.options.model));
  ServeProcess process(std::move(model), std::move(config), command_line, file);
  TERN_TRY(process.start());
  return process.run();
}

Result<void> check_start(const ServeOptions& options, const std::string& file) {
  TERN_TRY(check_not_empty(file));
  TERN_ASSIGN(const Identity tls, identity_of(options.live));
  TERN_TRY(policy_of(options.live, tls));
  TERN_TRY(check_log(options.live.access_log));
  TERN_TRY(choose_tier(options.compute.tier));
  TERN_ASSIGN(const std::string path, model_path(options.model));
  TERN_ASSIGN(const format::GgufFile model, open_model(path));
  TERN_ASSIGN(const arch::DecoderConfig config, arch::read_decoder_config(model));
  TERN_TRY(engine::checked_context(options.context, config.context));
  TERN_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::from_gguf(model));
  TERN_TRY(chat_template(model, tokenizer, options));
  return {};
}

}  // namespace tern::cli
