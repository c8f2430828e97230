#include "core/cpu_features.h"

#include <array>
#include <fstream>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace tern {
namespace {

constexpr std::array<std::pair<std::uint32_t, const char*>, 3> kNames{{
    {kCpuAvx2, "avx2"},
    {kCpuFma, "fma"},
    {kCpuF16c, "f16c"},
}};

}  // namespace

#if defined(__x86_64__)

std::uint32_t detect_cpu_features() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return 0;
  const bool os_saves_registers = (c & bit_OSXSAVE) != 0;
  if (!os_saves_registers) return 0;
  std::uint32_t xcr0_low = 0, xcr0_high = 0;
  __asm__("xgetbv" : "=a"(xcr0_low), "=d"(xcr0_high) : "c"(0));
  if ((xcr0_low & 0x6u) != 0x6u) return 0;
  std::uint32_t mask = 0;
  if ((c & bit_FMA) != 0) mask |= kCpuFma;
  if ((c & bit_F16C) != 0) mask |= kCpuF16c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_AVX2) != 0) mask |= kCpuAvx2;
  return mask;
}

#else

std::uint32_t detect_cpu_features() { return 0; }

#endif

std::string describe_cpu_features(std::uint32_t mask) {
  std::string text;
  for (const auto& [bit, label] : kNames) {
    if ((mask & bit) == 0) continue;
    if (!text.empty()) text += ' ';
    text += label;
  }
  return text.empty() ? "none" : text;
}

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

}  // namespace tern
