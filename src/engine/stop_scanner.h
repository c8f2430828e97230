// Watches a stream of text for stop strings. Text that could be the start of one is held back until
// it is known not to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tern::engine {

class StopScanner {
 public:
  // Empty stop strings are ignored. With `shows_stop` the one that stopped is shown, too: of those
  // that begin where the earliest does, the shortest.
  explicit StopScanner(std::vector<std::string> stops, bool shows_stop = false);

  // Takes the next text and returns what can be shown. Once stopped(), everything from the earliest
  // stop string on, or behind it, is dropped and nothing more is returned.
  std::string push(std::string_view text);
  // What was held back, at the end of the stream.
  std::string finish();

  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  bool shows_stop_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace tern::engine
