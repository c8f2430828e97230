// What a server bears: time, numbers, bytes, and its own end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/server_fixture.h"

namespace tern::net {
namespace {

using namespace tern::test;
using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr milliseconds kShort{100};
constexpr std::chrono::hours kLong{1};

// All times long, but for those that a test shortens.
HttpServerOptions patient() {
  HttpServerOptions options;
  options.head_time = options.body_time = options.idle_time = options.write_time = kLong;
  return options;
}

TEST_F(HttpServerTest, WaitsForAHeadNoLongerThanItsTime) {
  HttpServerOptions options = patient();
  options.head_time = kShort;
  start(echo, options);
  Client client = connect();
  client.send("GET / HTTP/1.1\r\n");
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
}

TEST_F(HttpServerTest, BytesNowAndThenBuyNoTime) {
  HttpServerOptions options = patient();
  options.head_time = kShort;
  start(echo, options);
  Client client = connect();
  client.send("GET /");
  // Until the server has had enough of it, which the tenth of its pauses would be far from.
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(milliseconds(10));
    client.send("a");
    return counts_->open == 0;
  }));
}

TEST_F(HttpServerTest, EmptyLinesBuyNoTime) {
  HttpServerOptions options = patient();
  options.idle_time = kShort;
  start(echo, options);
  Client client = connect();
  ASSERT_TRUE(eventually([&] { return counts_->open == 1; }));
  EXPECT_TRUE(eventually([&] {
    std::this_thread::sleep_for(milliseconds(10));
    client.send("\r\n");
    return counts_->open == 0;
  }));
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(HttpServerTest, WaitsForABodyNoLongerThanItsTime) {
  HttpServerOptions options = patient();
  options.body_time = kShort;
  start(echo, options);
  Client client = connect();
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
}

TEST_F(HttpServerTest, ABodyThatBeganBeforeTheLastReplyHasItsOwnTime) {
  HttpServerOptions options = patient();
  options.head_time = kShort;
  start(shelf_.handler(), options);
  Client client = connect();
  client.send(get("/") + "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
  shelf_.take()->reply(text("first"));
  EXPECT_EQ(client.read_reply(), reply_of("first"));
  std::this_thread::sleep_for(5 * kShort);
  client.send("b");
  const auto exchange = shelf_.take();
  ASSERT_TRUE(exchange);
  exchange->reply(text("second"));
  EXPECT_EQ(client.read_reply(), reply_of("second"));
}

TEST_F(HttpServerTest, WaitsForARequestNoLongerThanItsTime) {
  HttpServerOptions options = patient();
  options.idle_time = kShort;
  start(echo, options);
  Client client = connect();
  client.send(get("/"));
  EXPECT_EQ(client.read_all(), reply_of("GET / "));
  EXPECT_FALSE(client.timed_out());
}

TEST_F(HttpServerTest, TheTimeOfAReplyIsNotTheClients) {
  HttpServerOptions options;
  options.head_time = options.body_time = options.idle_time = options.write_time = kShort;
  start(shelf_.handler(), options);
  Client client = connect();
  client.send(get("/"));
  auto exchange = shelf_.take();
  std::this_thread::sleep_for(5 * kShort);
  EXPECT_FALSE(exchange->gone().stop_requested());
  exchange->reply(text("late"));
  EXPECT_EQ(client.read_reply(), reply_of("late"));
}

TEST_F(HttpServerTest, LeavesAClientThatDoesNotReadInTime) {
  HttpServerOptions options = patient();
  options.write_time = kShort;
  options.unread_bytes = std::size_t{1} << 30;
  start(shelf_.handler(), options);
  Client client = connect(4096);
  client.send(get("/"));
  auto exchange = shelf_.take();
  exchange->reply(text(std::string(32u << 20, 'x')));
  EXPECT_TRUE(eventually([&] { return exchange->gone().stop_requested(); }));
  EXPECT_TRUE(eventually([&] { return counts_->open == 0; }));
}

// Often enough, but for 20 seconds.
TEST_F(HttpServerTest, LeavesAClientThatReadsTooSlowly) {
  HttpServerOptions options = patient();
  options.write_time = std::chrono::seconds(2);
  options.least_rate = std::size_t{1} << 30;
  start(shelf_.handler(), options);
  Client client = connect();
  client.send(get("/"));
  auto exchange = shelf_.take();
  exchange->reply(text(std::string(128u << 20, 'x')));
  std::size_t got = 0;
  for (std::size_t size = 1; size > 0; got += size) {
    std::this_thread::sleep_for(milliseconds(5));
    size = client.read_some(32u << 10).size();
  }
  EXPECT_TRUE(exchange->gone().stop_requested());
  EXPECT_GT(got, 0u);
  EXPECT_LT(got, 128u << 20);
}

TEST_F(HttpServerTest, LeavesAClientThatLeavesTooMuchUnread) {
  HttpServerOptions options = patient();
  options.unread_bytes = 1u << 20;
  start(shelf_.handler(), options);
  Client client = connect(4096);
  client.send(get("/"));
  auto exchange = shelf_.take();
  exchange->begin(text(""));
  const std::string part(64u << 10, 'x');
  int parts = 0;
  EXPECT_TRUE(eventually([&] {
    exchange->write(part);
    return ++parts > 10'000 || exchange->gone().stop_requested();
  }));
  EXPECT_GT(parts, 16);
  EXPECT_LE(parts, 10'000);
  EXPECT_TRUE(eventually([&] { return counts_->open == 0; }));
}

TEST_F(HttpServerTest, AWholeReplyMayBeAsLongAsItIs) {
  HttpServerOptions options = patient();
  options.unread_bytes = 1000;
  start([](const auto& exchange) { exchange->reply(text(std::string(5u << 20, 'x'))); }, options);
  Client client = connect();
  client.send(get("/"));
  EXPECT_EQ(client.read_reply(), reply_of(std::string(5u << 20, 'x')));
}

TEST_F(HttpServerTest, LongRepliesOfAllTogetherHaveABound) {
  HttpServerOptions options = patient();
  options.unread_bytes = 1u << 20;
  options.all_reply_bytes = 40u << 20;
  start(shelf_.handler(), options);
  Client slow = connect(4096);
  slow.send(get("/"));
  auto unread = shelf_.take();
  ASSERT_EQ(unread->reserve(32u << 20), Room::kYes);
  unread->reply(text(std::string(32u << 20, 'x')));
  Client second = connect();
  second.send(get("/"));
  auto exchange = shelf_.take();
  EXPECT_EQ(exchange->reserve(9u << 20), Room::kNotNow);
  EXPECT_EQ(exchange->reserve(41u << 20), Room::kNever);
  EXPECT_EQ(exchange->reserve(1u << 20), Room::kYes);  // as short as the part of a stream may be
  EXPECT_EQ(exchange->reserve(8u << 20), Room::kYes);
  Client third = connect();
  third.send(get("/"));
  auto other = shelf_.take();
  EXPECT_EQ(other->reserve(2u << 20), Room::kNotNow);
  EXPECT_EQ(exchange->reserve(1u << 20), Room::kYes);  // another one, for which none is kept
  EXPECT_EQ(other->reserve(2u << 20), Room::kYes);
  other->reply(text("done"));
  exchange->reply(text("done"));
  EXPECT_EQ(second.read_reply(), reply_of("done"));
  // What was sent or reaches nobody has no share any more; the connection goes on.
  slow.reset();
  second.send(get("/"));
  auto next = shelf_.take();
  EXPECT_TRUE(eventually([&] { return next->reserve(40u << 20) == Room::kYes; }));
}

TEST_F(HttpServerTest, TurnsAwayOneConnectionTooMany) {
  HttpServerOptions options = patient();
  options.connections = 2;
  start(echo, options);
  std::vector<Client> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(connect());
    clients.back().send(get("/"));
    EXPECT_EQ(clients.back().read_reply(), reply_of("GET / "));
  }
  Client third = connect();
  third.send(get("/"));
  EXPECT_THAT(third.read_all(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  EXPECT_EQ(counts_->open, 2u);
  EXPECT_EQ(counts_->refused, 1u);
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return counts_->open == 1; }));
  Client fourth = connect();
  fourth.send(get("/"));
  EXPECT_EQ(fourth.read_reply(), reply_of("GET / "));
}

// Those that are told so take room as well.
TEST_F(HttpServerTest, TurnsAwayNoMoreThanSomeAtOnce) {
  HttpServerOptions options = patient();
  options.connections = 1;
  options.least_rate = 1;  // what they send lets them stay
  start(echo, options);
  Client first = connect();
  first.send(get("/"));
  EXPECT_EQ(first.read_reply(), reply_of("GET / "));
  std::vector<Client> others;
  int told = 0;
  for (int i = 0; i < 100; ++i) {
    others.push_back(connect());
    others.back().send(std::string(1000, 'x'));
    told += others.back().read_until("\r\n").empty() ? 0 : 1;
  }
  EXPECT_EQ(told, 64);
  EXPECT_EQ(counts_->open, 1u);
  EXPECT_EQ(counts_->refused, 100u);
}

TEST_F(HttpServerTest, CloseLetsRepliesEnd) {
  start(shelf_.handler(), patient());
  Client idle = connect();
  Client cut = connect();
  cut.send("GET / HT");
  Client waiting = connect();
  Client streaming = connect();
  waiting.send(get("/"));
  auto first = shelf_.take();
  streaming.send(get("/") + get("/not/any/more"));
  auto second = shelf_.take();
  second->begin(text(""));
  EXPECT_THAT(streaming.read_until("\r\n\r\n"), HasSubstr("chunked"));
  ASSERT_TRUE(eventually([&] { return counts_->open == 4; }));

  server_->close();
  EXPECT_EQ(idle.read_all(), "");
  cut.half_close();  // what has begun is waited for, and this never comes
  EXPECT_THAT(cut.read_all(), HasSubstr("closed in the middle of a request"));
  EXPECT_FALSE(server_->wait_closed(std::chrono::steady_clock::now() + milliseconds(10)));
  EXPECT_FALSE(connect().connected());
  first->reply(text("done"));
  EXPECT_EQ(waiting.read_all(), reply_of("done", "Connection: close\r\n"));
  second->write("a");
  second->end();
  EXPECT_EQ(streaming.read_all(), "1\r\na\r\n0\r\n\r\n");
  EXPECT_TRUE(server_->wait_closed(in_a_minute()));
  EXPECT_EQ(counts_->open, 0u);
  server_->close();
}

TEST_F(HttpServerTest, EndsWithConnectionsOpen) {
  start(shelf_.handler(), patient());
  Client idle = connect();
  Client cut = connect();
  cut.send("GET / HT");
  Client waiting = connect();
  waiting.send(get("/"));
  auto exchange = shelf_.take();
  Client gone = connect();
  gone.send(get("/"));
  auto left = shelf_.take();
  gone.half_close();
  EXPECT_TRUE(eventually([&] { return left->gone().stop_requested(); }));
  Client slow = connect(4096);
  slow.send(get("/"));
  auto unread = shelf_.take();
  unread->reply(text(std::string(32u << 20, 'x')));
  ASSERT_TRUE(eventually([&] { return counts_->open == 5; }));

  const auto begin = std::chrono::steady_clock::now();
  server_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(idle.read_all() + cut.read_all() + waiting.read_all() + gone.read_all(), "");
  // Exchanges outlive it.
  EXPECT_TRUE(exchange->gone().stop_requested());
  exchange->reply(text("to nobody"));
  left->begin(text(""));
  left->write("to nobody");
}

TEST_F(HttpServerTest, BodiesOfAllTogetherHaveABound) {
  HttpServerOptions options = patient();
  options.all_body_bytes = 150'000;
  start(shelf_.handler(), options);
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
  const std::string body(100'000, 'x');
  Client first = connect();
  first.send(head + body);
  auto held = shelf_.take();
  Client second = connect();
  second.send(head + body);
  EXPECT_THAT(second.read_all(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  // A body that is taken is no longer the server's, unless who takes it keeps its share.
  EXPECT_EQ(held->take_body(false).size(), 100'000u);
  Client third = connect();
  third.send(head + body);
  auto dropped = shelf_.take();
  dropped->reply(text("done"));
  dropped.reset();  // and so is that of an exchange that has gone
  Client fourth = connect();
  fourth.send(head + body);
  shelf_.take()->reply(text("done"));
  EXPECT_EQ(fourth.read_reply(), reply_of("done"));
}

TEST_F(HttpServerTest, ABodyThatIsKeptKeepsItsShare) {
  HttpServerOptions options = patient();
  options.all_body_bytes = 150'000;
  start(shelf_.handler(), options);
  const std::string request =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x');
  Client first = connect();
  first.send(request);
  auto held = shelf_.take();
  EXPECT_EQ(held->take_body(true).size(), 100'000u);
  Client second = connect();
  second.send(request);
  EXPECT_THAT(second.read_all(), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  held->reply(text("done"));
  held.reset();
  Client third = connect();
  third.send(request);
  shelf_.take()->reply(text("done"));
  EXPECT_EQ(third.read_reply(), reply_of("done"));
}

// Of a connection that is closed with bytes unread, the other side loses the reply.
TEST_F(HttpServerTest, AClientThatSendsOnReadsWhyItsBodyIsRefused) {
  HttpServerOptions options = patient();
  options.limits.body_bytes = 10;
  start(echo, options);
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n";
  Client fast = connect();
  ASSERT_TRUE(fast.send(head + std::string(8'000'000, 'x')));
  EXPECT_THAT(fast.read_all(), StartsWith("HTTP/1.1 413 "));
  Client slow = connect();
  ASSERT_TRUE(slow.send(head));
  for (int i = 0; i < 15; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    ASSERT_TRUE(slow.send(std::string(4000, 'x')));
  }
  EXPECT_THAT(slow.read_all(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(HttpServerTest, ARefusedBodyIsReadForAsLongAsABodyMayTake) {
  HttpServerOptions options = patient();
  options.limits.body_bytes = 10;
  options.body_time = std::chrono::milliseconds(300);
  start(echo, options);
  Client client = connect();
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n"));
  EXPECT_THAT(client.read_until("\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_EQ(counts_->open, 1u);
  EXPECT_TRUE(eventually([&] {
    client.send(std::string(4000, 'x'));
    return counts_->open == 0;
  }));
}

TEST_F(HttpServerTest, TakesNewLimitsForConnectionsToCome) {
  HttpServerOptions options = patient();
  options.limits.body_bytes = 10;
  start(echo, options);
  Client before = connect();
  before.send(get("/"));
  EXPECT_EQ(before.read_reply(), reply_of("GET / "));
  options.limits.body_bytes = 5;
  options.connections = 2;
  server_->reconfigure(options);
  const std::string six = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabcdef";
  Client after = connect();
  after.send(six);
  EXPECT_THAT(after.read_all(), StartsWith("HTTP/1.1 413 "));
  before.send(six);
  EXPECT_EQ(before.read_reply(), reply_of("POST / abcdef"));
  Client third = connect();
  ASSERT_TRUE(eventually([&] { return counts_->open == 2; }));
  Client fourth = connect();
  EXPECT_THAT(fourth.read_all(), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(server_->addresses().size(), 1u);
}

TEST_F(HttpServerTest, ARequestThatHasBegunIsReadWhileItCloses) {
  start(echo, patient());
  Client body = connect();
  Client head = connect();
  Client idle = connect();
  body.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab");
  head.send("GET /b HT");
  idle.send(get("/c"));
  EXPECT_EQ(idle.read_reply(), reply_of("GET /c "));
  std::this_thread::sleep_for(kShort);  // until the other two are read
  server_->close();
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_FALSE(idle.timed_out());
  body.send("cd");
  head.send("TP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(body.read_all(), reply_of("POST /a abcd", "Connection: close\r\n"));
  EXPECT_EQ(head.read_all(), reply_of("GET /b ", "Connection: close\r\n"));
  EXPECT_TRUE(server_->wait_closed(in_a_minute()));
}

TEST_F(HttpServerTest, TlsNeedsACertificate) {
  HttpServerOptions options;
  options.listen = {"https://127.0.0.1:0"};
  const auto started = HttpServer::start(options, echo);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kUsage);
  const auto identity = read_tls_identity({"/nowhere/a", "/nowhere/b"});
  ASSERT_FALSE(identity);
  EXPECT_EQ(identity.error().code, ErrorCode::kIo);
  EXPECT_THAT(identity.error().to_string(), HasSubstr("/nowhere/a"));
}

TEST_F(HttpServerTest, RepliesRaceWithItsEnd) {
  for (int round = 0; round < 20; ++round) {
    start(shelf_.handler(), patient());
    Client client = connect();
    client.send(get("/"));
    std::thread writer([exchange = shelf_.take()] {
      exchange->begin(text(""));
      for (int i = 0; i < 100; ++i) exchange->write("x");
      exchange->end();
    });
    server_.reset();
    writer.join();
  }
}

}  // namespace
}  // namespace tern::net
