// Whether an engine computes: by its heartbeat while it has something to do, and while it has not
// by a token that it is asked for now and then.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace tern::serve {

// Any thread; nothing blocks.
class Probe : public std::enable_shared_from_this<Probe> {
 public:
  struct Engine {
    std::function<engine::EngineState()> state;
    std::function<Result<void>(engine::Request)> submit;  // engine::Engine's
  };
  struct Times {
    // Long enough for the longest step, a prompt's; an engine that stands longer has stopped.
    std::chrono::milliseconds stalled{60'000};
    std::chrono::milliseconds fresh{10'000};  // so long a token stands for those after it
    std::chrono::milliseconds token{10'000};  // most time of one that is computed alone
  };
  // `token` is the request that computes it, but for `on_update`.
  Probe(Engine engine, engine::Request token, Times times)
      : engine_(std::move(engine)), token_(std::move(token)), times_(times) {}

  using Tell = std::function<void(bool computes)>;
  // Tells at once or, where a token is computed for it, then, from the engine's thread. Where that
  // does not come, whoever asks once its time is over is told, and all before.
  void ask(Tell tell);

 private:
  using Clock = engine::Clock;

  Result<void> submit();
  void end(bool good);

  const Engine engine_;
  const engine::Request token_;
  const Times times_;
  std::mutex mutex_;
  bool runs_ = false;          // a token is being computed
  bool good_ = true;           // the last one was
  Clock::time_point begun_{};  // when it was asked for
  std::vector<Tell> waiting_;
};

// Of the engine itself: one token of a prompt of one or, with `pooling`, its vector.
std::shared_ptr<Probe> make_probe(engine::Engine& engine, std::optional<arch::Pooling> pooling);

}  // namespace tern::serve
