// The time that a team of threads took together: from the first that began to the last that ended.
// One thread's own clock would not do: while it waits for a core, the others work on.
#pragma once

#include <algorithm>
#include <chrono>
#include <mutex>

namespace tern::diagnose {

class Span {
 public:
  using Clock = std::chrono::steady_clock;

  // Each thread calls both once.
  void begin() {
    const auto now = Clock::now();
    const std::scoped_lock lock(mutex_);
    first_ = std::min(first_, now);
  }
  void end() {
    const auto now = Clock::now();
    const std::scoped_lock lock(mutex_);
    last_ = std::max(last_, now);
  }

  // Once all threads have ended.
  double seconds() const { return std::chrono::duration<double>(last_ - first_).count(); }

 private:
  std::mutex mutex_;
  Clock::time_point first_ = Clock::time_point::max();
  Clock::time_point last_ = Clock::time_point::min();
};

}  // namespace tern::diagnose
