#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "net/server_fixture.h"
#include "support/temporary_directory.h"

namespace tern::net {
namespace {

using namespace tern::test;
using testing::HasSubstr;
using testing::StartsWith;

Error refused(const std::vector<std::string>& addresses) {
  HttpServerOptions options;
  options.listen = addresses;
  const auto started = HttpServer::start(options, echo);
  EXPECT_FALSE(started) << addresses.back();
  return started ? Error{} : started.error();
}

class Listen : public HttpServerTest {
 protected:
  void listen(const std::vector<std::string>& addresses) {
    HttpServerOptions options;
    options.listen = addresses;
    start(echo, options);
  }
  void expect_answer(const std::string& address) {
    Client client(address);
    ASSERT_TRUE(client.connected()) << address;
    client.send(get("/"));
    EXPECT_EQ(client.read_reply(), reply_of("GET / "));
  }
  std::string unix_address() const { return "unix:" + path_.string(); }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "socket";
};

TEST_F(Listen, RefusesWhatIsNoAddress) {
  for (const char* address : {"",
                              "127.0.0.1",
                              "127.0.0.1:",
                              ":80",
                              "127.0.0.1:65536",
                              "127.0.0.1:-1",
                              "127.0.0.1:+1",
                              "127.0.0.1: 1",
                              "127.0.0.1:1x",
                              "::1:80",
                              "[::1]",
                              "[::1]80",
                              "[]:80",
                              "256.0.0.1:80",
                              "example.org:80",
                              "unix",
                              "127.0.0.1:99999999999999999999",
                              "https://",
                              "https://:1",
                              "https://unix:/a",
                              "https://https://127.0.0.1:1",
                              "http://127.0.0.1:1"}) {
    const Error error = refused({address});
    EXPECT_EQ(error.code, ErrorCode::kUsage) << address;
    EXPECT_THAT(error.message, StartsWith("expected ADDRESS:PORT, [IPV6]:PORT, https://"));
    EXPECT_EQ(error.context, address);
  }
  for (const std::string& path : {std::string(), std::string(108, 'a')}) {
    const Error error = refused({"unix:" + path});
    EXPECT_EQ(error.code, ErrorCode::kUsage);
    EXPECT_EQ(error.message, "expected a path of 1 to 100 bytes behind unix:");
  }
}

TEST_F(Listen, RefusesAPortInUse) {
  listen({"127.0.0.1:0"});
  const Error error = refused({"127.0.0.1:0", address()});
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_THAT(error.to_string(), HasSubstr(address() + ": cannot listen there: "));
}

TEST_F(Listen, RefusesAnAddressOfAnotherMachine) {
  EXPECT_EQ(refused({"192.0.2.1:0"}).code, ErrorCode::kIo);
}

TEST_F(Listen, ListensOnSeveralAddresses) {
  listen({"localhost:0", "127.0.0.1:0", unix_address()});
  ASSERT_EQ(server_->addresses().size(), 3u);
  for (const std::string& each : server_->addresses()) expect_answer(each);
  EXPECT_THAT(address(), StartsWith("127.0.0.1:"));
  EXPECT_NE(address(), "127.0.0.1:0");
}

TEST_F(Listen, ListensOnIpv6) {
  HttpServerOptions options;
  options.listen = {"[::1]:0"};
  auto started = HttpServer::start(options, echo);
  if (!started) GTEST_SKIP() << "this machine has no IPv6: " << started.error().to_string();
  EXPECT_THAT((*started)->addresses()[0], StartsWith("[::1]:"));
  expect_answer((*started)->addresses()[0]);
}

TEST_F(Listen, ASocketIsForItsOwnerAlone) {
  listen({unix_address()});
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Listen, ASocketIsForItsGroupWhereThatIsAskedFor) {
  HttpServerOptions options;
  options.listen = {unix_address()};
  options.unix_mode = 0660;
  const mode_t before = ::umask(0077);
  start(echo, options);
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0660u);
}

TEST_F(Listen, SaysThatAClientCameByASocket) {
  HttpServerOptions options;
  options.listen = {unix_address()};
  start([](const auto& exchange) { exchange->reply(text(exchange->request().peer)); }, options);
  Client client(unix_address());
  client.send(get("/"));
  EXPECT_EQ(client.read_reply(), reply_of("unix"));
}

TEST_F(Listen, ReplacesASocketThatNobodyListensOn) {
  const int stale = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path_.string().copy(name.sun_path, sizeof name.sun_path - 1);
  ASSERT_EQ(
      ::bind(stale, static_cast<const sockaddr*>(static_cast<const void*>(&name)), sizeof name), 0);
  ::close(stale);
  ASSERT_TRUE(std::filesystem::exists(path_));
  listen({unix_address()});
  expect_answer(unix_address());
}

// The next server may come while the last replies of the one before it are on their way.
TEST_F(Listen, AServerThatEndsLeavesTheSocketOfTheNext) {
  HttpServerOptions options;
  options.listen = {unix_address()};
  start(shelf_.handler(), options);
  auto before = std::move(server_);
  Client last(unix_address());
  last.send(get("/"));
  const auto exchange = shelf_.take();
  before->close();
  ASSERT_TRUE(eventually([&] { return !Client(unix_address()).connected(); }));
  listen({unix_address()});
  exchange->reply(text("done"));
  EXPECT_EQ(last.read_all(), reply_of("done", "Connection: close\r\n"));
  EXPECT_TRUE(before->wait_closed(in_a_minute()));
  before.reset();
  expect_answer(unix_address());
}

TEST_F(Listen, LeavesASocketInUse) {
  listen({unix_address()});
  const Error error = refused({unix_address()});
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_EQ(error.message, "another server listens there already");
  expect_answer(unix_address());
}

TEST_F(Listen, LeavesOtherFiles) {
  std::ofstream(path_) << "data";
  const Error error = refused({unix_address()});
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_EQ(error.message, "expected a socket or nothing, found another file");
  EXPECT_EQ(std::filesystem::file_size(path_), 4u);
}

TEST_F(Listen, RefusesADirectoryThatIsNotThere) {
  EXPECT_EQ(refused({unix_address() + "/none/socket"}).code, ErrorCode::kIo);
}

}  // namespace
}  // namespace tern::net
