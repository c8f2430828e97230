// What this CPU can execute. Detected once by the caller and passed down; there is no global.
#pragma once

#include <cstdint>
#include <string>

#include "core/cpu_feature_bits.h"

namespace tern {

// Features that both the CPU and the operating system (saved registers) support.
std::uint32_t detect_cpu_features();

// "avx2 fma f16c"; "none" for an empty mask.
std::string describe_cpu_features(std::uint32_t mask);

// The marketing name of the CPU, or "unknown CPU".
std::string cpu_model();

}  // namespace tern
