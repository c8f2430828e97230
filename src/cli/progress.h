// A line on the terminal that says how far a long step is, and leaves nothing behind.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace tern::cli {

// Silent where standard error is no terminal, and for the first moments, so that quick steps do
// not flicker. One thread at a time.
class Progress {
 public:
  Progress();
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::string_view step, std::uint64_t done, std::uint64_t total);
  // Takes the line away. Call before anything else is written.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  bool enabled_;
  bool visible_ = false;
  Clock::time_point next_;
};

// "812 MB/s, 14 s left"
std::string rate_text(std::uint64_t done, std::uint64_t left, double seconds);

}  // namespace tern::cli
