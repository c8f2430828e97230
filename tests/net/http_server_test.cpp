#include "net/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "net/server_fixture.h"

namespace tern::net {
namespace {

using namespace tern::test;
using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST_F(HttpServerTest, RepliesAtOnce) {
  start(echo);
  Client client = connect();
  client.send(get("/a"));
  EXPECT_EQ(client.read_reply(), reply_of("GET /a "));
}

TEST_F(HttpServerTest, RepliesLaterFromAnotherThread) {
  start(shelf_.handler());
  Client client = connect();
  client.send(get("/a"));
  std::thread([exchange = shelf_.take()]() mutable { exchange->reply(text("later")); }).join();
  EXPECT_EQ(client.read_reply(), reply_of("later"));
}

TEST_F(HttpServerTest, SaysWhoAsks) {
  start([](const auto& exchange) { exchange->reply(text(exchange->request().peer)); });
  Client client = connect();
  client.send(get("/"));
  EXPECT_THAT(client.read_reply(), HasSubstr("\r\n\r\n127.0.0.1:"));
}

TEST_F(HttpServerTest, KeepsConnections) {
  start(echo);
  Client client = connect();
  for (const char* path : {"/a", "/b", "/c"}) {
    client.send(get(path));
    EXPECT_EQ(client.read_reply(), reply_of("GET " + std::string(path) + " "));
  }
}

TEST_F(HttpServerTest, ClosesWhereItIsAskedTo) {
  start(echo);
  Client client = connect();
  client.send(get("/a", "Connection: close\r\n") + get("/b"));
  EXPECT_EQ(client.read_all(), reply_of("GET /a ", "Connection: close\r\n"));
  Client old = connect();
  old.send("GET /a HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read_all(), reply_of("GET /a ", "Connection: close\r\n"));
}

TEST_F(HttpServerTest, AnswersRequestsThatCameTogetherInTheirOrder) {
  start(shelf_.handler());
  Client client = connect();
  client.send(get("/a") + get("/b"));
  auto first = shelf_.take();
  client.send("POST /c HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nx");
  first->reply(text("a"));
  EXPECT_EQ(client.read_reply(), reply_of("a"));
  shelf_.take()->reply(text("b"));
  EXPECT_EQ(client.read_reply(), reply_of("b"));
  client.send("y");
  const auto third = shelf_.take();
  EXPECT_EQ(third->request().body, "xy");
  third->reply(text("c"));
  EXPECT_EQ(client.read_reply(), reply_of("c"));
}

TEST_F(HttpServerTest, SendsNoBodyWhereNoneBelongs) {
  start([](const auto& exchange) {
    const std::string path = exchange->request().path;
    HttpResponse response = text("body");
    if (path == "/204") response = {204, "", ""};
    if (path == "/304") response = {304, "", "body"};
    if (path != "/stream") return exchange->reply(response);
    exchange->begin(response);
    exchange->write("body");
    exchange->end();
  });
  const std::string stream =
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
  Client client = connect();
  client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" +
              std::string("HEAD /stream HTTP/1.1\r\nHost:\r\n\r\n"));
  client.send(get("/204") + get("/304") + get("/", "Connection: close\r\n"));
  EXPECT_EQ(client.read_all(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            "Content-Length: 4\r\n\r\n" +
                stream + "HTTP/1.1 204 No Content\r\n\r\n" + "HTTP/1.1 304 Not Modified\r\n\r\n" +
                reply_of("body", "Connection: close\r\n"));
}

TEST_F(HttpServerTest, SendsAStreamInChunks) {
  start(shelf_.handler());
  Client client = connect();
  client.send(get("/"));
  auto exchange = shelf_.take();
  exchange->begin(text("ignored"));
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("\r\nTransfer-Encoding: chunked\r\n"));
  exchange->write("hello");
  EXPECT_EQ(client.read_until("hello\r\n"), "5\r\nhello\r\n");
  exchange->write("");
  exchange->write(std::string(26, 'x'));
  EXPECT_EQ(client.read_until("x\r\n"), "1a\r\n" + std::string(26, 'x') + "\r\n");
  exchange->end();
  exchange->write("too late");
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  client.send(get("/"));
  shelf_.take()->reply(text("next"));
  EXPECT_EQ(client.read_reply(), reply_of("next"));
}

TEST_F(HttpServerTest, EndsAStreamToAnOldClientWithTheConnection) {
  start([](const auto& exchange) {
    exchange->begin(text(""));
    exchange->write("hello, ");
    exchange->write("world");
    exchange->end();
  });
  Client client = connect();
  client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(client.read_all(),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nhello, world");
}

// Between parts alone, and only as the head says.
TEST_F(HttpServerTest, FillsThePausesOfAStream) {
  HttpServerOptions options;
  options.pause_time = milliseconds(20);
  start(shelf_.handler(), options);
  for (const bool chunks : {true, false}) {
    Client client = connect();
    client.send(chunks ? get("/", "Connection: close\r\n") : "GET / HTTP/1.0\r\n\r\n");
    const auto exchange = shelf_.take();
    std::this_thread::sleep_for(milliseconds(60));  // nothing before the head
    HttpResponse head = text("");
    head.pause = ":\n\n";
    exchange->begin(head);
    EXPECT_THAT(client.read_until("\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
    const std::string pause = chunks ? "3\r\n:\n\n\r\n" : ":\n\n";
    EXPECT_EQ(client.read_until(pause), pause);
    EXPECT_EQ(client.read_until(pause), pause);
    exchange->write("part");
    exchange->end();
    EXPECT_THAT(client.read_all(), EndsWith(chunks ? "4\r\npart\r\n0\r\n\r\n" : "part"));
  }
  Client quiet = connect();
  quiet.send(get("/", "Connection: close\r\n"));
  const auto exchange = shelf_.take();
  exchange->begin(text(""));
  std::this_thread::sleep_for(milliseconds(60));
  exchange->end();
  EXPECT_THAT(quiet.read_all(), EndsWith("\r\n\r\n0\r\n\r\n"));
}

TEST_F(HttpServerTest, OnlyTheFirstReplyCounts) {
  start([](const auto& exchange) {
    exchange->write("nothing has begun");
    exchange->end();
    exchange->reply(text("one"));
    exchange->reply(text("two"));
    exchange->begin(text("three"));
    exchange->write("four");
    exchange->end();
  });
  Client client = connect();
  client.send(get("/", "Connection: close\r\n"));
  EXPECT_EQ(client.read_all(), reply_of("one", "Connection: close\r\n"));
}

TEST_F(HttpServerTest, HeadersCannotBreakOut) {
  start([](const auto& exchange) {
    HttpResponse response = text("");
    response.headers = {{"X-Id", "a\r\nSet-Cookie: b"}};
    exchange->reply(response);
  });
  Client client = connect();
  client.send(get("/"));
  EXPECT_THAT(client.read_reply(), HasSubstr("\r\nX-Id: aSet-Cookie: b\r\n"));
}

TEST_F(HttpServerTest, ADroppedRequestIsAnError) {
  start([](const auto&) {});
  Client client = connect();
  client.send(get("/a"));
  EXPECT_THAT(client.read_reply(), StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
}

// The connection ends, and is none that the end waits for.
TEST_F(HttpServerTest, AHandlerThatThrowsEndsItsConnectionAlone) {
  start([](const auto& exchange) {
    if (exchange->request().path == "/a") throw std::bad_alloc();
    echo(exchange);
  });
  Client other = connect();
  Client client = connect();
  client.send(get("/a"));
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(eventually([&] { return counts_->open == 1; }));
  other.send(get("/b"));
  EXPECT_EQ(other.read_reply(), reply_of("GET /b "));
  server_->close();
  EXPECT_TRUE(server_->wait_closed(in_a_minute()));
}

TEST_F(HttpServerTest, ADroppedStreamIsCut) {
  start([](const auto& exchange) {
    exchange->begin(text(""));
    exchange->write("part");
  });
  Client client = connect();
  client.send(get("/"));
  EXPECT_THAT(client.read_all(), EndsWith("\r\n\r\n4\r\npart\r\n"));  // and no last chunk
  EXPECT_FALSE(client.timed_out());
}

TEST_F(HttpServerTest, RefusesWhatIsNoRequest) {
  start(echo);
  Client client = connect();
  client.send(get("/a") + "GET / HTTP/1.1\n\n" + std::string(100'000, 'x'));
  EXPECT_EQ(client.read_reply(), reply_of("GET /a "));
  const std::string error = client.read_all();
  EXPECT_THAT(error, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(error, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(error,
              EndsWith("\r\n\r\nexpected lines that end with CR LF, found one of them alone\n"));
}

TEST_F(HttpServerTest, RefusesInTheWordsOfItsOptions) {
  HttpServerOptions options;
  options.limits.body_bytes = 3;
  options.refuse = [](const HttpError& error, const HttpRequest&) {
    return HttpResponse{error.status, "application/json", "{\"e\":\"" + error.message + "\"}"};
  };
  start(echo, options);
  Client client = connect();
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
  EXPECT_THAT(client.read_all(),
              EndsWith("\r\n\r\n{\"e\":\"expected a body of at most 3 bytes, found 4\"}"));
}

TEST_F(HttpServerTest, RefusesAHeadWithoutABody) {
  HttpServerOptions options;
  options.limits.body_bytes = 3;
  start(echo, options);
  Client client = connect();
  client.send("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
  EXPECT_EQ(client.read_all(),
            "HTTP/1.1 413 Payload Too Large\r\nContent-Type: text/plain\r\n"
            "Content-Length: 44\r\nConnection: close\r\n\r\n");
}

// Whole or in parts, answered or refused (RFC 9110, 6.6.1).
TEST_F(HttpServerTest, EachReplyHasItsDate) {
  HttpServerOptions options;
  options.limits.body_bytes = 3;
  start(
      [](const auto& exchange) {
        if (exchange->request().path == "/whole") return exchange->reply(text("whole"));
        exchange->begin(text(""));
        exchange->end();
      },
      options);
  const std::chrono::sys_seconds before = now_in_seconds();
  Client client = connect();
  client.send(get("/whole"));
  client.read_reply();
  client.send(get("/parts"));
  client.read_until("0\r\n\r\n");
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd");
  client.read_all();
  const std::chrono::sys_seconds after = now_in_seconds();
  ASSERT_EQ(client.dates().size(), 3u);
  for (const std::string& date : client.dates()) {
    auto time = before;
    while (time <= after && http_date(time) != date) time += std::chrono::seconds(1);
    EXPECT_LE(time, after) << date;
  }
}

TEST_F(HttpServerTest, TellsAClientToGoOn) {
  start(echo);
  Client client = connect();
  client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("a");
  client.send("b");
  EXPECT_EQ(client.read_reply(), reply_of("POST / ab"));
}

TEST_F(HttpServerTest, RefusesACutRequest) {
  start(echo);
  Client client = connect();
  client.send("GET / HT");
  client.half_close();
  EXPECT_THAT(client.read_all(),
              EndsWith("the connection was closed in the middle of a request\n"));
}

TEST_F(HttpServerTest, SaysThatAClientIsGone) {
  start(shelf_.handler());
  for (const bool pipelined : {false, true}) {
    for (const bool reset : {false, true}) {
      Client client = connect();
      client.send(get("/") + (pipelined ? get("/next") : ""));
      const auto exchange = shelf_.take();
      EXPECT_EQ(exchange->request().path, "/") << pipelined << reset;
      EXPECT_FALSE(exchange->gone().stop_requested()) << pipelined << reset;
      if (reset) {
        client.reset();
      } else {
        const Client gone = std::move(client);
      }
      EXPECT_TRUE(eventually([&] { return exchange->gone().stop_requested(); }))
          << pipelined << reset;
      exchange->reply(text("to nobody"));
      if (pipelined && !reset) shelf_.take();
    }
  }
  EXPECT_TRUE(eventually([&] { return counts_->open == 0; }));
}

TEST_F(HttpServerTest, AClientThatStaysIsNotGone) {
  start(shelf_.handler());
  Client client = connect();
  client.send(get("/"));
  auto exchange = shelf_.take();
  exchange->reply(text("a"));
  EXPECT_EQ(client.read_reply(), reply_of("a"));
  client.send(get("/"));
  shelf_.take()->reply(text("b"));
  EXPECT_EQ(client.read_reply(), reply_of("b"));
  EXPECT_FALSE(exchange->gone().stop_requested());
}

TEST_F(HttpServerTest, AHalfClosedClientGetsItsReplies) {
  start(shelf_.handler());
  Client client = connect();
  client.send(get("/a") + get("/b"));
  client.half_close();
  for (const char* body : {"a", "b"}) {
    auto exchange = shelf_.take();
    EXPECT_TRUE(eventually([&] { return exchange->gone().stop_requested(); }));
    exchange->reply(text(body));
    EXPECT_EQ(client.read_reply(), reply_of(body));
  }
  EXPECT_EQ(client.read_all(), "");
  EXPECT_FALSE(client.timed_out());
}

// More than is read while a request is answered.
TEST_F(HttpServerTest, AHalfClosedClientGetsItsRepliesHoweverMuchItSent) {
  start(shelf_.handler());
  Client client = connect();
  const std::string body(100'000, 'x');
  client.send(get("/a") + "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + body);
  client.half_close();
  auto exchange = shelf_.take();
  EXPECT_TRUE(eventually([&] { return exchange->gone().stop_requested(); }));
  exchange->reply(text("a"));
  EXPECT_EQ(client.read_reply(), reply_of("a"));
  exchange = shelf_.take();
  ASSERT_TRUE(exchange);
  EXPECT_EQ(exchange->request().body, body);
  exchange->reply(text("b"));
  EXPECT_EQ(client.read_all(), reply_of("b"));
}

TEST_F(HttpServerTest, AReplyThatNeverComesDoesNotKeepAConnection) {
  start(shelf_.handler());
  std::vector<std::shared_ptr<Exchange>> kept;
  for (int i = 0; i < 20; ++i) {
    Client client = connect();
    client.send(get("/"));
    kept.push_back(shelf_.take());
    client.reset();
  }
  for (const auto& exchange : kept) {
    EXPECT_TRUE(eventually([&] { return exchange->gone().stop_requested(); }));
    exchange->begin(text(""));  // is how a server finds out that nobody is there
    exchange->write("part");
  }
  EXPECT_TRUE(eventually([&] { return counts_->open == 0; }));
}

TEST_F(HttpServerTest, AnswersTwoHundredAtOnce) {
  start(shelf_.handler());
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(connect());
    ASSERT_TRUE(clients.back().connected());
    std::string path = "/";
    path += std::to_string(i);  // GCC 12 warns of "/" + ...
    clients.back().send(get(path));
  }
  std::vector<std::shared_ptr<Exchange>> exchanges;
  for (int i = 0; i < 200; ++i) exchanges.push_back(shelf_.take());
  EXPECT_EQ(counts_->open, 200u);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = t; i < exchanges.size(); i += 4) {
        exchanges[i]->begin(text(""));
        exchanges[i]->write(exchanges[i]->request().path);
        exchanges[i]->end();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 200; ++i) {
    EXPECT_THAT(clients[i].read_until("\r\n0\r\n\r\n"),
                EndsWith("\r\n/" + std::to_string(i) + "\r\n0\r\n\r\n"));
  }
}

}  // namespace
}  // namespace tern::net
