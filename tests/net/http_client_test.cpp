// The client's side against servers that behave and servers that do not.
#include "net/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <thread>

#include "net/server_fixture.h"
#include "support/temporary_directory.h"

namespace tern::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ::testing::HasSubstr;

// What a call brought: the first error, or the whole reply and in how many parts it came.
struct Brought {
  std::optional<Error> error;
  HttpResponse response;
  std::size_t parts = 0;
};

asio::awaitable<void> talk(HttpCall& call, const HttpTarget& target, const HttpRequest& request,
                           Brought& brought) {
  const auto connected = co_await call.connect(target);
  if (!connected) {
    brought.error = connected.error();
    co_return;
  }
  const auto sent = co_await call.send(request);
  if (sent) {
    auto head = co_await call.head();
    if (!head) brought.error = head.error();
    if (head) brought.response = *head;
  } else {
    brought.error = sent.error();
  }
  while (!brought.error) {
    auto part = co_await call.read_some();
    if (!part) brought.error = part.error();
    if (!part || part->empty()) co_return;
    brought.response.body += *part;
    ++brought.parts;
  }
}

Brought ask(const std::string& url, const HttpRequest& request) {
  auto target = find_target(url);
  EXPECT_TRUE(target.ok());
  asio::io_context io;
  HttpCall call(io);
  Brought brought;
  asio::co_spawn(io, talk(call, *target, request, brought), asio::detached);
  io.run();
  return brought;
}

HttpRequest get(const std::string& path) {
  HttpRequest request;
  request.method = "GET";
  request.path = path;
  return request;
}

// Accepts one connection, reads a head, sends the pieces and closes.
class Canned {
 public:
  explicit Canned(std::vector<std::string> pieces)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}),
        thread_([this, pieces = std::move(pieces)] {
          tcp::socket socket(io_);
          acceptor_.accept(socket);
          std::array<char, 4096> bytes;
          while (head_.find("\r\n\r\n") == std::string::npos) {
            head_.append(bytes.data(), socket.read_some(asio::buffer(bytes)));
          }
          for (const std::string& piece : pieces) {
            boost::system::error_code gone;
            asio::write(socket, asio::buffer(piece), gone);
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
          }
        }) {}
  std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  std::string head() {
    thread_.join();
    thread_ = std::jthread();
    return head_;
  }

 private:
  asio::io_context io_;
  tcp::acceptor acceptor_;
  std::string head_;
  std::jthread thread_;
};

TEST(HttpTarget, IsFoundInUrls) {
  struct Case {
    const char* url;
    const char* host;
    const char* prefix;
  };
  for (const auto& [url, host, prefix] :
       {Case{"http://127.0.0.1:8080", "127.0.0.1:8080", ""},
        Case{"http://127.0.0.1:8080/", "127.0.0.1:8080", ""},
        Case{"http://127.0.0.1/a/b/", "127.0.0.1", "/a/b"},
        Case{"http://[::1]:81/x", "[::1]:81", "/x"}, Case{"http://[::1]", "[::1]", ""},
        Case{"https://127.0.0.1:8443/a", "127.0.0.1:8443", "/a"},
        Case{"unix:/tmp/a.sock", "localhost", ""}}) {
    const auto found = find_target(url);
    ASSERT_TRUE(found.ok()) << url;
    EXPECT_EQ(found->url, url);
    EXPECT_EQ(found->host, host);
    EXPECT_EQ(found->prefix, prefix);
    EXPECT_EQ(found->endpoints.size(), 1u);
    EXPECT_EQ(found->tls != nullptr, std::string(url).starts_with("https:")) << url;
  }
}

