// Ctrl-C as a request to stop: the first asks politely, the second ends the process at once.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace tern::cli {

// While it lives, SIGINT goes to `stop`. Make it before other threads, which inherit its signal
// mask. Where the caller ignores SIGINT (nohup, background jobs) it stays ignored.
class Interrupt {
 public:
  explicit Interrupt(std::stop_source stop);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  bool happened() const { return happened_; }

 private:
  void wait_for_signals();

  std::stop_source stop_;
  std::atomic<bool> happened_{false};
  std::atomic<bool> finished_{false};
  std::thread thread_;  // of which sigwait() makes a place where anything may be called
};

}  // namespace tern::cli
