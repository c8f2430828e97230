#include "core/mapped_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <utility>

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

TEST_F(MappedFileTest, HoldsTheBytes) {
  const auto file = MappedFile::open(written("a", "some bytes"));
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_EQ(text(*file), "some bytes");
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
