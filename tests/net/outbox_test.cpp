// Replies for which there is no memory: what the client reads is whole, or ends with its
// connection.
#include "net/outbox.h"

#include <gtest/gtest.h>

#include <new>

#include "support/most_allocated.h"

namespace tern::net {
namespace {

constexpr std::size_t kLarge = 1u << 20;
constexpr std::size_t kLittle = kLarge / 2;

class OutboxTest : public testing::Test {
 protected:
  int wakes_ = 0;
  Outbox outbox_{{.most_unread = kLarge, .chunks = true, .with_body = true},
                 MemoryShare(std::make_shared<MemoryPot>(kLarge)),
                 [this](bool) { ++wakes_; }};
};

TEST_F(OutboxTest, AReplyThatThrowsLeavesNoHeadBehind) {
  const HttpResponse large{200, "text/plain", std::string(kLarge, 'x')};
  {
    const test::MostAllocated most(kLittle);
    EXPECT_THROW(outbox_.reply(large), std::bad_alloc);
  }
  EXPECT_EQ(outbox_.take().bytes, "");
  outbox_.drop();
  const Outbox::Taken taken = outbox_.take();
  EXPECT_TRUE(taken.bytes.starts_with("HTTP/1.1 500 ")) << taken.bytes;
  EXPECT_TRUE(taken.bytes.ends_with("\r\n\r\nthe request was dropped\n")) << taken.bytes;
  EXPECT_TRUE(taken.ended);
  EXPECT_EQ(wakes_, 1);
}

TEST_F(OutboxTest, AHeadThatThrowsHasNotBegun) {
  HttpResponse large{200, "text/plain", ""};
  large.headers.push_back({"X-Large", std::string(kLarge, 'x')});
  {
    const test::MostAllocated most(kLittle);
    EXPECT_THROW(outbox_.begin(large), std::bad_alloc);
  }
  outbox_.write("a part of no reply");
  EXPECT_EQ(outbox_.take().bytes, "");
  outbox_.reply({503, "text/plain", "no memory\n"});
  const Outbox::Taken taken = outbox_.take();
  EXPECT_TRUE(taken.bytes.starts_with("HTTP/1.1 503 ")) << taken.bytes;
  EXPECT_TRUE(taken.bytes.ends_with("\r\n\r\nno memory\n")) << taken.bytes;
}

// The last to do so is a destructor.
TEST_F(OutboxTest, DroppedWithoutAnyMemoryTheConnectionIsClosed) {
  bool threw = false;
  {
    const test::MostAllocated most(0);
    try {
      outbox_.drop();
    } catch (const std::bad_alloc&) {
      threw = true;
    }
  }
  EXPECT_FALSE(threw);
  const Outbox::Taken taken = outbox_.take();
  EXPECT_EQ(taken.bytes, "");
  EXPECT_TRUE(taken.ended);
  EXPECT_TRUE(taken.close);
  EXPECT_EQ(wakes_, 1);
}

TEST_F(OutboxTest, DroppedInTheMiddleTheConnectionIsClosed) {
  outbox_.begin({200, "text/plain", ""});
  EXPECT_FALSE(outbox_.take().ended);
  outbox_.drop();
  const Outbox::Taken taken = outbox_.take();
  EXPECT_EQ(taken.bytes, "");
  EXPECT_TRUE(taken.ended);
  EXPECT_TRUE(taken.close);
  EXPECT_EQ(wakes_, 2);
}

}  // namespace
}  // namespace tern::net
