#include "core/mapped_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "core/failing_call.h"
#include "support/temporary_directory.h"

namespace tern {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;

class MappedFileTest : public ::testing::Test {
 protected:
  std::filesystem::path written(const char* name, std::string_view content) {
    const auto path = directory_ / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  static std::string_view text(const MappedFile& file) {
    return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
  }
  static Error refusal(const std::filesystem::path& path) {
    const auto file = MappedFile::open(path);
    return file.ok() ? Error{ErrorCode::kUsage, "accepted", ""} : file.error();
  }

  test::TemporaryDirectory directory_;
};

// Pages of the mapping that are in this process's memory, from the kernel's own account.
std::size_t resident_bytes(const MappedFile& file) {
  std::ifstream maps("/proc/self/smaps");
  std::ostringstream start;
  start << std::hex << reinterpret_cast<std::uintptr_t>(file.bytes().data()) << '-';
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    if (line.starts_with(start.str())) found = true;
    if (found && line.starts_with("Rss:")) return std::stoul(line.substr(4)) * 1024;
  }
  return 0;
}

TEST_F(MappedFileTest, ReleasedPagesLeaveMemoryAndCanBeReadAgain) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::string content(64 * page, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i / page + i);
  const auto file = MappedFile::open(written("a", content));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(text(*file), content);  // reads every page
  EXPECT_EQ(resident_bytes(*file), 64 * page);
  file->release(file->bytes().subspan(8 * page + 1, 40 * page));  // 39 whole pages
  EXPECT_EQ(resident_bytes(*file), (64 - 39) * page);
  EXPECT_EQ(text(*file), content);
  const std::vector<std::byte> other(4 * page, std::byte{7});
  file->release(other);
  file->release({});
  EXPECT_EQ(other[2 * page], std::byte{7});
  EXPECT_EQ(resident_bytes(*file), 64 * page);
}

TEST_F(MappedFileTest, ReleasesAllOfItselfAndNothingBeyond) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto file = MappedFile::open(written("a", std::string(4 * page, 'x')));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(text(*file), std::string(4 * page, 'x'));
  file->release({file->bytes().data() + page, 3 * page + 1});  // one byte behind the end
  EXPECT_EQ(resident_bytes(*file), 4 * page);
  file->release(file->bytes());
  EXPECT_EQ(resident_bytes(*file), 0u);
}

TEST_F(MappedFileTest, CopiesWithoutItsPages) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::string content(4 * page, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i % 251);
  auto file = MappedFile::open(written("a", content));
  ASSERT_TRUE(file.ok());
  file->release(file->bytes());
  MappedFile moved = std::move(*file);
  std::string copy(page + 3, '\0');
  const auto part = moved.bytes().subspan(2 * page - 1, copy.size());
  moved.copy(part, reinterpret_cast<std::byte*>(copy.data()));
  EXPECT_EQ(copy, content.substr(2 * page - 1, copy.size()));
  EXPECT_EQ(resident_bytes(moved), 0u);
}

// As any read of the mapping does.
TEST_F(MappedFileTest, CopiesWhatCannotBeReadFromItsPages) {
  const auto file = MappedFile::open(written("a", "some bytes"));
  ASSERT_TRUE(file.ok());
  for (const int error : {EINTR, EIO}) {
    const test::FailingCall failing("pread", error);
    std::string copy(5, '\0');
    file->copy(file->bytes().subspan(5), reinterpret_cast<std::byte*>(copy.data()));
    EXPECT_TRUE(failing.happened());
    EXPECT_EQ(copy, "bytes");
  }
}

TEST_F(MappedFileTest, TheMappingGoesWithIt) {
  const auto path = written("goes", "bytes");
  const auto is_mapped = [&] {
    std::ostringstream maps;
    maps << std::ifstream("/proc/self/maps").rdbuf();
    return maps.str().find(path.string()) != std::string::npos;
  };
  {
    const auto file = MappedFile::open(path);
    ASSERT_TRUE(file.ok());
    EXPECT_TRUE(is_mapped());
  }
  EXPECT_FALSE(is_mapped());
}

#if defined(__linux__)
// A file that nobody has the address space for; it has no bytes on any disk.
TEST_F(MappedFileTest, WhatCannotBeMappedIsAnError) {
  const int fd = ::memfd_create("vast", MFD_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, off_t{1} << 62), 0);
  const Error vast = refusal("/proc/self/fd/" + std::to_string(fd));
  ::close(fd);
  EXPECT_EQ(vast.code, ErrorCode::kIo);
  EXPECT_THAT(vast.message, HasSubstr("cannot map the file into memory"));
}
#endif

TEST_F(MappedFileTest, HoldsTheBytes) {
  const auto file = MappedFile::open(written("a", "some bytes"));
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_EQ(text(*file), "some bytes");
}

TEST_F(MappedFileTest, SaysWhichFileItIs) {
  const auto path = written("a", "some bytes");
  const std::array<timespec, 2> times{{{0, UTIME_OMIT}, {1'000'000'001, 20}}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times.data(), 0), 0);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->identity().inode, info.st_ino);
  EXPECT_EQ(file->identity().size, 10u);
  EXPECT_EQ(file->identity().modified, 1'000'000'001'000'000'020);
  EXPECT_GT(file->identity().changed, file->identity().modified);
}

TEST_F(MappedFileTest, WhatCannotBeLookedAtIsAnError) {
  const auto path = written("a", "some bytes");
  const test::FailingCall failing("fstat", EIO);
  EXPECT_THAT(refusal(path).message, HasSubstr("cannot read the file's size"));
}

TEST_F(MappedFileTest, MovesWithItsBytes) {
  auto first = MappedFile::open(written("a", "first"));
  auto second = MappedFile::open(written("b", "second"));
  ASSERT_TRUE(first.ok() && second.ok());
  MappedFile moved = std::move(*first);
  EXPECT_EQ(text(moved), "first");
  EXPECT_TRUE(first->bytes().empty());
  moved = std::move(*second);
  EXPECT_EQ(text(moved), "second");
}

TEST_F(MappedFileTest, OutlivesTheName) {
  const auto path = written("a", "kept");
  const auto file = MappedFile::open(path);
  ASSERT_TRUE(file.ok());
  std::filesystem::remove(path);
  EXPECT_EQ(text(*file), "kept");
}

TEST_F(MappedFileTest, RefusesWhatIsNoFileOfBytes) {
  const Error missing = refusal(directory_ / "absent");
  EXPECT_EQ(missing.code, ErrorCode::kIo);
  EXPECT_THAT(missing.to_string(), EndsWith("/absent: cannot open the file: No such file or "
                                            "directory"));
  const Error directory = refusal(directory_.path());
  EXPECT_EQ(directory.code, ErrorCode::kIo);
  EXPECT_THAT(directory.message, HasSubstr("expected a regular file"));
  const Error device = refusal("/dev/null");
  EXPECT_EQ(device.code, ErrorCode::kIo);
  EXPECT_EQ(device.to_string(), "/dev/null: expected a regular file");
  const auto fifo = directory_ / "fifo";  // opening one that nobody writes to must not wait
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(refusal(fifo).message, "expected a regular file");
  const Error empty = refusal(written("empty", ""));
  EXPECT_EQ(empty.code, ErrorCode::kIo);
  EXPECT_THAT(empty.to_string(), EndsWith("/empty: the file is empty"));
}

}  // namespace
}  // namespace tern
