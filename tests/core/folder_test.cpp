#include "core/folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "support/temporary_directory.h"

namespace tern {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class FolderTest : public testing::Test {
 protected:
  void write(const char* name, const std::string& text) { std::ofstream(place_ / name) << text; }

  test::TemporaryDirectory place_;
};

TEST_F(FolderTest, HasFilesAndFoldersOfFiles) {
  write("b", "bytes");
  std::filesystem::create_directory(place_ / "a");
  write("a/c", "more");
  const auto folder = open_folder(place_ / "a" / "..");
  ASSERT_TRUE(folder.ok());
  EXPECT_THAT((*folder)->files(), ElementsAre("a", "b"));
  EXPECT_TRUE((*folder)->has("a/c"));
  EXPECT_FALSE((*folder)->has("c"));
  EXPECT_EQ(*read_text(**folder, "a/c", 4), "more");
  EXPECT_THAT((*folder)->where("a/c"), HasSubstr("/a/c"));
  EXPECT_EQ(std::string("/").append((*folder)->name()),
            place_.path().string().substr(place_.path().string().rfind('/')));
}

TEST_F(FolderTest, ReadsByOffsetAndNotBehindTheEnd) {
  write("b", "bytes");
  const auto file = open_file_source(place_ / "b");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->size(), 5u);
  EXPECT_EQ((*file)->expected_sha256(), "");
  std::array<std::byte, 2> bytes{};
  ASSERT_TRUE((*file)->read(3, bytes).ok());
  EXPECT_EQ(bytes[0], std::byte{'e'});
  EXPECT_FALSE((*file)->read(4, bytes).ok());
}

TEST_F(FolderTest, TellsThatAFileChanged) {
  write("b", "bytes");
  const auto file = open_file_source(place_ / "b");
  ASSERT_TRUE((*file)->check_unchanged().ok());
  const std::string before = (*file)->identity();
  std::ofstream(place_ / "b", std::ios::app) << "!";
  const auto changed = (*file)->check_unchanged();
  ASSERT_FALSE(changed.ok());
  EXPECT_EQ(changed.error().code, ErrorCode::kIo);
  EXPECT_NE((*open_file_source(place_ / "b"))->identity(), before);
}

TEST_F(FolderTest, RefusesOthers) {
  write("b", "bytes");
  EXPECT_FALSE(open_folder(place_ / "b").ok());
  EXPECT_FALSE(open_folder(place_ / "none").ok());
  EXPECT_FALSE(open_file_source(place_ / "none").ok());
  EXPECT_FALSE(open_file_source(place_.path()).ok());
  const auto folder = open_folder(place_.path());
  const auto longer = read_text(**folder, "b", 4);
  ASSERT_FALSE(longer.ok());
  EXPECT_EQ(longer.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace tern
