// A canary for the compiler's flags: compiled as a tier with FMA is, a product and a sum keep their
// two roundings, in plain code and in intrinsics (GCC 12 contracts both unless told not to).
#include <gtest/gtest.h>

#include "core/cpu_features.h"

float plain_multiply_add(float a, float b, float c);
float vector_multiply_add(float a, float b, float c);
float fused_multiply_add(float a, float b, float c);

namespace tern {
namespace {

TEST(Contraction, ProductAndSumKeepTheirTwoRoundings) {
  constexpr std::uint32_t kNeeded = kCpuAvx2 | kCpuFma;
  if ((detect_cpu_features() & kNeeded) != kNeeded) GTEST_SKIP() << "this CPU lacks avx2 or fma";
  const float a = 1.0f + 0x1p-12f;  // its square needs one bit more than a float has
  const float minus_rounded_square = -(1.0f + 0x1p-11f);
  EXPECT_EQ(plain_multiply_add(a, a, minus_rounded_square), 0.0f);
  EXPECT_EQ(vector_multiply_add(a, a, minus_rounded_square), 0.0f);
  EXPECT_EQ(fused_multiply_add(a, a, minus_rounded_square), 0x1p-24f);
}

}  // namespace
}  // namespace tern
