#include "engine/answer_pace.h"

#include <gtest/gtest.h>

namespace tern::engine {
namespace {

using std::chrono::seconds;

TEST(AnswerPace, IsASecondAnAnswerAtFirst) {
  const AnswerPace pace;
  EXPECT_EQ(pace.until_room(0, 10), seconds(1));
  EXPECT_EQ(pace.until_room(9, 10), seconds(1));
  EXPECT_EQ(pace.until_room(10, 10), seconds(1));  // one has to begin
  EXPECT_EQ(pace.until_room(11, 10), seconds(2));
  EXPECT_EQ(pace.until_room(17, 10), seconds(8));
}

TEST(AnswerPace, TakesTheTimeSinceTheLastAnswersForThoseThatEnd) {
  AnswerPace pace;
  pace.note(0, 3.0);
  EXPECT_EQ(pace.until_room(10, 10), seconds(1));  // none ended yet
  pace.note(2, 9.0);                               // 12 seconds, 6 each: 1 + 0.2 * 5
  EXPECT_EQ(pace.until_room(10, 10), seconds(2));
  EXPECT_EQ(pace.until_room(14, 10), seconds(10));
  pace.note(1, 2.0);  // as long as it was
  EXPECT_EQ(pace.until_room(14, 10), seconds(10));
  pace.note(1, 0.5);  // 1.7
  EXPECT_EQ(pace.until_room(19, 10), seconds(17));
}

TEST(AnswerPace, IsAMinuteAtMost) {
  AnswerPace pace;
  EXPECT_EQ(pace.until_room(68, 10), seconds(59));
  EXPECT_EQ(pace.until_room(70, 10), seconds(60));
  pace.note(1, 1e9);
  EXPECT_EQ(pace.until_room(0, 10), seconds(60));
}

}  // namespace
}  // namespace tern::engine