TEST(HttpTarget, OthersAreRefused) {
  for (const char* url :
       {"", "127.0.0.1:8080", "http://", "http://:80", "http://a:b",
        "http://127.0.0.1:", "http://127.0.0.1:65536", "http://127.0.0.1:80x", "http://u@127.0.0.1",
        "http://a b", "http://127.0.0.1?x", "http://127.0.0.1#x", "https://", "https://a:b",
        "ftp://127.0.0.1", "unix:"}) {
    const auto found = find_target(url);
    ASSERT_FALSE(found.ok()) << url;
    EXPECT_EQ(found.error().code, ErrorCode::kUsage) << url;
  }
  const auto untrusted = find_target("https://127.0.0.1", "/no/such/file.crt");
  ASSERT_FALSE(untrusted.ok());
  EXPECT_EQ(untrusted.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(untrusted.error().context, "/no/such/file.crt");
  EXPECT_EQ(find_target("http://no.such.host.invalid").error().code, ErrorCode::kIo);
}

TEST(HttpClient, GetsWholeRepliesOfTheServer) {
  const test::TemporaryDirectory folder;
  const std::string path = "unix:" + (folder.path() / "s").string();
  const auto server = HttpServer::start({.listen = {"127.0.0.1:0", path}}, test::echo);
  ASSERT_TRUE(server.ok());
  HttpRequest request = get("/a");
  for (const std::string& url : {"http://" + (*server)->addresses()[0] + "/under", path}) {
    request.method = "GET";
    request.body.clear();
    const std::string prefix = url == path ? "" : "/under";
    EXPECT_EQ(ask(url, request).response.body, "GET " + prefix + "/a ");
    request.method = "POST";
    request.body = std::string(100'000, 'x');
    const Brought brought = ask(url, request);
    EXPECT_EQ(brought.response.status, 200u);
    EXPECT_EQ(brought.response.content_type, "text/plain");
    EXPECT_EQ(brought.response.body, "POST " + prefix + "/a " + request.body);
  }
}

TEST(HttpClient, PartsComeAsTheyAreSent) {
  Canned server({"HTTP/1.1 200 OK\r\nTransfer-Encoding: chun", "ked\r\nX-A: b\r\n\r\n5\r\nhel",
                 "lo", "\r\n1\r\n!\r\n", "0\r\n\r\n"});
  HttpRequest request = get("/x");
  request.headers = {{"Authorization", "Bearer a\r\nX-Evil: 1"}};
  const Brought brought = ask(server.url(), request);
  EXPECT_FALSE(brought.error);
  EXPECT_EQ(brought.response.body, "hello!");
  EXPECT_GE(brought.parts, 2u);
  EXPECT_EQ(find_header(brought.response.headers, "x-a"), "b");
  EXPECT_EQ(server.head(), "GET /x HTTP/1.1\r\nHost: " + server.url().substr(7) +
                               "\r\nAuthorization: Bearer aX-Evil: 1\r\nConnection: close\r\n\r\n");
}

TEST(HttpClient, ABodyMayEndWithTheConnection) {
  Canned server({"HTTP/1.1 404 Not Found\r\n\r\nab", "c"});
  const Brought brought = ask(server.url(), get("/"));
  EXPECT_FALSE(brought.error);
  EXPECT_EQ(brought.response.status, 404u);
  EXPECT_EQ(brought.response.body, "abc");
}

TEST(HttpClient, WhatIsNoWholeReplyIsAnError) {
  struct Case {
    std::vector<std::string> pieces;
    ErrorCode code;
    const char* words;
  };
  for (const auto& [pieces, code, words] :
       {Case{{}, ErrorCode::kIo, "closed in the middle"},
        Case{{"HTTP/1.1 200"}, ErrorCode::kIo, "closed in the middle"},
        Case{{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"}, ErrorCode::kIo, "in the middle"},
        Case{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"},
             ErrorCode::kIo,
             "in the middle"},
        Case{{"SSH-2.0-OpenSSH\r\n"}, ErrorCode::kMalformed, "no HTTP reply"},
        Case{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
             ErrorCode::kMalformed,
             "no HTTP reply"},
        Case{{"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"},
             ErrorCode::kMalformed,
             "no HTTP reply"}}) {
    Canned server(pieces);
    const Brought brought = ask(server.url(), get("/"));
    ASSERT_TRUE(brought.error) << words;
    EXPECT_EQ(brought.error->code, code);
    EXPECT_THAT(brought.error->message, HasSubstr(words));
  }
}

TEST(HttpClient, NobodyListensThere) {
  asio::io_context io;
  tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  const auto port = acceptor.local_endpoint().port();
  acceptor.close();
  const Brought brought = ask("http://127.0.0.1:" + std::to_string(port), get("/"));
  ASSERT_TRUE(brought.error);
  EXPECT_EQ(brought.error->code, ErrorCode::kIo);
  EXPECT_THAT(brought.error->message, HasSubstr("cannot connect"));
}

TEST(HttpClient, CloseEndsWhatIsWaitedFor) {
  test::Shelf shelf;
  const auto server = HttpServer::start({.listen = {"127.0.0.1:0"}}, shelf.handler());
  ASSERT_TRUE(server.ok());
  const auto target = find_target("http://" + (*server)->addresses()[0]);
  asio::io_context io;
  HttpCall call(io);
  Brought brought;
  const HttpRequest request = get("/");
  asio::co_spawn(io, talk(call, *target, request, brought), asio::detached);
  const auto exchange = [&] {
    std::jthread runner([&] { io.run(); });
    auto taken = shelf.take();
    asio::post(io, [&] { call.close(); });
    return taken;
  }();
  ASSERT_TRUE(brought.error);
  EXPECT_EQ(brought.error->code, ErrorCode::kIo);
}

}  // namespace
}  // namespace tern::net
