// Where a stream is to go on: ids of events, written and read.
#include <gtest/gtest.h>

#include "serve/completion_request.h"

namespace tern::serve {
namespace {

TEST(EventIds, GoThereAndBack) {
  const EventId id{"chatcmpl-0a", 18446744073709551615u, 253'402'300'799, {3, 0, 4294967295u}};
  EXPECT_EQ(id.to_string(), "chatcmpl-0a.18446744073709551615.253402300799.3-0-4294967295");
  const auto read = EventId::parse(id.to_string());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->to_string(), id.to_string());
  EXPECT_TRUE(EventId::parse(".0.0.0"));
  EventId longest = id;  // of as many answers as a request may have, in a head of 16 KiB
  longest.sent.assign(CompletionDefaults().most_answers, 4294967295u);
  EXPECT_EQ(EventId::parse(longest.to_string()).value().sent, longest.sent);
  for (const char* wrong : {"",
                            "a",
                            "a.1",
                            "a.1.",
                            "a.1.2",
                            "a.1.2.",
                            "a.1.2.3-",
                            "a.1.2.-3",
                            "a.1.2.3x",
                            "a.x.2.3",
                            "a.1.x.3",
                            "a..2.3",
                            "a.1..3",
                            "a.-1.2.3",
                            "a.1.-2.3",
                            "A.1.2.3",
                            "a{.1.2.3",
                            "a`.1.2.3",
                            "a/.1.2.3",
                            "a:.1.2.3",
                            "a.1.2.3.4",
                            "a.18446744073709551616.1.2",
                            "a.1.253402300800.2",
                            "a.1.2.4294967296"}) {
    EXPECT_FALSE(EventId::parse(wrong)) << wrong;
  }
  for (const char* edge : {"az.1.2.3", "09.1.2.3"}) EXPECT_TRUE(EventId::parse(edge)) << edge;
  std::string long_id(4091, 'a');
  long_id += ".1.2.3";
  EXPECT_TRUE(EventId::parse(std::string_view(long_id).substr(1)));
  EXPECT_FALSE(EventId::parse(long_id));
}

}  // namespace
}  // namespace tern::serve
