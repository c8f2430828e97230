// The engine: requests in from any thread, answers out, computed by one thread that it owns.
//
// The queue of requests that wait for a place is bounded: beyond it submit() refuses, and says when
// to come again. Model, tokenizer and telemetry outlive the engine.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/result.h"
#include "engine/answer_pace.h"
#include "engine/scheduler.h"

namespace tern::engine {

struct EngineOptions {
  SchedulerOptions scheduler;
  std::uint32_t queue = 256;  // most requests that wait while all places are taken
};

// At one moment; the numbers need not fit together.
struct EngineState {
  std::size_t running = 0;  // requests that are computed
  std::size_t waiting = 0;  // requests that are not, those that were set back included
  std::uint32_t pages = 0;  // for keys and values
  std::uint32_t free_pages = 0;
  std::uint64_t steps = 0;
  bool closed = false;           // no more requests are taken
  Clock::duration since_step{};  // since the last step or, where there is none to do, zero
};

class Engine {
 public:
  // Errors: those of Scheduler::create; kUsage for a queue of none.
  static Result<std::unique_ptr<Engine>> create(const model::Model& model,
                                                const text::Tokenizer& tokenizer,
                                                const EngineOptions& options,
                                                telemetry::Telemetry& telemetry);
  ~Engine();  // stop()

  std::uint32_t context() const { return scheduler_->context(); }
  // That it takes at once while it has none: places and queue.
  std::size_t most_requests() const { return std::size_t{scheduler_->places()} + options_.queue; }

  // Takes requests, all of them or none, whose updates come from the engine's thread and may come
  // before this returns. Errors: those of Scheduler::prepare; kOverloaded where the queue has no
  // room for all, or after close(), unless they follow others.
  Result<void> submit(std::vector<Request> requests);
  Result<void> submit(Request request);
  // Takes no more requests.
  void close();
  // Ends all requests: each is told that it was cancelled. Nothing is computed any more.
  void stop();
  // Waits until all are answered. False where the time has run out before.
  bool wait_idle(Clock::time_point until);

  EngineState state() const;
  // How long so many that were refused should wait, by the pace of the last answers: 1 to 60
  // seconds.
  std::chrono::seconds retry_after(std::size_t requests = 1) const;

 private:
  Engine(const EngineOptions& options, std::unique_ptr<Scheduler> scheduler);

  void run(const std::stop_token& stop);
  // With mutex_ held:
  void publish();
  void note_step(std::size_t answered);

  EngineOptions options_;
  std::unique_ptr<Scheduler> scheduler_;  // the thread's, but for what any thread may call

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<std::unique_ptr<Task>> inbox_;
  EngineState state_;
  Clock::time_point last_step_ = Clock::now();
  AnswerPace pace_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace tern::engine
