// What the machine can give, read from roots made for the test.
#include "core/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "support/temporary_directory.h"

#if defined(__linux__)
#include <sched.h>
#include <sys/mman.h>
#endif

namespace tern {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

class Machine : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    const auto file = root() / path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  // The root's own CPU count is the affinity of the test: a bound above what the files say.
  std::uint32_t affinity() const { return usable_cores(empty_.path()); }
  std::uint64_t memory() const { return available_memory(root()); }
  std::uint32_t cores() const { return usable_cores(root()); }
  const std::filesystem::path& root() const { return directory_.path(); }

  void meminfo(std::uint64_t kib) {
    put("proc/meminfo", "MemTotal:       99999999 kB\nMemFree:             1 kB\nMemAvailable:   " +
                            std::to_string(kib) + " kB\nBuffers:             2 kB\n");
  }

 private:
  test::TemporaryDirectory directory_;
  test::TemporaryDirectory empty_;
};

TEST_F(Machine, AProcessBeganSoLongAfterTheSystem) {
  EXPECT_FALSE(process_start_seconds(root()));
  put("proc/stat", "cpu  1 2 3\nbtime_ 5\nbtime 1700000000\nprocesses 7\n");
  EXPECT_FALSE(process_start_seconds(root()));
  const std::string before = "12 (a) b 9) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 ";
  put("proc/self/stat", before);  // cut off
  EXPECT_FALSE(process_start_seconds(root()));
  put("proc/self/stat", before + std::to_string(25 * sysconf(_SC_CLK_TCK) / 10) + " 99 98");
  EXPECT_DOUBLE_EQ(process_start_seconds(root()).value(), 1700000002.5);
  put("proc/stat", "cpu  1 2 3\n");
  EXPECT_FALSE(process_start_seconds(root()));
}

TEST(ProcessStart, IsBeforeNow) {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  if (const auto start = process_start_seconds()) {
    EXPECT_LT(*start, now + 2);  // the kernel rounds the time at which it began itself
    EXPECT_GT(*start, now - 3600);
  }
}

TEST_F(Machine, NothingReadableIsUnlimited) { EXPECT_EQ(memory(), kUnlimited); }

TEST_F(Machine, MemAvailableInKib) {
  meminfo(123456);
  EXPECT_EQ(memory(), 123456u * 1024);
}

TEST_F(Machine, MeminfoWithoutTheLineIsUnlimited) {
  put("proc/meminfo", "MemTotal: 5 kB\nMemFree: 3 kB\n");
  EXPECT_EQ(memory(), kUnlimited);
}

TEST_F(Machine, MeminfoWithoutANumberIsUnlimited) {
  put("proc/meminfo", "MemAvailable: lots\n");
  EXPECT_EQ(memory(), kUnlimited);
}

TEST_F(Machine, V2LimitLessUse) {
  meminfo(1 << 30);
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "1000000\n");
  put("sys/fs/cgroup/job/memory.current", "300000\n");
  EXPECT_EQ(memory(), 700000u);
}

TEST_F(Machine, MemAvailableWinsWhereItIsLess) {
  meminfo(100);
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "1000000\n");
  put("sys/fs/cgroup/job/memory.current", "300000\n");
  EXPECT_EQ(memory(), 102400u);
}

TEST_F(Machine, V2TheTightestOfAllParentsCounts) {
  put("proc/self/cgroup", "0::/a/b/c\n");
  put("sys/fs/cgroup/a/b/c/memory.max", "9000\n");
  put("sys/fs/cgroup/a/b/c/memory.current", "1000\n");
  put("sys/fs/cgroup/a/b/memory.max", "max\n");
  put("sys/fs/cgroup/a/b/memory.current", "8900\n");
  put("sys/fs/cgroup/a/memory.max", "5000\n");
  put("sys/fs/cgroup/a/memory.current", "3000\n");
  EXPECT_EQ(memory(), 2000u);
}

