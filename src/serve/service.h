// The HTTP API of one model: which path is answered by what.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "net/http_server.h"
#include "serve/api_keys.h"
#include "serve/cors.h"
#include "serve/served_model.h"
#include "telemetry/telemetry.h"

namespace tern::serve {

struct ServiceOptions {
  bool own_admin = false;  // /metrics and /ready are for the administrators' address alone
  std::string build;       // version and commit, for /metrics and the log
  std::string openapi;     // the document
  // Of the server that asks it, for /metrics.
  std::shared_ptr<const net::ConnectionCounts> connections = {};
};

// What may change while the service runs.
struct ServicePolicy {
  // Of an answer, that a request may ask for, and of a request; else as much as there is.
  std::optional<std::uint32_t> most_tokens = {};
  std::optional<std::chrono::milliseconds> most_time = {};
  std::optional<std::uint32_t> default_max_tokens;  // of chats; else until the context is full
  int most_priority = 0;                            // that a request may ask for
  std::vector<ApiKey> keys;                         // none: everybody may ask
  Origins cors_origins;                             // none: no page of another origin may
  Hosts allowed_hosts;                              // beside those of the loopback, without keys
  bool log_content = false;                         // what is asked and answered, too
  bool plain_events = false;                        // see Call::plain_events()
  std::optional<std::chrono::sys_seconds> certificate_end;  // of TLS, for /metrics
};

// Where a request came in.
enum class Door { kPublic, kAdmin };

// Model, engine and telemetry outlive it.
class Service {
 public:
  Service(ServedModel model, engine::Engine& engine, telemetry::Telemetry& telemetry,
          ServiceOptions options);
  // Waits for all that is being read.
  ~Service();

  // For requests from now on.
  void set_policy(const ServicePolicy& policy);
  // Answers at once or later; any thread. Administrators need no key: who reaches their address is
  // one.
  void handle(std::shared_ptr<net::Exchange> exchange, Door door = Door::kPublic);
  // The reply to what the server refuses, of which `request` is as much as was read; its thread.
  net::HttpResponse refuse(const net::HttpError& error, const net::HttpRequest& request,
                           Door door = Door::kPublic);
  // Whether the engine makes progress or, where it has nothing to do, did when it was last asked
  // to.
  bool is_alive();
  // Settings were read again, and a policy set, or they were refused: for /metrics. Until then it
  // counts as good that the service began.
  void note_reload(bool good);
  // From now on /ready says that the server takes no more.
  void drain();
  // Reads no more: requests that wait for it get a 503 at once. Those that the engine has go on.
  void close();
  // Waits for those that are being read; nothing ends one. False where the time has run out before.
  bool wait_closed(std::chrono::steady_clock::time_point until);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  telemetry::Telemetry& telemetry_;
};

}  // namespace tern::serve
