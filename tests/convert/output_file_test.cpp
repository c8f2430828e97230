// The file while it is made: what the journal keeps, and what it does not believe.
#include "convert/output_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "support/temporary_directory.h"

namespace tern::convert {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kFingerprint(64, 'a');
constexpr std::uint64_t kBytes = 4096;

class OutputFileTest : public ::testing::Test {
 protected:
  OutputFile open(const std::string& fingerprint = kFingerprint, std::uint64_t bytes = kBytes) {
    auto file = OutputFile::open(folder_ / "out", fingerprint, bytes);
    EXPECT_TRUE(file.ok()) << file.error().to_string();
    return std::move(*file);
  }
  std::string journal() const {
    std::ifstream in(folder_ / "out.journal", std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  void write_journal(const std::string& text) const {
    std::ofstream(folder_ / "out.journal", std::ios::binary) << text;
  }

  test::TemporaryDirectory folder_;
};

TEST_F(OutputFileTest, KeepsWhatWasRecorded) {
  {
    OutputFile file = open();
    const std::byte bytes[] = {std::byte{1}, std::byte{2}};
    ASSERT_TRUE(file.write(100, bytes).ok());
    ASSERT_TRUE(file.record(3, {0x0123456789abcdef, 7}).ok());
    EXPECT_FALSE(file.recorded(4));
  }
  const OutputFile again = open();
  ASSERT_TRUE(again.recorded(3));
  EXPECT_EQ(again.recorded(3)->hash, 0x0123456789abcdefu);
  EXPECT_EQ(again.recorded(3)->rounded, 7u);
  std::byte bytes[2];
  ASSERT_TRUE(again.read(100, bytes).ok());
  EXPECT_EQ(bytes[1], std::byte{2});
}

// A file would take their place.
TEST_F(OutputFileTest, RefusesWhatIsNoFile) {
  const auto refused = [&](const fs::path& path) {
    const auto file = OutputFile::open(path, kFingerprint, kBytes);
    EXPECT_FALSE(file.ok());
    EXPECT_EQ(file.error().code, ErrorCode::kUsage);
    return file.error().message;
  };
  EXPECT_THAT(refused(folder_.path()), HasSubstr("found a folder"));
  EXPECT_THAT(refused(folder_ / "out/"), HasSubstr("name of a folder"));
  EXPECT_THAT(refused(""), HasSubstr("name of a folder"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(refused(folder_ / "pipe"), HasSubstr("found a device, pipe or socket"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 1);
}

// A file of somebody that has such a name by chance.
TEST_F(OutputFileTest, LeavesOtherFilesAlone) {
  const auto refused = [&] {
    const auto file = OutputFile::open(folder_ / "out", kFingerprint, kBytes);
    EXPECT_FALSE(file.ok());
    return file.ok() ? "" : file.error().to_string();
  };
  std::ofstream(folder_ / "out.part") << "precious";
  EXPECT_THAT(refused(), HasSubstr("out.part: expected what an earlier call left here"));
  EXPECT_EQ(fs::file_size(folder_ / "out.part"), 8u);
  EXPECT_FALSE(fs::exists(folder_ / "out.journal"));
  fs::remove(folder_ / "out.part");
  write_journal("Dear diary");
  EXPECT_THAT(refused(), HasSubstr("out.journal: expected what an earlier call left here"));
  EXPECT_EQ(journal(), "Dear diary");
  EXPECT_FALSE(fs::exists(folder_ / "out.part"));
  fs::remove(folder_ / "out.journal");
  std::ofstream(folder_ / "precious") << "precious";
  fs::create_symlink("precious", folder_ / "out.part");
  EXPECT_THAT(refused(), HasSubstr("out.part"));
  fs::rename(folder_ / "out.part", folder_ / "out.journal");
  EXPECT_THAT(refused(), HasSubstr("out.journal"));
  EXPECT_EQ(fs::file_size(folder_ / "precious"), 8u);
}

TEST_F(OutputFileTest, ForgetsAnotherConversion) {
  ASSERT_TRUE(open().record(3, {1, 0}).ok());
  EXPECT_FALSE(open(std::string(64, 'b')).recorded(3));
  ASSERT_TRUE(open().record(3, {1, 0}).ok());
  EXPECT_FALSE(open(kFingerprint, kBytes + 1).recorded(3));
}

// Of the same size, but of another checkpoint: nothing of it is left, and its own journal begins.
TEST_F(OutputFileTest, BeginsAnewAfterAnotherConversion) {
  const std::string other(64, 'b');
  const std::byte old[] = {std::byte{7}};
  {
    OutputFile file = open();
    ASSERT_TRUE(file.write(5, old).ok());
    ASSERT_TRUE(file.record(3, {1, 0}).ok());
  }
  {
    OutputFile file = open(other);
    std::byte now[] = {std::byte{9}};
    ASSERT_TRUE(file.read(5, now).ok());
    EXPECT_EQ(now[0], std::byte{0});
    ASSERT_TRUE(file.record(4, {2, 0}).ok());
  }
  EXPECT_TRUE(open(other).recorded(4));
  EXPECT_FALSE(open(other).recorded(3));
}

// A journal of more than 64 MiB is none of ours.
TEST_F(OutputFileTest, BelievesNoJournalBeyondReason) {
  ASSERT_TRUE(open().record(3, {1, 0}).ok());
  constexpr std::uintmax_t kMost = std::uintmax_t{64} << 20;
  fs::resize_file(folder_ / "out.journal", kMost);
  EXPECT_TRUE(open().recorded(3));
  fs::resize_file(folder_ / "out.journal", kMost + 1);
  EXPECT_FALSE(open().recorded(3));
}

TEST_F(OutputFileTest, LinesThatAreCutOrChangedAreNoEntries) {
  {
    OutputFile file = open();
    ASSERT_TRUE(file.record(1, {1, 0}).ok());
    ASSERT_TRUE(file.record(2, {2, 0}).ok());
  }
  const std::string whole = journal();
  const std::size_t second = whole.find("\n1 ") + 1;
  const std::size_t third = whole.find('\n', second) + 1;
  for (std::size_t size = third; size + 1 < whole.size(); ++size) {
    write_journal(whole.substr(0, size));
    const OutputFile file = open();
    EXPECT_TRUE(file.recorded(1)) << size;
    EXPECT_FALSE(file.recorded(2)) << size;
  }
  std::string changed = whole;
  changed[second + 2] = '5';  // in the hash of the bytes
  write_journal(changed);
  {
    const OutputFile file = open();
    EXPECT_FALSE(file.recorded(1));
    EXPECT_TRUE(file.recorded(2));
  }
  for (std::size_t size = 0; size + 1 < second; ++size) {
    write_journal(whole.substr(0, size));
    EXPECT_FALSE(open().recorded(1)) << size;
  }
}

TEST_F(OutputFileTest, AppearsWhenItIsWhole) {
  OutputFile file = open();
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  ASSERT_TRUE(file.commit().ok());
  EXPECT_EQ(fs::file_size(folder_ / "out"), kBytes);
  EXPECT_FALSE(fs::exists(folder_ / "out.part"));
  EXPECT_FALSE(fs::exists(folder_ / "out.journal"));
}

TEST_F(OutputFileTest, OneAtATime) {
  const OutputFile file = open();
  const auto second = OutputFile::open(folder_ / "out", kFingerprint, kBytes);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kUsage);
  EXPECT_THAT(second.error().to_string(), HasSubstr("another conversion is writing this file"));
}

TEST_F(OutputFileTest, WantsRoomBeforeItBegins) {
  EXPECT_TRUE(open().require_space().ok());
  const OutputFile file = open(kFingerprint, std::uint64_t{1} << 42);
  const auto room = file.require_space();
  ASSERT_FALSE(room.ok());
  EXPECT_EQ(room.error().code, ErrorCode::kIo);
  EXPECT_THAT(room.error().to_string(), HasSubstr("bytes more and its file system has"));
}

TEST_F(OutputFileTest, SaysWhereItCannotWrite) {
  const auto file = OutputFile::open(folder_ / "no/such/out", kFingerprint, kBytes);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace tern::convert
