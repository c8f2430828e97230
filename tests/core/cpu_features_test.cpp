#include "core/cpu_features.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

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

TEST(CpuFeatures, AmxIsEitherFoundOrRefusedOrNotThere) {
  std::ifstream file("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const bool has_amx = text.find(" amx_int8") != std::string::npos;
  const bool found = (detect_cpu_features() & kCpuAmxInt8) != 0;
  EXPECT_EQ(found || amx_is_refused(), has_amx);
  EXPECT_FALSE(found && amx_is_refused());
}

TEST(CpuFeatures, TheModelHasAName) { EXPECT_FALSE(cpu_model().empty()); }

}  // namespace
}  // namespace tern
