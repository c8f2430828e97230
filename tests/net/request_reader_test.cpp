#include "net/request_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern::net {
namespace {

using State = RequestReader::State;

// All requests of the bytes, fed in pieces of that size.
std::vector<HttpRequest> read_all(std::string_view bytes, std::size_t piece) {
  RequestReader reader({});
  std::vector<HttpRequest> requests;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    reader.feed(bytes.substr(at, piece));
    while (reader.state() == State::kDone) requests.push_back(reader.take());
  }
  EXPECT_EQ(reader.state(), State::kHead) << reader.error().message;
  EXPECT_FALSE(reader.has_begun());
  return requests;
}

HttpRequest read_one(std::string_view bytes) {
  RequestReader reader({});
  EXPECT_EQ(reader.feed(bytes), State::kDone) << reader.error().message;
  return reader.take();
}

TEST(RequestReader, ReadsWhatARequestSays) {
  const HttpRequest r = read_one(
      "POST /v1/caf%C3%A9%20x?a=1&b=%zz HTTP/1.1\r\nHost: h:80\r\nX-One:  a b \t\r\nx-one: c\r\n"
      "Empty:\r\nContent-Length: 4\r\n\r\nbody");
  EXPECT_EQ(r.method, "POST");
  EXPECT_EQ(r.path, "/v1/café x");
  EXPECT_EQ(r.body, "body");
  EXPECT_EQ(r.header("HOST"), "h:80");
  EXPECT_EQ(r.header("X-ONE"), "a b");  // the first
  EXPECT_EQ(r.header("Empty"), "");
  EXPECT_EQ(r.headers.size(), 5u);
  EXPECT_TRUE(r.keep_alive);
  EXPECT_FALSE(r.is_http_1_0);
}

TEST(RequestReader, ReadsMethodsThatItDoesNotKnow) {
  EXPECT_EQ(read_one("HEAD / HTTP/1.1\r\nHost:\r\n\r\n").method, "HEAD");
  EXPECT_EQ(read_one("pAtCh-!x / HTTP/1.1\r\nHost:\r\n\r\n").method, "pAtCh-!x");
}

TEST(RequestReader, ReadsChunksWithExtensionsAndDropsTrailers) {
  const HttpRequest r = read_one(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
      "5\r\nhello\r\n0A;name=\"a;b\"\r\n, \r\nworld!\r\n1 ; x=y ; z\r\n\n\r\n"
      "00\r\nHost: other\r\nAuthorization: none\r\n\r\n");
  EXPECT_EQ(r.body, "hello, \r\nworld!\n");
  EXPECT_EQ(r.header("Host"), "h");
  EXPECT_EQ(r.header("Authorization"), "");
}

TEST(RequestReader, SkipsEmptyLinesBeforeARequest) {
  RequestReader reader({});
  reader.feed("\r\n\r\n");
  EXPECT_FALSE(reader.has_begun());
  reader.feed("\r\nG");
  EXPECT_TRUE(reader.has_begun());
  EXPECT_EQ(reader.feed("ET / HTTP/1.1\r\nHost: h\r\n\r\n"), State::kDone);
  EXPECT_EQ(reader.take().method, "GET");
}

// A client of HTTP/1.0 would wait for "Connection: keep-alive" in the reply; it gets a connection
// that closes.
TEST(RequestReader, KeepsConnectionsThatMayBeKept) {
  const auto keeps = [](const std::string& version, const std::string& headers) {
    return read_one("GET / HTTP/" + version + "\r\nHost: h\r\n" + headers + "\r\n").keep_alive;
  };
  EXPECT_TRUE(keeps("1.1", ""));
  EXPECT_TRUE(keeps("1.1", "Connection: upgrade, keep-alive\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: CLOSE\r\n"));
  EXPECT_FALSE(keeps("1.1", "Connection: keep-alive\r\nConnection: te, close\r\n"));
  EXPECT_FALSE(keeps("1.0", ""));
  EXPECT_FALSE(keeps("1.0", "Connection: keep-alive\r\n"));
  EXPECT_TRUE(read_one("GET / HTTP/1.0\r\n\r\n").is_http_1_0);
}

TEST(RequestReader, ReadsTargetsThatNameTheHost) {
  const HttpRequest r = read_one("GET http://[::1]:80/a?b HTTP/1.1\r\nHost: other\r\n\r\n");
  EXPECT_EQ(r.path, "/a");
  EXPECT_EQ(r.header("host"), "[::1]:80");
  EXPECT_EQ(r.headers.size(), 1u);
  EXPECT_EQ(read_one("GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n").path, "/");
  EXPECT_EQ(read_one("GET http://h?q HTTP/1.1\r\nHost: h\r\n\r\n").path, "/");
  EXPECT_EQ(read_one("GET /http://h/x HTTP/1.1\r\nHost: h\r\n\r\n").path, "/http://h/x");
}

// The first and the last of each kind of character.
TEST(RequestReader, ReadsNamesOfAllLettersAndDigits) {
  EXPECT_EQ(read_one("GET / HTTP/1.1\r\nHost: azAZ09\r\n\r\n").header("Host"), "azAZ09");
  read_one("POST / HTTP/1.1\r\nHost:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nazAZ09: x\r\n\r\n");
}

