// The AMX tier: products of many tokens, attention of many queries over int8 pages, and scans by
// many rows, on tile registers; all else as the AVX-512 tier with VBMI. tests/conformance compiles
// this file once more with registers that are emulated, so that all of it runs on CPUs without AMX,
// too.
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

inline constexpr bool kSecondCache = true;

#include "kernels/avx512_vbmi/simd.h"
#include "kernels/generic/bodies.h"

TERN_INLINE void unpack_tile(const std::uint8_t* tile, Packing packing, std::uint8_t* to) {
  const int planes = packing == Packing::kFiveTrits ? 5 : 4;
  Codes codes[5];
#pragma GCC unroll 5
  for (int p = 0; p < planes; ++p) codes[p] = load_plane(tile, p, packing);
#pragma GCC unroll 5
  for (int p = 0; p < planes; ++p) _mm512_store_si512(to + p * kTileBytes, codes[p]);
}
TERN_INLINE void write_sums(const std::int32_t* sums, std::int32_t sum, float factor,
                            std::size_t rows, float* y) {
  store_outputs(y, rows, _mm512_load_si512(sums), sum, factor);
}

#include "kernels/amx/tmm.h"
#include "kernels/generic/tmm_attention_body.h"
#include "kernels/generic/tmm_body.h"
#include "kernels/generic/tmm_scan_body.h"

// Fewer tokens go to the dot products of four bytes, which read weights at the speed of memory,
// where nothing was measured.
constexpr std::uint32_t kLeastTmmTokens = 8;

void linear(const TernaryTiles& w, std::size_t rows, const QuantizedRows& x, std::size_t tokens,
            float* y, std::size_t y_stride) {
  if (tokens < (w.tile_tokens != 0 ? w.tile_tokens : kLeastTmmTokens)) {
    ternary_linear(w, rows, x, tokens, y, y_stride);
  } else if (w.packing == Packing::kFiveTrits) {
    tmm_linear<Packing::kFiveTrits>(w, rows, x, tokens, y, y_stride);
  } else {
    tmm_linear<Packing::kTwoBits>(w, rows, x, tokens, y, y_stride);
  }
}

// Fewer queries wait for memory, which the other way asks for at its pace.
constexpr std::size_t kLeastTmmQueries = kTmmRows;

void attention_int8(const Int8Query* queries, std::size_t count, float scale, const Int8Chunk& kv,
                    AttentionState* parts) {
  if (count < kLeastTmmQueries || !tmm_attention_takes(kv.head_dim)) {
    attention_chunk_int8(queries, count, scale, kv, parts);
  } else {
    tmm_attention_int8(queries, count, scale, kv, parts);
  }
}

// Fewer rows of digits wait for memory anyway.
constexpr std::size_t kLeastTmmDigits = 8;

void scan_high_digits(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                      float* const* values) {
  if (x.rows < kLeastTmmDigits || !tmm_scan_takes(w)) {
    scan_high(w, rows, x, values);
  } else {
    tmm_scan_high(w, rows, x, values);
  }
}

std::uint64_t ceiling_loop(std::uint64_t steps) {
  configure_tmm({kTmmRows});
  for (std::uint64_t step = 0; step < steps; ++step) {
    dot_tmm<0, 4, 6>();
    dot_tmm<1, 4, 7>();
    dot_tmm<2, 5, 6>();
    dot_tmm<3, 5, 7>();
  }
  release_tmm();
  return steps * 4 * kTmmRows * kTileRows * kTmmRowBytes;
}

constexpr std::uint32_t kAvx512Vbmi = kCpuAvx2 | kCpuFma | kCpuF16c | kCpuAvx512F | kCpuAvx512Bw |
                                      kCpuAvx512Vl | kCpuAvx512Vnni | kCpuAvx512Vbmi;

consteval KernelTable table_of(const char* name, std::uint32_t features) {
  KernelTable table = tier_table(name, features, linear, ceiling_loop);
  table.tile_tokens = kLeastTmmTokens;
  table.attention_chunk_int8 = attention_int8;
  table.scan_high = scan_high_digits;
  return table;
}

}  // namespace

#ifndef TERN_EMULATED_TMM
const KernelTable kAmxTable = table_of("amx", kAvx512Vbmi | kCpuAmxInt8);
#else
extern const KernelTable kAmxEmulatedTable;
const KernelTable kAmxEmulatedTable = table_of("amx-emulated", kAvx512Vbmi);
std::uint64_t emulated_configurations();
std::uint64_t emulated_configurations() { return registers.configurations; }
#endif

}  // namespace tern::kernels
