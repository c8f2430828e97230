#include "core/fp_env.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tern {

#if defined(__x86_64__)

namespace {
constexpr unsigned kMxcsrDefault = 0x1f80;  // nearest even, no FTZ, no DAZ, exceptions masked
}

ScopedFpEnv::ScopedFpEnv() : saved_(_mm_getcsr()) { _mm_setcsr(kMxcsrDefault); }
ScopedFpEnv::~ScopedFpEnv() { _mm_setcsr(static_cast<unsigned>(saved_)); }

#elif defined(__aarch64__)

ScopedFpEnv::ScopedFpEnv() : saved_(0) {
  __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
  __asm__ volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
}
ScopedFpEnv::~ScopedFpEnv() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

#else
#error "Tern does not know this processor's floating-point control register"
#endif

}  // namespace tern
