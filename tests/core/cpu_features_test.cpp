#include "core/cpu_features.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/amx_refusal.h"
#endif

namespace tern {
namespace {

TEST(CpuFeatures, AreDescribedInAFixedOrder) {
  EXPECT_EQ(describe_cpu_features(0), "none");
  EXPECT_EQ(describe_cpu_features(kCpuFma), "fma");
  EXPECT_EQ(describe_cpu_features(kCpuF16c | kCpuAvx2), "avx2 f16c");
  EXPECT_EQ(describe_cpu_features(kCpuF16c | kCpuFma | kCpuAvx2), "avx2 fma f16c");
}

TEST(CpuFeatures, UnknownBitsAreNotDescribed) {
  EXPECT_EQ(describe_cpu_features(1u << 31), "none");
}

#if defined(__x86_64__)
// The compiler's own detection, which also asks the system for its saved registers.
TEST(CpuFeatures, AreThoseThatTheCompilerDetects) {
  __builtin_cpu_init();
  const std::uint32_t found = detect_cpu_features();
  EXPECT_EQ((found & kCpuAvx2) != 0, __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ((found & kCpuFma) != 0, __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ((found & kCpuAvx512F) != 0, __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ((found & kCpuAvx512Bw) != 0, __builtin_cpu_supports("avx512bw") != 0);
  EXPECT_EQ((found & kCpuAvx512Vl) != 0, __builtin_cpu_supports("avx512vl") != 0);
  EXPECT_EQ((found & kCpuAvx512Vnni) != 0, __builtin_cpu_supports("avx512vnni") != 0);
#if defined(__GNUC__) && !defined(__clang__)
  EXPECT_EQ((found & kCpuF16c) != 0, __builtin_cpu_supports("f16c") != 0);
  EXPECT_EQ((found & kCpuAvxVnni) != 0, __builtin_cpu_supports("avxvnni") != 0);
#endif
}
#endif

#if defined(__x86_64__)
// What the CPU says of itself; a system that hides AMX leaves it out of /proc/cpuinfo.
TEST(CpuFeatures, AmxIsEitherFoundOrRefusedOrNotThere) {
  constexpr unsigned kTileAndInt8 = 3u << 24;
  unsigned a = 0, b = 0, c = 0, d = 0;
  const bool has_amx =
      __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kTileAndInt8) == kTileAndInt8;
  const bool found = (detect_cpu_features() & kCpuAmxInt8) != 0;
  EXPECT_EQ(found || amx_is_refused(), has_amx);
  EXPECT_FALSE(found && amx_is_refused());
  std::ifstream file("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_TRUE(!found || text.find(" amx_int8") != std::string::npos);
}

// In a child, for there is no way back from the filter.
TEST(CpuFeatures, AmxThatTheSystemRefusesIsNotFound) {
  const std::uint32_t found = detect_cpu_features();
  const bool has_amx = (found & kCpuAmxInt8) != 0 || amx_is_refused();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!test::refuse_amx()) _exit(2);
    const bool right = detect_cpu_features() == (found & ~std::uint32_t{kCpuAmxInt8}) &&
                       amx_is_refused() == has_amx;
    _exit(right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "the system lets no process filter its calls";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(CpuFeatures, CpusOfIntelFetchIntoTheSecondCache) {
  EXPECT_EQ(fetches_into_second_cache(),
            cpu_identity().find("vendor_id GenuineIntel") != std::string::npos);
}
#endif

TEST(CpuFeatures, TheModelHasAName) { EXPECT_FALSE(cpu_model().empty()); }

// A hypervisor gives many CPUs one name.
TEST(CpuFeatures, TheIdentityTellsCpusOfOneNameApart) {
  std::istringstream xeon(
      "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
      "model name\t: Intel(R) Xeon(R) Processor\nstepping\t: 8\nmicrocode\t: 0x1\ncpu MHz\t\t: "
      "1\n\n"
      "processor\t: 1\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nstepping\t: "
      "8\n");
  EXPECT_EQ(cpu_identity(xeon), "vendor_id GenuineIntel, cpu family 6, model 143, stepping 8");
}

TEST(CpuFeatures, TheIdentityOfArmHasEachKindOfCore) {
  std::istringstream cores(
      "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
      "CPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n"
      "processor\t: 1\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd05\n"
      "CPU revision\t: 1\n");
  EXPECT_EQ(cpu_identity(cores),
            "CPU implementer 0x41, CPU variant 0x3, CPU part 0xd0c, CPU revision 1, "
            "CPU part 0xd05");
}

TEST(CpuFeatures, TheIdentityOfNothingIsEmpty) {
  std::istringstream nothing("processor: 0\n: 7\nmodel name: x\n\n");
  EXPECT_EQ(cpu_identity(nothing), "");
}

}  // namespace
}  // namespace tern
