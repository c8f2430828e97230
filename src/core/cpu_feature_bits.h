// Names of CPU features as bits of a mask. Kept apart from cpu_features.h so that a kernel tier can
// include it: nothing here has code.
#pragma once

#include <cstdint>

namespace tern {

enum CpuFeature : std::uint32_t {
  kCpuAvx2 = 1u << 0,
  kCpuFma = 1u << 1,
  kCpuF16c = 1u << 2,
  kCpuAvxVnni = 1u << 3,
  kCpuAvx512F = 1u << 4,
  kCpuAvx512Bw = 1u << 5,
  kCpuAvx512Vl = 1u << 6,
  kCpuAvx512Vnni = 1u << 7,
  kCpuAvx512Vbmi = 1u << 8,
  kCpuDotprod = 1u << 9,
  kCpuI8mm = 1u << 10,
  kCpuAmxInt8 = 1u << 11,  // tile registers, their int8 products, and permission to use them
};

}  // namespace tern
