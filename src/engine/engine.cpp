#include "engine/engine.h"

#include <string>
#include <utility>

namespace tern::engine {

Result<std::unique_ptr<Engine>> Engine::create(const model::Model& model,
                                               const text::Tokenizer& tokenizer,
                                               const EngineOptions& options,
                                               telemetry::Telemetry& telemetry) {
  if (options.queue < 1) {
    return Error{ErrorCode::kUsage, "expected at least 1 request, found 0", "queue"};
  }
  TERN_ASSIGN(std::unique_ptr<Scheduler> scheduler,
              Scheduler::create(model, tokenizer, options.scheduler, telemetry));
  return std::unique_ptr<Engine>(new Engine(options, std::move(scheduler)));
}

Engine::Engine(const EngineOptions& options, std::unique_ptr<Scheduler> scheduler)
    : options_(options), scheduler_(std::move(scheduler)) {
  publish();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Engine::~Engine() { stop(); }

void Engine::stop() {
  close();
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Result<void> Engine::submit(Request request) {
  std::vector<Request> one;
  one.push_back(std::move(request));
  return submit(std::move(one));
}

Result<void> Engine::submit(std::vector<Request> requests) {
  std::vector<std::unique_ptr<Task>> tasks;
  std::size_t places = 0;  // beside those of others that they take
  for (Request& request : requests) {
    places += request.follows ? 0 : 1;
    TERN_ASSIGN(std::unique_ptr<Task> task, scheduler_->prepare(std::move(request)));
    tasks.push_back(std::move(task));
  }
  const std::lock_guard lock(mutex_);
  if (state_.closed && places > 0) {
    return Error{ErrorCode::kOverloaded, "no more requests are taken", "engine"};
  }
  const std::size_t found = state_.running + state_.waiting;
  // Between two steps one waits for a place that is free.
  if (places > 0 && found + places > most_requests()) {
    return Error{ErrorCode::kOverloaded,
                 "expected at most " + std::to_string(most_requests()) +
                     " requests that are computed or wait, found " + std::to_string(found) +
                     " and " + std::to_string(places) + " more; come again later",
                 "engine"};
  }
  if (found == 0) last_step_ = Clock::now();  // it has rested until now
  for (auto& task : tasks) inbox_.push_back(std::move(task));
  state_.waiting += tasks.size();
  changed_.notify_all();
  return {};
}

void Engine::close() {
  const std::lock_guard lock(mutex_);
  state_.closed = true;
}

bool Engine::wait_idle(Clock::time_point until) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, until,
                             [&] { return state_.running == 0 && state_.waiting == 0; });
}

EngineState Engine::state() const {
  const std::lock_guard lock(mutex_);
  EngineState state = state_;
  if (state.running + state.waiting > 0) state.since_step = Clock::now() - last_step_;
  return state;
}

std::chrono::seconds Engine::retry_after(std::size_t requests) const {
  const std::lock_guard lock(mutex_);
  return pace_.until_room(state_.running + state_.waiting + requests - 1, most_requests());
}

void Engine::publish() {
  state_.running = scheduler_->running();
  state_.waiting = scheduler_->waiting() + inbox_.size();
  state_.pages = scheduler_->pool().pages();
  state_.free_pages = scheduler_->pool().free_pages();
}

void Engine::note_step(std::size_t answered) {
  const auto now = Clock::now();
  pace_.note(answered, std::chrono::duration<double>(now - last_step_).count());
  last_step_ = now;
  ++state_.steps;
}

void Engine::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    for (auto& task : inbox_) scheduler_->add(std::move(task));
    inbox_.clear();
    if (stop.stop_requested()) break;
    if (scheduler_->idle()) {
      publish();
      changed_.notify_all();
      changed_.wait(lock, stop, [&] { return !inbox_.empty(); });
      last_step_ = Clock::now();
      continue;
    }
    const std::uint64_t before = scheduler_->answered();
    lock.unlock();
    scheduler_->step([this] {
      const std::lock_guard admitted(mutex_);
      publish();
    });
    lock.lock();
    note_step(scheduler_->answered() - before);
    publish();
  }
  lock.unlock();
  scheduler_->cancel_all();
  lock.lock();
  publish();
  changed_.notify_all();
}

}  // namespace tern::engine