// In a container's own namespace the group is the root of the mount.
TEST_F(Machine, V2RootOfTheMount) {
  put("proc/self/cgroup", "0::/\n");
  put("sys/fs/cgroup/memory.max", "5000\n");
  put("sys/fs/cgroup/memory.current", "4000\n");
  EXPECT_EQ(memory(), 1000u);
}

TEST_F(Machine, MaxIsNoLimit) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "max\n");
  put("sys/fs/cgroup/job/memory.current", "300000\n");
  EXPECT_EQ(memory(), kUnlimited);
}

TEST_F(Machine, NothingIsLeftOverTheLimit) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "1000\n");
  put("sys/fs/cgroup/job/memory.current", "1001\n");
  EXPECT_EQ(memory(), 0u);
}

TEST_F(Machine, V2PageCacheCountsAsFree) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "1000000\n");
  put("sys/fs/cgroup/job/memory.current", "990000\n");
  put("sys/fs/cgroup/job/memory.stat",
      "anon 90000\nfile 900000\nshmem 100000\ninactive_anon 7\nactive_file 300000\n"
      "inactive_file 500000\nunevictable 0\n");
  EXPECT_EQ(memory(), 810000u);
}

// The two numbers are not read at one moment.
TEST_F(Machine, MorePageCacheThanUseDoesNotWrap) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "1000\n");
  put("sys/fs/cgroup/job/memory.current", "500\n");
  put("sys/fs/cgroup/job/memory.stat", "inactive_file 600\n");
  EXPECT_EQ(memory(), 1000u);
}

TEST_F(Machine, V1LimitLessUse) {
  put("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/box/inner\n0::/\n");
  put("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "8000\n");
  put("sys/fs/cgroup/memory/box/memory.usage_in_bytes", "6000\n");
  put("sys/fs/cgroup/memory/box/memory.stat",
      "active_file 9\ntotal_active_file 100\ntotal_inactive_file 200\n");
  put("sys/fs/cgroup/memory/box/inner/memory.limit_in_bytes", "9223372036854771712\n");
  put("sys/fs/cgroup/memory/box/inner/memory.usage_in_bytes", "5000\n");
  EXPECT_EQ(memory(), 2300u);
}

TEST_F(Machine, RubbishIsNoLimit) {
  put("proc/self/cgroup", "rubbish\n0:\n0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "lots\n");
  put("sys/fs/cgroup/job/memory.current", "\n");
  put("sys/fs/cgroup/job/cpu.max", "fast\n");
  EXPECT_EQ(memory(), kUnlimited);
  EXPECT_EQ(cores(), affinity());
}

TEST_F(Machine, RubbishIsPassedOver) {
  put("proc/self/cgroup", "rubbish\n0:\n0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "5000\n");
  put("sys/fs/cgroup/job/memory.current", "4000\n");
  put("sys/fs/cgroup/job/memory.stat", "active_file\nrubbish 7\n 9\ninactive_file 100\n");
  EXPECT_EQ(memory(), 1100u);
}

TEST_F(Machine, ALimitWithoutItsUseIsNoLimit) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "5000\n");
  EXPECT_EQ(memory(), kUnlimited);
  put("sys/fs/cgroup/job/memory.current", "lots\n");
  EXPECT_EQ(memory(), kUnlimited);
}

TEST_F(Machine, AUseWithoutItsLimitIsNoLimit) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.current", "5000\n");
  EXPECT_EQ(memory(), kUnlimited);
}

TEST_F(Machine, ANumberThatOverflowsIsNoLimit) {
  put("proc/self/cgroup", "0::/job\n");
  put("sys/fs/cgroup/job/memory.max", "99999999999999999999999\n");
  put("sys/fs/cgroup/job/memory.current", "5000\n");
  EXPECT_EQ(memory(), kUnlimited);
}

