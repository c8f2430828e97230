// The HTTP API of one model: which path is answered by what.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "net/http_server.h"
#include "serve/served_model.h"
#include "telemetry/telemetry.h"

namespace tern::serve {

struct ServiceOptions {
  std::optional<std::uint32_t> default_max_tokens;  // of chats; else until the context is full
  std::uint32_t queue = 256;  // of the engine: more answers than that cannot be asked for at once
  int most_priority = 0;      // that a request may ask for
  std::string build;          // version and commit, for /metrics
  std::string openapi;        // the document
};

// Model, engine and telemetry outlive it.
class Service {
 public:
  Service(ServedModel model, engine::Engine& engine, telemetry::Telemetry& telemetry,
          ServiceOptions options);
  ~Service();

  // Answers at once or later; any thread.
  void handle(std::shared_ptr<net::Exchange> exchange);
  // From now on /ready says that the server takes no more.
  void drain();
  // Waits for requests that are being read, and reads no more; the engine is of no more use to it.
  // Those that the engine has go on.
  void close();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
  telemetry::Telemetry& telemetry_;
};

}  // namespace tern::serve
