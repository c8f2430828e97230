// The folder while it is made: whose it is, what is cleared of it, and where it may be put.
#include "convert/staged_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "convert/output_file.h"
#include "support/temporary_directory.h"

namespace tern::convert {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kFingerprint(64, 'a');
constexpr std::uint64_t kBytes = 4096;

class StagedFolderTest : public ::testing::Test {
 protected:
  StagedFolder open() const {
    auto folder = StagedFolder::open(path_);
    EXPECT_TRUE(folder.ok()) << folder.error().to_string();
    return std::move(*folder);
  }
  std::string refusal() const {
    const auto folder = StagedFolder::open(path_);
    EXPECT_FALSE(folder.ok());
    EXPECT_EQ(folder.error().code, ErrorCode::kUsage);
    return folder.error().message;
  }
  static OutputFile weights(const StagedFolder& folder) {
    auto file = OutputFile::open(folder.weights(), kFingerprint, kBytes);
    EXPECT_TRUE(file.ok()) << file.error().to_string();
    return std::move(*file);
  }
  static void put(const fs::path& file) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "mine";
  }
  static std::vector<std::string> names(const fs::path& folder) {
    std::vector<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      found.push_back(entry.path().lexically_relative(folder).string());
    }
    std::ranges::sort(found);
    return found;
  }

  test::TemporaryDirectory root_;
  const fs::path path_ = root_ / "out";
  const fs::path part_ = root_ / "out.part";
};

// Between the name of the finished weights and that of the folder, too.
TEST_F(StagedFolderTest, IsLockedUntilItIsAtItsPlace) {
  const StagedFolder first = open();
  EXPECT_THAT(refusal(), HasSubstr("another transcoding is writing this folder"));
  ASSERT_TRUE(first.write("config.json", "{}").ok());
  ASSERT_TRUE(weights(first).commit().ok());
  EXPECT_THAT(refusal(), HasSubstr("another transcoding is writing this folder"));
  ASSERT_TRUE(first.commit().ok());
  EXPECT_THAT(refusal(), HasSubstr("expected a new or an empty folder"));
  EXPECT_THAT(names(root_.path()), ElementsAre("out", "out/config.json", "out/model.safetensors"));
}

TEST_F(StagedFolderTest, ClearsWhatAnEndedCallLeft) {
  {
    const StagedFolder ended = open();
    ASSERT_TRUE(ended.write("tokenizer.json", "old").ok());
    ASSERT_TRUE(ended.write("1_Pooling/config.json", "old").ok());
    ASSERT_TRUE(weights(ended).record(3, {7, 0}).ok());
  }
  const StagedFolder folder = open();
  EXPECT_FALSE(fs::exists(part_ / "tokenizer.json"));
  EXPECT_FALSE(fs::exists(part_ / "1_Pooling"));
  EXPECT_TRUE(weights(folder).recorded(3));
}

TEST_F(StagedFolderTest, TakesAnEmptyFolderOfThatName) {
  fs::create_directory(part_);
  const StagedFolder folder = open();
  ASSERT_TRUE(folder.commit().ok());
  EXPECT_THAT(names(root_.path()), ElementsAre("out"));
}

// All of these names are such as a checkpoint has.
TEST_F(StagedFolderTest, LeavesAFolderThatItDidNotMake) {
  const std::vector<std::string> files{"1_Pooling/config.json",  "config.json",
                                       "model.safetensors",      "model.safetensors.journal",
                                       "model.safetensors.part", "tokenizer.json"};
  for (const std::string& file : files) put(part_ / file);
  const std::vector<std::string> before = names(part_);
  EXPECT_THAT(refusal(), HasSubstr("found another one"));
  EXPECT_EQ(names(part_), before);
  for (const std::string& file : files) EXPECT_EQ(fs::file_size(part_ / file), 4u) << file;
}

TEST_F(StagedFolderTest, LeavesWhatIsNoFolder) {
  put(part_);
  EXPECT_THAT(refusal(), HasSubstr("found another one"));
  fs::remove(part_);
  fs::create_directory(root_ / "elsewhere");
  fs::create_directory_symlink(root_ / "elsewhere", part_);
  EXPECT_THAT(refusal(), HasSubstr("found another one"));
  fs::remove(root_ / "elsewhere");
  EXPECT_THAT(refusal(), HasSubstr("found another one"));
  EXPECT_TRUE(fs::is_symlink(part_));
}