// The quota is rounded up; it can only lower what the affinity allows.
TEST_F(Machine, V2QuotaIsRoundedUp) {
  put("proc/self/cgroup", "0::/job\n");
  const auto quota = [&](const std::string& line) {
    put("sys/fs/cgroup/job/cpu.max", line);
    return cores();
  };
  EXPECT_EQ(quota("150000 100000\n"), std::min(2u, affinity()));
  EXPECT_EQ(quota("200000 100000\n"), std::min(2u, affinity()));
  EXPECT_EQ(quota("100001 100000\n"), std::min(2u, affinity()));
  EXPECT_EQ(quota("100000 100000\n"), 1u);
  EXPECT_EQ(quota("1000 100000\n"), 1u);
  EXPECT_EQ(quota("0 100000\n"), 1u);
  EXPECT_EQ(quota("max 100000\n"), affinity());
  EXPECT_EQ(quota("100000 0\n"), affinity());
  EXPECT_EQ(quota("100000\n"), affinity());
}

TEST_F(Machine, V2QuotaOfAParent) {
  put("proc/self/cgroup", "0::/a/b\n");
  put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/a/cpu.max", "50000 100000\n");
  EXPECT_EQ(cores(), 1u);
}

TEST_F(Machine, V1QuotaWithoutAPeriodIsNone) {
  put("proc/self/cgroup", "5:cpu,cpuacct:/x\n");
  put("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(cores(), affinity());
}

TEST_F(Machine, V1Quota) {
  put("proc/self/cgroup", "5:cpu,cpuacct:/x\n0::/\n");
  put("sys/fs/cgroup/cpu/x/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cores(), affinity());
  put("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(cores(), affinity());
  put("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(cores(), 1u);
  put("sys/fs/cgroup/cpu/x/cpu.cfs_quota_us", "120000\n");
  EXPECT_EQ(cores(), std::min(2u, affinity()));
}

#if defined(__linux__)
TEST_F(Machine, CoresAreThoseOfTheAffinity) {
  cpu_set_t former;
  ASSERT_EQ(sched_getaffinity(0, sizeof(former), &former), 0);
  EXPECT_EQ(cores(), static_cast<std::uint32_t>(CPU_COUNT(&former)));
  int first = 0;
  while (!CPU_ISSET(first, &former)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const std::uint32_t found = cores();
  ASSERT_EQ(sched_setaffinity(0, sizeof(former), &former), 0);
  EXPECT_EQ(found, 1u);
}
#endif

TEST_F(Machine, PeakResidentBytesGrows) {
  const std::uint64_t before = peak_resident_bytes();
  EXPECT_GT(before, 1u << 20);  // the test itself
  EXPECT_LT(before, std::uint64_t{1} << 40);
  std::vector<char> used(64u << 20, 1);
  ASSERT_EQ(used.back(), 1);
  EXPECT_GE(peak_resident_bytes(), before);
  EXPECT_GE(peak_resident_bytes(), used.size());
}

#if defined(__linux__)
TEST_F(Machine, PeakResidentBytesBeginsAnew) {
  constexpr std::size_t kBytes = 256u << 20;
  void* pages = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  std::memset(pages, 1, kBytes);
  munmap(pages, kBytes);
  const std::uint64_t peak = peak_resident_bytes();
  ASSERT_GE(peak, kBytes);
  if (reset_peak_resident()) {
    EXPECT_LT(peak_resident_bytes(), peak - kBytes / 2);
  } else {
    EXPECT_GE(peak_resident_bytes(), peak);
  }
}
#endif

TEST(RequireMemory, RefusesWhatIsMoreThanAvailable) {
  EXPECT_TRUE(require_memory("weights", 100, 100).ok());
  EXPECT_TRUE(require_memory("weights", 0, 0).ok());
  EXPECT_TRUE(require_memory("weights", kUnlimited, kUnlimited).ok());
  EXPECT_FALSE(require_memory("weights", 101, 100).ok());
  const auto refused = require_memory("KV cache", (3u << 20) + 1, 2u << 20);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(refused.error().to_string(),
            "KV cache: needs 4 MiB, but this machine or its cgroup can give 2 MiB; choose a "
            "smaller context or model, or free memory");
}

}  // namespace
}  // namespace tern
