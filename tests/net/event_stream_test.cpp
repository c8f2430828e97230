#include "net/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern::net {
namespace {

using ::testing::ElementsAre;
using Events = std::vector<std::string>;

Events read(std::string_view bytes, std::size_t piece) {
  EventStreamReader reader;
  Events all;
  for (std::size_t i = 0; i < bytes.size(); i += piece) {
    const auto events = reader.feed(bytes.substr(i, piece));
    EXPECT_TRUE(events.ok());
    all.insert(all.end(), events->begin(), events->end());
  }
  return all;
}

TEST(EventStream, EventsAreTheSameHoweverTheirBytesAreCut) {
  const std::pair<std::string_view, Events> cases[] = {
      {"data: a\n\ndata: b\n\n", {"a", "b"}},
      {"data: a\r\n\r\ndata: b\r\n\r\n", {"a", "b"}},
      {"data: a\r\rdata: b\r\r", {"a", "b"}},
      {"data: a\ndata: b\n\n", {"a\nb"}},
      {"data:a\n\ndata:  a\n\n", {"a", " a"}},
      {"data\n\ndata:\n\n", {"", ""}},
      {"data\ndata\n\n", {"\n"}},
      {"id: 7\nevent: x\n: a comment\nretry: 3\ndata: {\"a\": 1}\nDATA: no\n\n", {"{\"a\": 1}"}},
      {"id: 7\n\n\n\n: ping\n\n", {}},
      {"data: a: b\n\n", {"a: b"}},
      {"data: without its end\n", {}},
      {"data: a\r\n\r\n\r\ndata: b\n\r\n", {"a", "b"}},
  };
  for (const auto& [bytes, expected] : cases) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}, bytes.size()}) {
      EXPECT_EQ(read(bytes, piece), expected) << bytes << " by " << piece;
    }
  }
}

TEST(EventStream, AnEventWithoutEndIsRefused) {
  EventStreamReader reader;
  const std::string line = "data: " + std::string(1 << 20, 'x') + "\n";
  Result<Events> outcome = Events{};
  for (int i = 0; i < 20 && outcome; ++i) outcome = reader.feed(line);
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kMalformed);
  EXPECT_THAT(outcome.error().message, ::testing::HasSubstr("16 MiB"));
}

}  // namespace
}  // namespace tern::net
