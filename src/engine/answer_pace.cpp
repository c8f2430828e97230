#include "engine/answer_pace.h"

#include <algorithm>
#include <cmath>

namespace tern::engine {

void AnswerPace::note(std::size_t answered, double busy_seconds) {
  constexpr double kWeight = 0.2;  // of the newest
  since_answer_ += busy_seconds;
  if (answered == 0) return;
  const double seconds = since_answer_ / static_cast<double>(answered);
  seconds_an_answer_ += kWeight * (seconds - seconds_an_answer_);
  since_answer_ = 0.0;
}

std::chrono::seconds AnswerPace::until_room(std::size_t waiting, std::size_t queue) const {
  const std::size_t answers = waiting < queue ? 1 : waiting - queue + 1;
  const double seconds = std::ceil(static_cast<double>(answers) * seconds_an_answer_);
  return std::chrono::seconds(static_cast<int>(std::clamp(seconds, 1.0, 60.0)));
}

}  // namespace tern::engine
