#include "core/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>

#include "support/temporary_directory.h"

namespace tern {
namespace {

class AtomicFileTest : public ::testing::Test {
 protected:
  static std::string content(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::span<const std::byte> bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
  }
  auto files() const {
    return std::distance(std::filesystem::directory_iterator(directory_.path()), {});
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "file";
};

TEST_F(AtomicFileTest, KnowsWhenThereIsNoRoom) {
  auto file = AtomicFile::create(path_);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_TRUE(file->require_space(0).ok());
  EXPECT_TRUE(file->require_space(1 << 12).ok());
  const auto refused = file->require_space(std::uint64_t{1} << 62);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kIo);
  EXPECT_EQ(refused.error().context, path_.string());
  EXPECT_THAT(refused.error().message,
              ::testing::MatchesRegex("the file needs 4611686018427387904 bytes and its file "
                                      "system has [0-9]+ free; free some, or write elsewhere"));
}

TEST_F(AtomicFileTest, AppearsWholeOnCommit) {
  auto file = AtomicFile::create(path_);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  ASSERT_TRUE(file->write(bytes("one ")).ok());
  ASSERT_TRUE(file->write(bytes("two")).ok());
  EXPECT_EQ(file->size(), 7u);
  EXPECT_FALSE(std::filesystem::exists(path_));
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(content(path_), "one two");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, LeavesTheFormerContentUntilThen) {
  std::ofstream(path_) << "former";
  {
    auto file = AtomicFile::create(path_);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write(bytes("never committed")).ok());
    EXPECT_EQ(content(path_), "former");
    EXPECT_EQ(files(), 2);
  }
  EXPECT_EQ(content(path_), "former");
  EXPECT_EQ(files(), 1);
}

// Renaming would take a device such as /dev/null away, a pipe here.
TEST_F(AtomicFileTest, TakesThePlaceOfFilesAlone) {
  const auto pipe = directory_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  for (const auto& [path, found] : {std::pair(pipe, "found a device, pipe or socket"),
                                    std::pair(directory_.path(), "found a folder")}) {
    const auto file = AtomicFile::create(path);
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.error().code, ErrorCode::kUsage);
    EXPECT_NE(file.error().message.find(found), std::string::npos) << file.error().message;
  }
}

TEST_F(AtomicFileTest, TwoWritersDoNotMeet) {
  auto first = AtomicFile::create(path_);
  auto second = AtomicFile::create(path_);
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE(first->write(bytes("first")).ok());
  ASSERT_TRUE(second->write(bytes("second")).ok());
  ASSERT_TRUE(first->commit().ok());
  EXPECT_EQ(content(path_), "first");
  ASSERT_TRUE(second->commit().ok());
  EXPECT_EQ(content(path_), "second");
  EXPECT_EQ(files(), 1);
}

TEST_F(AtomicFileTest, Moves) {
  std::optional<AtomicFile> kept;
  {
    auto file = AtomicFile::create(path_);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write(bytes("moved")).ok());
    kept.emplace(std::move(*file));
  }
  EXPECT_EQ(kept->size(), 5u);
  ASSERT_TRUE(kept->commit().ok());
  EXPECT_EQ(content(path_), "moved");
}

TEST_F(AtomicFileTest, NamesThePathThatCannotBeWritten) {
  const auto file = AtomicFile::create(directory_ / "absent/file");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, ErrorCode::kIo);
  EXPECT_THAT(file.error().to_string(),
              ::testing::EndsWith("/absent/file: cannot create a file beside it: No such file or "
                                  "directory"));
}

TEST_F(AtomicFileTest, CannotReplaceADirectory) {
  auto file = AtomicFile::create(path_);
  ASSERT_TRUE(file.ok());
  std::filesystem::create_directory(path_);
  const auto committed = file->commit();
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, ErrorCode::kIo);
  EXPECT_THAT(committed.error().message, ::testing::HasSubstr("cannot rename"));
}

}  // namespace
}  // namespace tern