TEST(RequestReader, SaysWhenAClientWaitsForLeaveToSendItsBody) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
  RequestReader reader({});
  EXPECT_EQ(reader.feed(head), State::kBody);
  EXPECT_TRUE(reader.expects_continue());
  EXPECT_EQ(reader.feed("a"), State::kBody);
  EXPECT_FALSE(reader.expects_continue());
  EXPECT_EQ(reader.feed("b"), State::kDone);
  EXPECT_EQ(reader.take().body, "ab");
  // It does not wait: the body is on its way.
  RequestReader eager({});
  EXPECT_EQ(eager.feed(head + "a"), State::kBody);
  EXPECT_FALSE(eager.expects_continue());
  // Nothing to wait for.
  RequestReader empty({});
  EXPECT_EQ(empty.feed("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n"), State::kDone);
  EXPECT_FALSE(empty.expects_continue());
  // HTTP/1.0 does not know it (RFC 9110, 10.1.1).
  RequestReader old({});
  old.feed("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(old.state(), State::kBody);
  EXPECT_FALSE(old.expects_continue());
}

const std::string kPipelined =
    "POST /one HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nG\r\n\r\n"
    "POST /two HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "2;e\r\n\r\n\r\n1\r\nx\r\n0\r\nT: t\r\n\r\n"
    "GET /three HTTP/1.1\r\nHost: h\r\n\r\n";

void expect_pipelined(const std::vector<HttpRequest>& requests) {
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].path + requests[0].body, "/oneG\r\n");
  EXPECT_EQ(requests[1].path + requests[1].body, "/two\r\nx");
  EXPECT_EQ(requests[2].path + requests[2].body, "/three");
}

TEST(RequestReader, ReadsRequestsThatCameTogether) {
  expect_pipelined(read_all(kPipelined, kPipelined.size()));
}

TEST(RequestReader, ReadsTheSameInPieces) {
  for (std::size_t piece = 1; piece < kPipelined.size(); ++piece) {
    SCOPED_TRACE(piece);
    expect_pipelined(read_all(kPipelined, piece));
  }
  for (std::size_t cut = 1; cut < kPipelined.size(); ++cut) {
    RequestReader reader({});
    std::vector<HttpRequest> requests;
    for (const std::string& part : {kPipelined.substr(0, cut), kPipelined.substr(cut)}) {
      reader.feed(part);
      while (reader.state() == State::kDone) requests.push_back(reader.take());
    }
    SCOPED_TRACE(cut);
    expect_pipelined(requests);
  }
}

TEST(RequestReader, KeepsWhatComesWhileARequestWaits) {
  RequestReader reader({});
  reader.feed("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(reader.kept_bytes(), 0u);
  EXPECT_EQ(reader.feed("GET /b HTTP/1.1\r\nHo"), State::kDone);
  EXPECT_EQ(reader.kept_bytes(), 19u);
  EXPECT_EQ(reader.feed("st: h\r\n\r\nGET bad"), State::kDone);
  EXPECT_EQ(reader.take().path, "/a");
  EXPECT_EQ(reader.state(), State::kDone);
  EXPECT_EQ(reader.take().path, "/b");
  EXPECT_EQ(reader.state(), State::kHead);
  EXPECT_TRUE(reader.has_begun());
}

TEST(RequestReader, AnErrorStays) {
  RequestReader reader({});
  EXPECT_EQ(reader.feed("\n"), State::kError);
  EXPECT_EQ(reader.feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), State::kError);
  EXPECT_EQ(reader.error().status, 400u);
  EXPECT_EQ(reader.kept_bytes(), 1u);
}

TEST(RequestReader, AnErrorWaitsForTheRequestBefore) {
  RequestReader reader({});
  EXPECT_EQ(reader.feed("GET /a HTTP/1.1\r\nHost: h\r\n\r\n\n"), State::kDone);
  EXPECT_EQ(reader.take().path, "/a");
  EXPECT_EQ(reader.state(), State::kError);
}

// Each limit is reached here, and passed in the table of hostile requests.
TEST(RequestReader, TakesWhatItsLimitsAllow) {
  const std::string head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  RequestReader reader({.head_bytes = head.size(), .headers = 2, .body_bytes = 4});
  EXPECT_EQ(reader.feed(head), State::kBody);
  // Extensions and trailers count together: 20 + 10 + 26 of 56 bytes.
  const std::string extension(20, ';');
  EXPECT_EQ(head.size(), 56u);
  reader.feed("1" + extension + "\r\na\r\n00000003\r\nbcd\r\n0;123456789\r\n");
  EXPECT_EQ(reader.state(), State::kBody);
  EXPECT_EQ(reader.feed("T:" + std::string(20, 't') + "\r\n\r\n"), State::kDone)
      << reader.error().message;
  EXPECT_EQ(reader.take().body, "abcd");
  const std::string one = "GET / HTTP/1.1\r\nHost: " + std::string(30, 'h') + "\r\n\r\n";
  EXPECT_EQ(reader.feed(one), State::kDone);
  reader.take();
  EXPECT_EQ(reader.feed("POST / HTTP/1.1\r\nHost:\r\nContent-Length:4\r\n\r\nbody"), State::kDone);
}

// Beast's fields hold 65,535 bytes each, and throw for more.
TEST(RequestReader, LimitsTheHeadWhateverItIsTold) {
  RequestReader reader({.head_bytes = 1u << 20});
  EXPECT_EQ(reader.feed("GET / HTTP/1.1\r\nHost: h\r\nA: " + std::string(70'000, 'a')),
            State::kError);
  EXPECT_EQ(reader.error().status, 431u);
}

}  // namespace
}  // namespace tern::net
