// The time that a team of threads took together: from the first that began to the last that ended.
// One thread's own clock would not do: while it waits for a core, the others work on.
#pragma once

#include <algorithm>
#include <chrono>
#include <mutex>

namespace tern::diagnose {

// What time it is; a test has a clock of its own.
using TimePoint = std::chrono::steady_clock::time_point;
using Now = TimePoint (*)();

class Span {
 public:
  explicit Span(Now now) : now_(now) {}

  // Each thread calls both once.
  void begin() {
    const TimePoint now = now_();
    const std::scoped_lock lock(mutex_);
    first_ = std::min(first_, now);
  }
  void end() {
    const TimePoint now = now_();
    const std::scoped_lock lock(mutex_);
    last_ = std::max(last_, now);
  }

  // Once all threads have ended.
  double seconds() const { return std::chrono::duration<double>(last_ - first_).count(); }

 private:
  Now now_;
  std::mutex mutex_;
  TimePoint first_ = TimePoint::max();
  TimePoint last_ = TimePoint::min();
};

}  // namespace tern::diagnose
