// Puts a load on an OpenAI-compatible server: streamed requests, by the clock or by clients that
// wait for their answers, from one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "core/result.h"
#include "diagnose/load/outcome.h"
#include "diagnose/load/plan.h"
#include "net/http_client.h"

namespace tern::diagnose {

struct LoadOptions {
  net::HttpTarget target;
  std::string api_key;  // empty: none is sent
  std::string model;    // empty: the first that the server lists
  bool chat = false;    // chats, whose lengths are words, instead of completions
  double temperature = 0.0;
  bool ignore_end = true;  // answers have their whole length
  PlanOptions plan;
  // Open loop: so many requests a second, whatever the server does. Else closed loop:
  std::optional<double> rate;
  // each of which sends its next request once it has its answer or, where that failed, after a
  // pause
  std::uint32_t clients = 1;
  std::optional<std::uint64_t> requests;       // all in all; one of both
  std::optional<double> seconds;               // in which requests are sent
  std::chrono::milliseconds timeout{600'000};  // of a request
  std::stop_token stop;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

// Errors, before any load: kIo for a server that cannot be reached, kUsage where it wants another
// key, kUnsupported for one that is no OpenAI server. Requests that fail are outcomes.
Result<LoadOutcome> run_load(const LoadOptions& options);

}  // namespace tern::diagnose
