// The tile registers of generic/tmm_body.h as AMX has them. Included inside an anonymous namespace.
//
// Own wrappers: GCC 12's declare 8 of the 64 bytes that ldtilecfg reads, and the compiler may drop
// the stores before it. Here each asm names all that it reads, or clobbers memory. The compiler
// knows nothing of the registers: between configure_tmm() and release_tmm() nothing else uses them.

#include "kernels/generic/tmm_shape.h"

struct TmmConfig {
  std::uint8_t palette;
  std::uint8_t start_row;
  std::uint8_t reserved[14];
  std::uint16_t row_bytes[16];
  std::uint8_t rows[16];
};
static_assert(sizeof(TmmConfig) == 64);

TERN_INLINE void configure_tmm(const TmmShape& shape) {
  TmmConfig config{};
  config.palette = 1;
  for (int i = 0; i < kTmmRegisters; ++i) {
    config.row_bytes[i] = kTmmRowBytes;
    config.rows[i] = static_cast<std::uint8_t>(rows_of(shape, i));
  }
  __asm__ volatile("ldtilecfg %0" : : "m"(config));
}
TERN_INLINE void release_tmm() { __asm__ volatile("tilerelease"); }

template <int kTmm>
TERN_INLINE void zero_tmm() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTmm));
}
template <int kTmm>
TERN_INLINE void load_tmm(const void* from, std::size_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2"
                   :
                   : "r"(from), "r"(stride), "i"(kTmm)
                   : "memory");
}
template <int kTmm>
TERN_INLINE void store_tmm(void* to, std::size_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTmm) : "memory");
}
template <int kSums, int kSigned, int kUnsigned>
TERN_INLINE void dot_tmm() {
  __asm__ volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0"
                   :
                   : "i"(kSums), "i"(kSigned), "i"(kUnsigned));
}
template <int kSums, int kSigned, int kOther>
TERN_INLINE void dot_signed_tmm() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0"
                   :
                   : "i"(kSums), "i"(kSigned), "i"(kOther));
}
