// When a request that found the queue full should come again, by the pace of the last answers.
#pragma once

#include <chrono>
#include <cstddef>

namespace tern::engine {

class AnswerPace {
 public:
  // The engine was busy for so long, at the end of which so many answers ended that it computed.
  void note(std::size_t answered, double busy_seconds);
  // Until there is room in a queue of `queue` of which `waiting` wait: 1 to 60 seconds.
  std::chrono::seconds until_room(std::size_t waiting, std::size_t queue) const;

 private:
  double since_answer_ = 0.0;       // seconds busy since the last one ended
  double seconds_an_answer_ = 1.0;  // smoothed
};

}  // namespace tern::engine
