#include "telemetry/line_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "support/most_allocated.h"

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

TEST(LineLog, AStumpGetsAnEndBeforeTheNextLine) {
  const auto written = [](const std::string& before) {
    char path[] = "/tmp/line_log_XXXXXX";
    const FileDescriptor made(::mkstemp(path));
    EXPECT_EQ(::write(made.get(), before.data(), before.size()),
              static_cast<ssize_t>(before.size()));
    Counter dropped;
    {
      LineLog log({}, dropped);
      log.write_to(std::make_shared<FileDescriptor>(::open(path, O_WRONLY | O_APPEND)));
      log.receive({"a", {}});
      log.receive({"b", {}});
    }
    std::string text(4096, '\0');
    text.resize(static_cast<std::size_t>(::pread(made.get(), text.data(), text.size(), 0)));
    ::unlink(path);
    return text;
  };
  EXPECT_TRUE(written("{\"event\":\"x").starts_with("{\"event\":\"x\n{"));
  EXPECT_EQ(lines(written("{\"event\":\"x")), 3u);
  EXPECT_TRUE(written("{}\n").starts_with("{}\n{"));
  EXPECT_EQ(lines(written("")), 2u);
}

// A file that may grow no longer, as on a disk that is full, cuts a line.
TEST(LineLog, ALineThatWasCutGetsAnEnd) {
  std::signal(SIGXFSZ, SIG_IGN);
  char path[] = "/tmp/line_log_XXXXXX";
  const FileDescriptor made(::mkstemp(path));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{5000, before.rlim_max};
  Counter dropped;
  {
    LineLog log({}, dropped);
    log.write_to(std::make_shared<FileDescriptor>(::open(path, O_WRONLY | O_APPEND)));
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
    log.receive({"a", {{"text", std::string(10'000, 'x')}}});
    const auto until = steady_clock::now() + std::chrono::seconds(20);
    while (dropped.value() == 0 && steady_clock::now() < until) ::usleep(1000);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    log.receive({"b", {}});
  }
  EXPECT_EQ(dropped.value(), 1u);
  std::string text(8192, '\0');
  text.resize(static_cast<std::size_t>(::pread(made.get(), text.data(), text.size(), 0)));
  ::unlink(path);
  EXPECT_NE(text.find("x\n{"), std::string::npos);
  EXPECT_EQ(lines(text), 2u);
}

// Its thread has nobody to tell of an exception.
TEST(LineLog, WritingNeedsNoMemory) {
  Pipe pipe;
  Counter dropped;
  const std::string large(200'000, 'x');
  std::string text(3 * large.size(), '\0');
  std::size_t size = 0;
  {
    LineLog log({}, dropped);
    log.write_to(pipe.writing);
    for (int i = 0; i < 2; ++i) log.receive({"a", {{"text", large}}});
    const test::MostAllocated most(0);
    while (std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size), '\n') < 2) {
      const ssize_t count = ::read(pipe.reading.get(), text.data() + size, text.size() - size);
      if (count <= 0) break;
      size += static_cast<std::size_t>(count);
    }
  }
  EXPECT_EQ(lines(text), 2u);
  EXPECT_EQ(dropped.value(), 0u);
}

}  // namespace
}  // namespace tern::telemetry
