#include "core/fp_env.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
#include <limits>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tern {
namespace {

// Products that rounding and denormal settings change. volatile: computed here and now.
float half_of_the_least_normal() {
  volatile float x = std::numeric_limits<float>::min();
  return x * 0.5f;
}
float double_of_a_denormal() {
  volatile float x = std::ldexp(1.0f, -130);
  return x * 2.0f;
}
float one_and_a_bit() {
  volatile float x = 1.0f;
  volatile float tiny = 1e-20f;
  return x + tiny;
}

TEST(ScopedFpEnv, RoundsToNearestAndRestoresTheCallersMode) {
  ASSERT_EQ(std::fesetround(FE_UPWARD), 0);
  const float before = one_and_a_bit();
  float within = 0.0f;
  {
    const ScopedFpEnv fp_env;
    within = one_and_a_bit();
  }
  const float after = one_and_a_bit();
  std::fesetround(FE_TONEAREST);
  EXPECT_GT(before, 1.0f);
  EXPECT_EQ(within, 1.0f);
  EXPECT_GT(after, 1.0f);
}

TEST(ScopedFpEnv, Nests) {
  ASSERT_EQ(std::fesetround(FE_UPWARD), 0);
  float within = 0.0f;
  {
    const ScopedFpEnv outer;
    { const ScopedFpEnv inner; }
    within = one_and_a_bit();
  }
  const float after = one_and_a_bit();
  std::fesetround(FE_TONEAREST);
  EXPECT_EQ(within, 1.0f);
  EXPECT_GT(after, 1.0f);
}

#if defined(__x86_64__)

constexpr unsigned kFlushToZero = 0x8000;
constexpr unsigned kDenormalsAreZero = 0x0040;

TEST(ScopedFpEnv, KeepsDenormalsWhereTheCallerFlushesThem) {
  const unsigned former = _mm_getcsr();
  _mm_setcsr(former | kFlushToZero | kDenormalsAreZero);
  const float flushed_result = half_of_the_least_normal();
  const float flushed_input = double_of_a_denormal();
  float result = 0.0f;
  float input = 0.0f;
  {
    const ScopedFpEnv fp_env;
    result = half_of_the_least_normal();
    input = double_of_a_denormal();
  }
  const unsigned after = _mm_getcsr();
  _mm_setcsr(former);
  EXPECT_EQ(flushed_result, 0.0f);  // else this test shows nothing
  EXPECT_EQ(flushed_input, 0.0f);
  EXPECT_EQ(result, std::ldexp(1.0f, -127));
  EXPECT_EQ(input, std::ldexp(1.0f, -129));
  EXPECT_EQ(after & kFlushToZero, kFlushToZero);
  EXPECT_EQ(after & kDenormalsAreZero, kDenormalsAreZero);
}

// An exception that the caller has unmasked would be a signal in the middle of a kernel.
TEST(ScopedFpEnv, MasksExceptions) {
  constexpr unsigned kDivideByZeroMask = 0x0200;
  const unsigned former = _mm_getcsr();
  _mm_setcsr(former & ~kDivideByZeroMask);
  unsigned within = 0;
  {
    const ScopedFpEnv fp_env;
    within = _mm_getcsr();
  }
  const unsigned after = _mm_getcsr();
  _mm_setcsr(former);
  EXPECT_EQ(within, 0x1f80u);
  EXPECT_EQ(after & kDivideByZeroMask, 0u);
}

#endif

}  // namespace
}  // namespace tern
