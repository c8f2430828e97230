// Names of CPU features as bits of a mask. Kept apart from cpu_features.h so that a kernel tier can
// include it: nothing here has code.
#pragma once

#include <cstdint>

namespace tern {

enum CpuFeature : std::uint32_t {
  kCpuAvx2 = 1u << 0,
  kCpuFma = 1u << 1,
  kCpuF16c = 1u << 2,
};

}  // namespace tern
