// The AMX tier: products of many tokens on tile registers; all else as the AVX-512 tier with VBMI.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "core/cpu_feature_bits.h"
#include "kernels/generic/constants.h"
#include "kernels/kernel_table.h"
#include "kernels/tables.h"

#define TERN_INLINE static inline __attribute__((always_inline))

namespace tern::kernels {
namespace {

#include "kernels/avx512_vbmi/simd.h"
#include "kernels/generic/bodies.h"

TERN_INLINE void unpack_plane(const std::uint8_t* tile, int plane, Packing packing,
                              std::uint8_t* to) {
  _mm512_store_si512(to, load_plane(tile, plane, packing));
}
TERN_INLINE void write_sums(const std::int32_t* sums, std::int32_t sum, float factor,
                            std::size_t rows, float* y) {
  store_outputs(y, rows, _mm512_load_si512(sums), sum, factor);
}

#include "kernels/amx/tmm.h"
#include "kernels/generic/tmm_body.h"

// Fewer tokens go to the dot products of four bytes, which read weights at the speed of memory.
constexpr std::size_t kLeastTmmTokens = 8;

void linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x, std::size_t tokens,
            float* y, std::size_t y_stride) {
  if (tokens < kLeastTmmTokens) {
    ternary_linear(w, rows, x, tokens, y, y_stride);
  } else if (w.packing == Packing::kFiveTrits) {
    tmm_linear<Packing::kFiveTrits>(w, rows, x, tokens, y, y_stride, pattern_of(w).prefetch_bytes);
  } else {
    tmm_linear<Packing::kTwoBits>(w, rows, x, tokens, y, y_stride, pattern_of(w).prefetch_bytes);
  }
}

std::uint64_t ceiling_loop(std::uint64_t steps) {
  configure_tmm(kTmmRows);
  for (std::uint64_t step = 0; step < steps; ++step) {
    dot_tmm<0, 4, 6>();
    dot_tmm<1, 4, 7>();
    dot_tmm<2, 5, 6>();
    dot_tmm<3, 5, 7>();
  }
  release_tmm();
  return steps * 4 * kTmmRows * kTileRows * kTmmRowBytes;
}

}  // namespace

const KernelTable kAmxTable =
    TERN_KERNEL_TABLE("amx",
                      (kCpuAvx2 | kCpuFma | kCpuF16c | kCpuAvx512F | kCpuAvx512Bw | kCpuAvx512Vl |
                       kCpuAvx512Vnni | kCpuAvx512Vbmi | kCpuAmxInt8),
                      linear, ceiling_loop);

}  // namespace tern::kernels
