#include "format/gguf/fingerprint.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <thread>

#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::format {
namespace {

namespace fs = std::filesystem;

class FingerprintTest : public ::testing::Test {
 protected:
  static std::string of(const fs::path& path) {
    const auto file = GgufFile::open(path);
    if (!file) return file.error().to_string();
    return fingerprint(*file).value_or("none");
  }
  // Other bytes at `offset`, the same time of modification.
  void patch(std::uint64_t offset) const {
    struct stat info {};
    ASSERT_EQ(::stat(path_.c_str(), &info), 0);
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    const char other = static_cast<char>(file.get() ^ 1);
    file.seekp(static_cast<std::streamoff>(offset));
    file.put(other);
    file.close();
    const timespec times[] = {info.st_atim, info.st_mtim};
    ASSERT_EQ(::utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }

  test::TemporaryDirectory directory_;
  fs::path path_ = test::write_tiny_model(directory_.path(), {});
};

TEST_F(FingerprintTest, IsTheSameForTheSameFile) {
  const std::string first = of(path_);
  EXPECT_EQ(first.size(), 64u);
  EXPECT_EQ(of(path_), first);
}

TEST_F(FingerprintTest, KnowsAnotherTimeOfModification) {
  const std::string first = of(path_);
  fs::last_write_time(path_, fs::last_write_time(path_) + std::chrono::milliseconds(1));
  EXPECT_NE(of(path_), first);
}

TEST_F(FingerprintTest, KnowsAnotherFileInThePlace) {
  const std::string first = of(path_);
  const fs::path copy = directory_ / "copy";
  fs::copy_file(path_, copy);
  fs::last_write_time(copy, fs::last_write_time(path_));
  fs::rename(copy, path_);
  EXPECT_NE(of(path_), first);
}

TEST_F(FingerprintTest, KnowsAChangeWhoseTimeOfModificationWasSetBack) {
  const std::string first = of(path_);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // several ticks of the system
  patch(0x60);
  patch(0x60);  // the content is as before
  EXPECT_NE(of(path_), first);
}

// The file is so small that its samples cover all of it. It stays open, so that its times are those
// of its opening and only the content differs.
TEST_F(FingerprintTest, KnowsOtherContentOfTheSameSizeAndTimes) {
  const auto file = GgufFile::open(path_);
  ASSERT_TRUE(file.ok());
  const std::uint64_t size = fs::file_size(path_);
  const std::uint64_t name = 0x60;  // in the metadata's text
  for (const std::uint64_t offset : {name, size / 2, size - 1}) {
    const auto before = fingerprint(*file);
    patch(offset);
    EXPECT_NE(fingerprint(*file), before) << offset;
  }
}

TEST_F(FingerprintTest, OfContentIsThatOfACopyAndOfNoOtherContent) {
  const auto file = GgufFile::open(path_);
  ASSERT_TRUE(file.ok());
  const std::string first = content_fingerprint(*file);
  EXPECT_EQ(first.size(), 64u);
  const fs::path copy = directory_ / "copy";
  fs::copy_file(path_, copy);
  const auto other = GgufFile::open(copy);
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(content_fingerprint(*other), first);
  const std::uint64_t size = fs::file_size(path_);
  for (const std::uint64_t offset : {std::uint64_t{0x60}, size / 2, size - 1}) {
    const auto before = content_fingerprint(*file);
    patch(offset);
    EXPECT_NE(content_fingerprint(*file), before) << offset;
  }
}

TEST_F(FingerprintTest, BytesThatAreNoFileHaveNone) {
  std::ifstream in(path_, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(in), {}};
  const auto file = GgufFile::parse(std::as_bytes(std::span(content)), "memory");
  ASSERT_TRUE(file.ok());
  EXPECT_FALSE(fingerprint(*file).has_value());
}

}  // namespace
}  // namespace tern::format
