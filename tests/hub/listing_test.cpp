// What a server says of a repository: taken where it is sound, and refused at its limits.
#include "hub/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern::hub {
namespace {

using testing::HasSubstr;

const std::string kSha1(40, 'a');
const std::string kSha256(64, '0');

std::string file(const std::string& path, const std::string& rest) {
  return R"({"type": "file", "path": ")" + path + "\"" + rest + "}";
}
std::string small(const std::string& path, const std::string& size = "5") {
  return file(path, R"(, "size": )" + size + R"(, "oid": ")" + kSha1 + "\"");
}
std::string large(const std::string& size, const std::string& hash) {
  return file("a", R"(, "size": 7, "oid": ")" + kSha1 + R"(", "lfs": {"size": )" + size +
                       R"(, "oid": ")" + hash + "\"}");
}

std::string error_of(const std::string& text, std::vector<RemoteEntry> files = {}) {
  const auto outcome = parse_tree_page(text, "there", files);
  return outcome ? "no error" : outcome.error().to_string();
}

TEST(Listing, TakesFilesAndLeavesFolders) {
  std::vector<RemoteEntry> files;
  const std::string folder = R"({"type": "directory", "path": "b", "size": 0})";
  ASSERT_TRUE(parse_tree_page("[" + folder + "," + small("b/c", "0") + "]", "there", files).ok());
  ASSERT_TRUE(parse_tree_page("[" + large("17592186044416", kSha256) + "]", "there", files).ok());
  const std::vector<RemoteEntry> expected{{"b/c", 0, kSha1}, {"a", kMostFileBytes, kSha256}};
  EXPECT_EQ(files, expected);
}

TEST(Listing, RefusesOthers) {
  EXPECT_THAT(error_of("{"), HasSubstr("is this a hub?"));
  EXPECT_THAT(error_of("{}"), HasSubstr("expected a list of files"));
  EXPECT_THAT(error_of("[1]"), HasSubstr("expected objects in the list"));
  EXPECT_THAT(error_of(R"([{"type": "link"}])"), HasSubstr("expected 'file' or 'directory'"));
  EXPECT_THAT(error_of(R"([{"type": 1}])"), HasSubstr("expected 'file' or 'directory'"));
  EXPECT_THAT(error_of(R"([{"type": "file"}])"), HasSubstr("expected a path of each file"));
  EXPECT_THAT(error_of("[" + small("../a") + "]"),
              HasSubstr("refused: the listing has a file '.."));
  for (const char* size :
       {"-1", "1.5", "\"5\"", "null", "false", "true", "17592186044417", "99999999999999999999"}) {
    EXPECT_THAT(error_of("[" + small("a", size) + "]"), HasSubstr("expected a size of 'a'"))
        << size;
  }
  EXPECT_THAT(error_of("[" + file("a", R"(, "oid": ")" + kSha1 + "\"") + "]"),
              HasSubstr("expected a size of 'a'"));
  EXPECT_THAT(error_of("[" + file("a", R"(, "size": 5)") + "]"),
              HasSubstr("a hash of 'a' with 40"));
  for (const std::string& hash :
       {kSha1, kSha256 + "0", std::string(64, 'A'), std::string(64, 'g')}) {
    EXPECT_THAT(error_of("[" + large("5", hash) + "]"), HasSubstr("a hash of 'a' with 64")) << hash;
  }
}

TEST(Listing, ShowsLongNamesInShort) {
  const std::string name(80, 'n');
  EXPECT_THAT(error_of("[" + small(name, "-1") + "]"), HasSubstr("'" + name + "'"));
  EXPECT_THAT(error_of("[" + small(name + "x", "-1") + "]"), HasSubstr("'" + name + "...'"));
}

TEST(Listing, HoldsAsManyFilesAsItsLimitSays) {
  std::vector<RemoteEntry> files(kMostListingFiles - 1);
  EXPECT_EQ(error_of("[" + small("a") + "]", files), "no error");
  EXPECT_THAT(error_of("[" + small("a") + "," + small("b") + "]", files),
              HasSubstr("expected at most 100000 files"));
}

TEST(Listing, PathsStandInOneFolder) {
  const auto check = [](std::vector<std::string> paths) {
    std::vector<RemoteEntry> files;
    for (std::string& path : paths) files.push_back({std::move(path), 0, ""});
    const auto outcome = check_paths(files, "there");
    return outcome ? "" : outcome.error().to_string();
  };
  EXPECT_EQ(check({"a", "b", "c/d/e", "c/d/f", "ab/c"}), "");
  EXPECT_THAT(check({"a", "b", "a"}), HasSubstr("has 'a' twice"));
  EXPECT_THAT(check({"a/b", "a"}), HasSubstr("has 'a' as a file and as a folder"));
  EXPECT_THAT(check({"a/b", "a/b/c/d"}), HasSubstr("has 'a/b' as a file and as a folder"));
}

TEST(Listing, CommitsAreRead) {
  EXPECT_EQ(*parse_commit(R"({"sha": ")" + kSha1 + R"("})", "there"), kSha1);
  for (const std::string& text :
       {std::string("[]"), std::string("{}"), std::string(R"({"sha": 1})"),
        R"({"sha": ")" + kSha1 + R"(a"})", R"({"sha": ")" + std::string(40, 'x') + R"("})"}) {
    const auto commit = parse_commit(text, "there");
    ASSERT_FALSE(commit.ok()) << text;
    EXPECT_THAT(commit.error().to_string(), HasSubstr("expected the commit of the revision"));
  }
}

}  // namespace
}  // namespace tern::hub
