#include "diagnose/measure/page_cache.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "support/temporary_directory.h"

namespace tern::diagnose {
namespace {

TEST(PageCache, AFileThatWasJustWrittenIsResident) {
  const test::TemporaryDirectory directory;
  const auto file = directory / "file";
  std::ofstream(file) << std::string(1u << 20, 'x');
  const auto before = resident_share(file);
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(*before, 1.0);
  ASSERT_TRUE(drop_from_page_cache(file).ok());
  const auto after = resident_share(file);  // none left, unless the file system is memory itself
  ASSERT_TRUE(after.ok());
  EXPECT_GE(*after, 0.0);
  EXPECT_LE(*after, 1.0);
}

TEST(PageCache, AMissingFileIsAnError) {
  const test::TemporaryDirectory directory;
  const auto share = resident_share(directory / "none");
  ASSERT_FALSE(share.ok());
  EXPECT_EQ(share.error().code, ErrorCode::kIo);
  const auto dropped = drop_from_page_cache(directory / "none");
  ASSERT_FALSE(dropped.ok());
  EXPECT_EQ(dropped.error().code, ErrorCode::kIo);
  const auto device = drop_from_page_cache("/dev/null");  // has nothing to write out
  ASSERT_FALSE(device.ok());
  EXPECT_EQ(device.error().code, ErrorCode::kIo);
}

}  // namespace
}  // namespace tern::diagnose
