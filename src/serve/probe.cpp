#include "serve/probe.h"

#include <new>
#include <optional>
#include <utility>

namespace tern::serve {

void Probe::ask(Tell tell) {
  const engine::EngineState state = engine_.state();
  const bool moves = state.since_step <= times_.stalled;
  std::vector<Tell> told;
  bool computes = moves;
  bool begins = false;
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    const bool is_alone = runs_ && state.running + state.waiting <= 1;
    if (is_alone && now - begun_ > times_.token) {
      computes = false;
      told = std::exchange(waiting_, {});
    } else if (moves && is_alone) {
      waiting_.push_back(std::move(tell));
      return;
    } else if (!runs_ && state.running + state.waiting == 0 && !state.closed) {
      begins = now - begun_ > times_.fresh;
      computes = good_;
    }
    if (begins) {
      runs_ = true;
      begun_ = now;
      waiting_.push_back(std::move(tell));
    } else {
      told.push_back(std::move(tell));
    }
  }
  for (const Tell& each : told) each(computes);
  if (!begins) return;
  try {
    if (!submit()) end(engine_.state().closed);  // then it is not known, and no matter
  } catch (const std::bad_alloc&) {
    end(false);
  }
}

Result<void> Probe::submit() {
  engine::Request request = token_;
  request.on_update = [self = shared_from_this()](const engine::Update& update) {
    if (update.last()) self->end(!update.failed);
  };
  return engine_.submit(std::move(request));
}

void Probe::end(bool good) {
  std::vector<Tell> told;
  {
    const std::lock_guard lock(mutex_);
    runs_ = false;
    good_ = good;
    told = std::exchange(waiting_, {});
  }
  for (const Tell& each : told) each(good);
}

std::shared_ptr<Probe> make_probe(engine::Engine& engine, std::optional<arch::Pooling> pooling) {
  engine::Request token;
  token.prompt = {0};
  token.answer.max_tokens = 1;
  token.pooling = pooling;
  token.counts = false;
  return std::make_shared<Probe>(Probe::Engine{[&engine] { return engine.state(); },
                                               [&engine](engine::Request request) {
                                                 return engine.submit(std::move(request));
                                               }},
                                 std::move(token), Probe::Times());
}

}  // namespace tern::serve
