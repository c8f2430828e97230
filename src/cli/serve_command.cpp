// tern serve: one model behind an HTTP server, from its load to the last answer.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <memory>

#include "cli/build_info.h"
#include "cli/chosen_template.h"
#include "cli/command.h"
#include "cli/model_source.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/runtime.h"
#include "cli/serve_options.h"
#include "cli/signals.h"
#include "core/machine.h"
#include "format/gguf/fingerprint.h"
#include "schemas/embedded_schemas.h"
#include "serve/api_error.h"
#include "serve/call.h"
#include "serve/service.h"

namespace tern::cli {
namespace {

using std::chrono::steady_clock;

void say(const std::string& line) { write_stderr("tern: " + line + "\n"); }

// Pages for the requests that are computed at once, within the memory that there is.
Result<std::uint32_t> page_count(const Runtime& runtime, const ServeOptions& options) {
  const std::uint64_t page =
      runtime.backend->pool_bytes(runtime.model.plan(), options.compute.kv, 1);
  if (options.kv_mib != 0) {
    const std::uint64_t pages = (std::uint64_t{options.kv_mib} << 20) / page;
    if (pages > 0) return static_cast<std::uint32_t>(pages);
    return Error{
        ErrorCode::kUsage,
        fmt::format("expected at least {} MiB, found {}", (page >> 20) + 1, options.kv_mib),
        "--kv-memory"};
  }
  const std::uint32_t trained = runtime.model.config().context;
  const std::uint32_t context = options.context == 0 ? trained : options.context;
  const std::uint64_t wanted =
      std::uint64_t{backend::KvPool::pages_for(context)} * options.sequences;
  const std::uint64_t possible = available_memory() / 2 / page;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(std::min(wanted, possible), 1));
}

Result<std::unique_ptr<engine::Engine>> make_engine(const Runtime& runtime,
                                                    const ServeOptions& options,
                                                    telemetry::Telemetry& telemetry) {
  TERN_ASSIGN(const std::uint32_t pages, page_count(runtime, options));
  engine::EngineOptions wanted;
  wanted.queue = options.queue;
  wanted.scheduler = {.rows = std::max(options.rows, options.sequences + 1),
                      .beside = options.beside,
                      .stretch = options.stretch,
                      .sequences = options.sequences,
                      .pages = pages,
                      .context = options.context,
                      .available_memory = available_memory(),
                      .kv_type = options.compute.kv};
  return engine::Engine::create(runtime.model, runtime.tokenizer, wanted, telemetry);
}

// What --chat-template says, or the model's own, where it has one: not every model can chat.
Result<std::optional<ChosenTemplate>> chat_template(const Runtime& runtime,
                                                    const ServeOptions& options) {
  const format::GgufFile& file = runtime.model.file();
  if (options.chat_template.empty() && file.find("tokenizer.chat_template") == nullptr) {
    return std::optional<ChosenTemplate>();
  }
  TERN_ASSIGN(ChosenTemplate chosen,
              choose_template(options.chat_template, file, runtime.tokenizer));
  return std::optional(std::move(chosen));
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address.starts_with("[::1]") ||
         address.starts_with("unix:");
}

void greet(const net::HttpServer& server, const serve::ServedModel& model,
           const engine::Engine& engine) {
  const engine::EngineState state = engine.state();
  for (const std::string& address : server.addresses()) {
    say(fmt::format("serving {} on {}{}", printable(model.id),
                    address.starts_with("unix:") ? "" : "http://", address));
    if (is_loopback(address)) continue;
    say("warning: anybody who reaches " + address +
        " can use this model and see what it is asked: there are no keys and no encryption");
  }
  say(fmt::format("{} tokens a request, {} for all at once; {}", engine.context(),
                  std::uint64_t{state.pages} * backend::KvPool::kPageTokens,
                  model.chat_template ? "with a chat template" : "without a chat template"));
}

// Answers what runs, at most so long; a second signal ends it at once. Who is not answered then is
// told so.
void drain(Signals& signals, net::HttpServer& server, engine::Engine& engine,
           serve::Service& service, std::uint32_t seconds) {
  say(fmt::format("ending: no new requests; those at hand have {} s", seconds));
  service.drain();
  engine.close();
  server.close();
  const auto until = steady_clock::now() + std::chrono::seconds(seconds);
  while (steady_clock::now() < until) {
    const auto next = std::min(until, steady_clock::now() + std::chrono::milliseconds(50));
    if (engine.wait_idle(next) && server.wait_closed(next)) break;
    const auto signal = signals.wait(steady_clock::now());
    if (signal && *signal != SIGHUP) break;
  }
  const engine::EngineState state = engine.state();
  const std::size_t left = state.running + state.waiting;
  if (left > 0) say(fmt::format("ended {} answers early", left));
}

// Of what decides the bits of an answer: the program, the file and the type of keys.
std::string fingerprint(const Runtime& runtime, format::KvType kv) {
  return fmt::format("tern-{}-{}-{}", kVersion, kv == format::KvType::kF16 ? "f16" : "int8",
                     format::content_fingerprint(runtime.model.file()).substr(0, 12));
}

std::size_t longest_token(const text::Tokenizer& tokenizer) {
  std::size_t longest = 1;
  for (std::size_t i = 0; i < tokenizer.vocab_size(); ++i) {
    longest = std::max(longest, tokenizer.token_bytes(static_cast<text::TokenId>(i)).size());
  }
  return longest;
}

Result<void> open_log(const std::string& path, std::ofstream& file,
                      telemetry::Telemetry& telemetry) {
  if (path.empty()) return {};
  if (path == "-") {
    telemetry.add_sink(std::make_unique<telemetry::JsonLinesSink>(std::cerr));
    return {};
  }
  file.open(path, std::ios::binary | std::ios::app);
  if (!file) return Error{ErrorCode::kIo, "cannot open for writing", path};
  telemetry.add_sink(std::make_unique<telemetry::JsonLinesSink>(file));
  return {};
}

Result<ExitCode> serve(const ServeOptions& options) {
  TERN_ASSIGN(const std::string path, model_path(options.model));
  Signals signals;  // before threads are made
  std::ofstream log;
  telemetry::Telemetry telemetry;
  TERN_TRY(open_log(options.access_log, log, telemetry));
  Progress progress;
  TERN_ASSIGN(const Runtime runtime,
              load_runtime(path, options.compute, true, options.head, progress));
  progress.clear();
  TERN_ASSIGN(const std::unique_ptr<engine::Engine> engine,
              make_engine(runtime, options, telemetry));
  const std::string name = model_name(runtime.model);
  serve::ServedModel model{.id = options.id.empty() ? name : options.id,
                           .also = {name},
                           .model = runtime.model,
                           .tokenizer = runtime.tokenizer,
                           .chat_template = std::nullopt,
                           .fingerprint = fingerprint(runtime, options.compute.kv)};
  model.longest_text = std::size_t{engine->context()} * longest_token(runtime.tokenizer);
  TERN_ASSIGN(std::optional<ChosenTemplate> chosen, chat_template(runtime, options));
  if (chosen) {
    model.chat_template = std::move(chosen->chat);
    model.chat_stops = std::move(chosen->stops);
  }
  model.created = serve::seconds_since_epoch();
  serve::ServiceOptions wanted;
  if (options.max_tokens != 0) wanted.default_max_tokens = options.max_tokens;
  wanted.queue = options.queue;
  wanted.most_priority = options.priority;
  wanted.openapi = schemas::openapi_json();
  wanted.build = std::string(kVersion) + "+" + kGitCommit;
  serve::Service service(model, *engine, telemetry, wanted);
  net::HttpServerOptions http;
  http.listen = options.listen;
  http.refuse = [](const net::HttpError& error) {
    return serve::to_response(serve::api_error(error));
  };
  TERN_ASSIGN(const std::unique_ptr<net::HttpServer> server,
              net::HttpServer::start(http, [&](std::shared_ptr<net::Exchange> exchange) {
                service.handle(std::move(exchange));
              }));
  signals.take_over();
  greet(*server, model, *engine);
  while (signals.wait().value_or(SIGHUP) == SIGHUP) {  // which has nothing to read again yet
  }
  drain(signals, *server, *engine, service, options.drain_seconds);
  service.close();
  engine->stop();  // its last words go to clients that are still there
  server->wait_closed(steady_clock::now() + std::chrono::seconds(1));
  return ExitCode::kOk;
}

}  // namespace

Command add_serve_command(CLI::App& tern) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* parser = add_serve_options(tern, *options);
  return {parser, [options](Output&) { return serve(*options); }};
}

}  // namespace tern::cli
