// Ctrl-C as a call of a function instead of the end of the process.
#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <thread>

namespace tern::cli {

// While it lives, each SIGINT calls a function, on a thread of its own, where anything may be
// called. Make it before other threads, which inherit its signal mask. Where the caller ignores
// SIGINT (nohup, background jobs) it stays ignored.
class SigintWatch {
 public:
  explicit SigintWatch(std::function<void()> on_sigint);
  ~SigintWatch();
  SigintWatch(const SigintWatch&) = delete;
  SigintWatch& operator=(const SigintWatch&) = delete;

 private:
  void wait_for_signals();

  std::function<void()> on_sigint_;
  std::atomic<bool> finished_{false};
  std::thread thread_;  // of which sigwait() makes such a place
};

// Ends the process as SIGINT does where nobody watches. For the function of a SigintWatch.
void die_of_sigint();

// Ctrl-C as a request to stop: the first asks politely, the second ends the process at once.
class Interrupt {
 public:
  explicit Interrupt(std::stop_source stop);

  bool happened() const { return happened_; }

 private:
  std::stop_source stop_;
  std::atomic<bool> happened_{false};
  SigintWatch watch_;
};

}  // namespace tern::cli
