// What this CPU can execute. Detected once by the caller and passed down; there is no global.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "core/cpu_feature_bits.h"

namespace tern {

// Features that both the CPU and the operating system (saved registers) support. Asks the system to
// let this process use AMX where there is any, so the first call comes before there are threads.
std::uint32_t detect_cpu_features();

// Whether memory is read fastest by asking for it into the second cache, as on CPUs of Intel, whose
// first cache has 10 to 16 places for lines on their way: past the second one they wait in those.
// On those of AMD what a run of weights leaves in the second cache costs more than that.
bool fetches_into_second_cache();

// Whether the CPU has AMX, but detect_cpu_features() leaves it out because the system refuses it.
bool amx_is_refused();

// "avx2 fma f16c"; "none" for an empty mask.
std::string describe_cpu_features(std::uint32_t mask);

// The marketing name of the CPU, or "unknown CPU".
std::string cpu_model();

// What tells CPUs of one name apart: "vendor_id GenuineIntel, cpu family 6, model 143, stepping 8";
// on Arm implementer, variant, part and revision, each kind of core once. Empty where the system
// says none. `cpuinfo` is text as that of /proc/cpuinfo, which the other one reads.
std::string cpu_identity(std::istream& cpuinfo);
std::string cpu_identity();

}  // namespace tern
