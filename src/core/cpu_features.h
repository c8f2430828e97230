// What this CPU can execute. Detected once by the caller and passed down; there is no global.
#pragma once

#include <cstdint>
#include <string>

#include "core/cpu_feature_bits.h"

namespace tern {

// Features that both the CPU and the operating system (saved registers) support. Asks the system to
// let this process use AMX where there is any, so the first call comes before there are threads.
std::uint32_t detect_cpu_features();

// Whether the CPU has AMX, but detect_cpu_features() leaves it out because the system refuses it.
bool amx_is_refused();

// "avx2 fma f16c"; "none" for an empty mask.
std::string describe_cpu_features(std::uint32_t mask);

// The marketing name of the CPU, or "unknown CPU".
std::string cpu_model();

}  // namespace tern