TEST_F(StagedFolderTest, RemovesNothingBesideWhatIsNotItsOwn) {
  for (const char* alien : {"notes.txt", "1_Pooling/notes.txt", "modules.json/notes.txt"}) {
    {
      const StagedFolder ended = open();
      ASSERT_TRUE(ended.write("config.json", "{}").ok());
      ASSERT_TRUE(ended.write("1_Pooling/config.json", "{}").ok());
    }
    put(part_ / alien);
    const std::vector<std::string> before = names(part_);
    EXPECT_THAT(refusal(), HasSubstr("take it away")) << alien;
    EXPECT_EQ(names(part_), before);
    fs::remove_all(part_);
  }
}

// A link would be written through, and a folder's content is somebody's.
TEST_F(StagedFolderTest, LeavesLinksAlone) {
  { open(); }
  put(root_ / "precious");
  fs::create_symlink(root_ / "precious", part_ / "model.safetensors.part");
  EXPECT_THAT(refusal(), HasSubstr("'model.safetensors.part'"));
  fs::remove(part_ / "model.safetensors.part");
  fs::create_directory_symlink(root_.path(), part_ / "1_Pooling");
  EXPECT_THAT(refusal(), HasSubstr("'1_Pooling'"));
  EXPECT_EQ(fs::file_size(root_ / "precious"), 4u);
}

TEST_F(StagedFolderTest, LeavesNothingWhereItRefuses) {
  put(path_ / "file");
  EXPECT_THAT(refusal(), HasSubstr("expected a new or an empty folder"));
  EXPECT_FALSE(fs::exists(part_));
}

TEST_F(StagedFolderTest, HasTheModeOfTheFolderThatItReplaces) {
  fs::create_directory(path_);
  fs::permissions(path_, fs::perms::owner_all);
  const StagedFolder folder = open();
  EXPECT_EQ(fs::status(part_).permissions(), fs::perms::owner_all);  // while it is made, too
  ASSERT_TRUE(folder.commit().ok());
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms::owner_all);
}

TEST_F(StagedFolderTest, FindsThePlaceBehindDotsAndLinks) {
  const fs::path root = fs::canonical(root_.path());
  fs::create_directory(path_);
  fs::create_directory_symlink(path_, root_ / "link");
  for (const char* name : {"out", "out/", "out/.", "link", "link/", "./out", "link/../out"}) {
    const auto place = StagedFolder::find_place(root_ / name);
    ASSERT_TRUE(place.ok()) << name << ": " << place.error().to_string();
    EXPECT_EQ(*place, root / "out") << name;
  }
  const auto made = StagedFolder::find_place(root_ / "new/");
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(*made, root / "new");
  const auto relative = StagedFolder::find_place("no-such-folder");
  ASSERT_TRUE(relative.ok());
  EXPECT_EQ(*relative, fs::current_path() / "no-such-folder");
}

TEST_F(StagedFolderTest, RefusesPlacesThatCannotBeReplaced) {
  const auto refused = [](const fs::path& path) {
    const auto place = StagedFolder::find_place(path);
    EXPECT_FALSE(place.ok()) << path;
    EXPECT_EQ(place.error().code, ErrorCode::kUsage);
    return place.error().message;
  };
  EXPECT_THAT(refused(""), HasSubstr("expected the name of a folder"));
  EXPECT_THAT(refused("."), HasSubstr("the folder in which this runs"));
  EXPECT_THAT(refused(fs::current_path() / "."), HasSubstr("the folder in which this runs"));
  EXPECT_THAT(refused("/"), HasSubstr("where a file system begins"));
  EXPECT_THAT(refused("/proc"), HasSubstr("where a file system begins"));
  put(path_);
  EXPECT_THAT(refused(path_), HasSubstr("expected a new or an empty folder"));
  fs::create_symlink(root_ / "nowhere", root_ / "dangling");
  EXPECT_THAT(refused(root_ / "dangling"), HasSubstr("expected a new or an empty folder"));
}

}  // namespace
}  // namespace tern::convert
