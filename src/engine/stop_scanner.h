// Watches a stream of text for stop strings. Text that could be the start of one is held back until
// it is known not to be.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tern::engine {

class StopScanner {
 public:
  // Empty stop strings are ignored. The first `shown` of them are shown where they stop.
  explicit StopScanner(std::vector<std::string> stops, std::size_t shown = 0);

  // Takes the next text and returns what can be shown. Once stopped(), everything from the earliest
  // stop string on is dropped, or behind it where that is shown, and nothing more is returned. Of
  // those that begin there the shortest counts. No stop string counts that is complete with a text
  // that may not stop.
  std::string push(std::string_view text, bool may_stop = true);
  // What was held back, at the end of the stream.
  std::string finish();

  bool stopped() const { return stopped_; }

 private:
  struct Stop {
    std::string text;
    bool shown;
  };

  std::vector<Stop> stops_;
  std::string held_;
  std::size_t early_ = 0;  // of it, from texts that might not stop
  bool stopped_ = false;
};

}  // namespace tern::engine
