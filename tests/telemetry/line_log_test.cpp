#include "telemetry/line_log.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace tern::telemetry {
namespace {

using std::chrono::steady_clock;

struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    reading = FileDescriptor(ends[0]);
    writing = std::make_shared<FileDescriptor>(ends[1]);
  }
  std::string read_all() {
    std::string text;
    char bytes[4096];
    for (ssize_t count; (count = ::read(reading.get(), bytes, sizeof(bytes))) > 0;) {
      text.append(bytes, static_cast<std::size_t>(count));
    }
    return text;
  }
  FileDescriptor reading;
  std::shared_ptr<FileDescriptor> writing;
};

std::size_t lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(LineLog, WritesEveryLineInOrder) {
  Pipe pipe;
  Counter dropped;
  {
    LineLog log({}, dropped);
    log.write_to(std::move(pipe.writing));
    for (std::uint64_t i = 0; i < 100; ++i) log.receive({"event", {{"number", i}}});
  }
  const std::string text = pipe.read_all();
  EXPECT_EQ(lines(text), 100u);
  EXPECT_LT(text.find("\"number\":41"), text.find("\"number\":42"));
  EXPECT_EQ(dropped.value(), 0u);
}

TEST(LineLog, JsonStandsAsJson) {
  const std::string line = json_line({"event", {{"list", JsonText{"[1,{\"a\":2}]"}}}});
  EXPECT_NE(line.find("\"list\":[1,{\"a\":2}]"), std::string::npos) << line;
}

TEST(LineLog, AReaderThatStopsHoldsNobodyUp) {
  Pipe pipe;
  Counter dropped;
  const std::string large(10'000, 'x');
  const auto begun = steady_clock::now();
  {
    LineLog log({.lines = 50, .bytes = 1u << 20}, dropped);
    log.write_to(pipe.writing);
    for (int i = 0; i < 1000; ++i) log.receive({"event", {{"text", large}}});
    EXPECT_GT(dropped.value(), 900u);
  }
  EXPECT_LT(steady_clock::now() - begun, std::chrono::seconds(20));
  pipe.writing.reset();
  EXPECT_GE(dropped.value() + lines(pipe.read_all()), 1000u);
}

TEST(LineLog, BytesHaveABoundToo) {
  Pipe pipe;
  Counter dropped;
  LineLog log({.lines = 1000, .bytes = 100'000}, dropped);
  log.write_to(pipe.writing);
  log.receive({"event", {{"text", std::string(200'000, 'x')}}});
  EXPECT_EQ(dropped.value(), 1u);
}

TEST(LineLog, AReaderThatIsGoneIsCounted) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.reading = FileDescriptor();
  Counter dropped;
  {
    LineLog log({}, dropped);
    log.write_to(pipe.writing);
    log.receive({"event", {}});
  }
  EXPECT_EQ(dropped.value(), 1u);
}

TEST(LineLog, WithoutAFileNothingIsKept) {
  Counter dropped;
  {
    LineLog log({}, dropped);
    log.receive({"event", {}});
  }
  EXPECT_EQ(dropped.value(), 0u);
}

TEST(LineLog, GoesToAnotherFile) {
  Pipe first, second;
  Counter dropped;
  LineLog log({}, dropped);
  log.write_to(std::move(first.writing));
  log.receive({"a", {}});
  char byte;
  ASSERT_EQ(::read(first.reading.get(), &byte, 1), 1);  // it has been written
  log.write_to(second.writing);
  log.receive({"b", {}});
  ASSERT_EQ(::read(second.reading.get(), &byte, 1), 1);
  EXPECT_EQ(lines(first.read_all()), 1u);  // and its file is closed
}

TEST(LineLog, AFileThatStandsStillCanBeReplaced) {
  Pipe first, second;
  Counter dropped;
  const std::string large(10'000, 'x');
  LineLog log({}, dropped);
  log.write_to(first.writing);
  for (int i = 0; i < 100; ++i) log.receive({"a", {{"text", large}}});
  pollfd stuck{first.writing->get(), POLLOUT, 0};
  const auto until = steady_clock::now() + std::chrono::seconds(20);
  while (::poll(&stuck, 1, 0) > 0 && steady_clock::now() < until) ::usleep(1000);
  log.write_to(second.writing);
  pollfd look{second.reading.get(), POLLIN, 0};
  ASSERT_GT(::poll(&look, 1, 20'000), 0);
  char byte;
  ASSERT_EQ(::read(second.reading.get(), &byte, 1), 1);
  EXPECT_EQ(byte, '{');  // no rest of a line that the other file has begun
  EXPECT_LE(dropped.value(), 1u);
}

}  // namespace
}  // namespace tern::telemetry
