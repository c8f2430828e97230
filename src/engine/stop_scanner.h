// Watches a stream of text for stop strings. Text that could be the start of one is held back until
// it is known not to be.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tern::engine {

class StopScanner {
 public:
  // Empty stop strings are ignored.
  explicit StopScanner(std::vector<std::string> stops);

  // Takes the next text and returns what can be shown. Once stopped(), everything from the earliest
  // stop string on is dropped and nothing more is returned.
  std::string push(std::string_view text);
  // What was held back, at the end of the stream.
  std::string finish();

  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace tern::engine
