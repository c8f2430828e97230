#include "core/cpu_caches.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/temporary_directory.h"

namespace tern {
namespace {

class CpuCaches : public ::testing::Test {
 protected:
  // A cache as a CPU lists it.
  void put(const std::string& cpu, const std::string& index, const std::string& level,
           const std::string& type, const std::string& size, const std::string& shared) {
    const auto folder = directory_ / "sys/devices/system/cpu" / cpu / "cache" / index;
    std::filesystem::create_directories(folder);
    for (const auto& [name, text] :
         {std::pair{"level", level}, {"type", type}, {"size", size}, {"shared_cpu_list", shared}}) {
      std::ofstream(folder / name) << text << "\n";
    }
  }
  std::vector<CacheLevel> found() const { return cpu_caches(directory_.path()); }

 private:
  test::TemporaryDirectory directory_;
};

TEST_F(CpuCaches, CountsEachCacheOnceAndNoInstructions) {
  for (const std::string cpu : {"0", "1"}) {
    put("cpu" + cpu, "index0", "1", "Data", "48K", cpu);
    put("cpu" + cpu, "index1", "1", "Instruction", "32K", cpu);
    put("cpu" + cpu, "index2", "3", "Unified", "32768K", "0-1");
    put("cpu" + cpu, "index3", "2", "Unified", "1024K", cpu);
  }
  const auto levels = found();
  ASSERT_EQ(levels.size(), 3u);
  EXPECT_EQ(levels[0].bytes, 2u * 48 * 1024);
  EXPECT_EQ(levels[2].level, 3u);
  EXPECT_EQ(levels[2].count, 1u);
  EXPECT_EQ(levels[2].bytes, 32768u * 1024);
  EXPECT_EQ(describe_cpu_caches(levels), "2 x L1 48 KiB, 2 x L2 1024 KiB, 1 x L3 32768 KiB");
}

TEST_F(CpuCaches, NothingReadableIsNothing) {
  EXPECT_TRUE(found().empty());
  EXPECT_EQ(describe_cpu_caches({}), "unknown caches");
  put("cpu0", "index0", "1", "Data", "", "0");
  put("cpu0", "index1", "x", "Unified", "64K", "0");
  EXPECT_TRUE(found().empty());
}

}  // namespace
}  // namespace tern
