#include "core/file_descriptor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "core/failing_call.h"
#include "support/temporary_directory.h"

namespace tern {
namespace {

using test::FailingCall;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

class FileDescriptorTest : public ::testing::Test {
 protected:
  FileDescriptor open(int access) const {
    return FileDescriptor(::open(path_.c_str(), access | O_CREAT | O_CLOEXEC, 0600));
  }
  std::string content() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "file";
};

TEST_F(FileDescriptorTest, ClosesOnce) {
  FileDescriptor file = open(O_RDONLY);
  EXPECT_EQ(file.close(), 0);
  EXPECT_FALSE(file.is_open());
  EXPECT_EQ(file.close(), 0);
  const int number = open(O_RDONLY).get();
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
}

// 0 is a descriptor like any other: it is the next one where the process began without stdin.
TEST_F(FileDescriptorTest, ClosesZero) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(0);
    { const FileDescriptor zero = open(O_RDONLY); }
    ::_exit(::fcntl(0, F_GETFD) == -1 ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST_F(FileDescriptorTest, WhatASignalInterruptsGoesOn) {
  {
    const FileDescriptor file = open(O_WRONLY);
    const FailingCall interrupted("write", EINTR);
    EXPECT_TRUE(write_all(file.get(), bytes_of("content"), path_).ok());
    EXPECT_TRUE(interrupted.happened());
  }
  EXPECT_EQ(content(), "content");
  const FileDescriptor file = open(O_RDONLY);
  const FailingCall interrupted("pread", EINTR);
  std::string read(4, '?');
  EXPECT_TRUE(read_all_at(file.get(), 3, std::as_writable_bytes(std::span(read)), path_).ok());
  EXPECT_TRUE(interrupted.happened());
  EXPECT_EQ(read, "tent");
}

TEST_F(FileDescriptorTest, ErrorsSayWhatFailedWhereAndWhy) {
  const FileDescriptor file = open(O_RDONLY);
  std::array<std::byte, 4> bytes{};
  const auto expect = [&](const Result<void>& result, const std::string& message) {
    ASSERT_FALSE(result.ok()) << message;
    EXPECT_EQ(result.error().code, ErrorCode::kIo);
    EXPECT_THAT(result.error().message, HasSubstr(message));
    EXPECT_EQ(result.error().context, path_.string());
  };
  expect(write_all(file.get(), bytes, path_), "cannot write: Bad file descriptor");
  expect(read_all_at(-1, 0, bytes, path_), "cannot read: Bad file descriptor");
  expect(read_all_at(file.get(), 5, bytes, path_),
         "expected 4 bytes more at offset 5, found the end of the file");
  expect(sync_directory(-1, path_), "cannot sync the directory: Bad file descriptor");
}

}  // namespace
}  // namespace tern
