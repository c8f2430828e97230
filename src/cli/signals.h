// SIGTERM, SIGINT and SIGHUP of a program that serves until it is told to end.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace tern::cli {

// Make it before other threads, which inherit its signal mask. Until take_over(), SIGINT and
// SIGTERM end the process at once, as they do without it; a SIGHUP is kept for wait().
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // From now on signals are kept for wait().
  void take_over();
  // The next one, or nothing at that time.
  std::optional<int> wait(std::chrono::steady_clock::time_point until);

 private:
  void end_early();

  std::atomic<bool> taken_over_{false};
  std::atomic<bool> hung_up_{false};  // early, and wait() has not said so yet
  std::thread early_;
};

}  // namespace tern::cli
