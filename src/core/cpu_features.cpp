#include "core/cpu_features.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace tern {
namespace {

constexpr std::array<std::pair<std::uint32_t, const char*>, 12> kNames{{
    {kCpuAvx2, "avx2"},
    {kCpuFma, "fma"},
    {kCpuF16c, "f16c"},
    {kCpuAvxVnni, "avx_vnni"},
    {kCpuAvx512F, "avx512f"},
    {kCpuAvx512Bw, "avx512bw"},
    {kCpuAvx512Vl, "avx512vl"},
    {kCpuAvx512Vnni, "avx512_vnni"},
    {kCpuAvx512Vbmi, "avx512_vbmi"},
    {kCpuDotprod, "asimddp"},
    {kCpuI8mm, "i8mm"},
    {kCpuAmxInt8, "amx_int8"},
}};

}  // namespace

#if defined(__x86_64__)

namespace {

bool cpu_has_amx_int8() {
  constexpr unsigned kTileBit = 1u << 24;  // of EDX; older <cpuid.h> do not name them
  constexpr unsigned kInt8Bit = 1u << 25;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  return (d & kTileBit) != 0 && (d & kInt8Bit) != 0;
}

// The registers take 8 KiB of a thread's state, which the kernel keeps for who asks alone. Asking
// again costs a system call and changes nothing.
bool may_use_amx() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool amx_is_refused() { return cpu_has_amx_int8() && (detect_cpu_features() & kCpuAmxInt8) == 0; }

bool fetches_into_second_cache() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0, &a, &b, &c, &d) != 0 && b == signature_INTEL_ebx &&
         c == signature_INTEL_ecx && d == signature_INTEL_edx;
}

std::uint32_t detect_cpu_features() {
  constexpr std::uint32_t kSavesAvx = 0x6;
  constexpr std::uint32_t kSavesAvx512 = 0xe6;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_OSXSAVE) == 0) return 0;
  std::uint32_t saved = 0, saved_high = 0;
  __asm__("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
  if ((saved & kSavesAvx) != kSavesAvx) return 0;
  std::uint32_t mask = 0;
  if ((c & bit_FMA) != 0) mask |= kCpuFma;
  if ((c & bit_F16C) != 0) mask |= kCpuF16c;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return mask;
  const unsigned subleaves = a;
  if ((b & bit_AVX2) != 0) mask |= kCpuAvx2;
  if ((saved & kSavesAvx512) == kSavesAvx512) {
    if ((b & bit_AVX512F) != 0) mask |= kCpuAvx512F;
    if ((b & bit_AVX512BW) != 0) mask |= kCpuAvx512Bw;
    if ((b & bit_AVX512VL) != 0) mask |= kCpuAvx512Vl;
    if ((c & bit_AVX512VNNI) != 0) mask |= kCpuAvx512Vnni;
    if ((c & bit_AVX512VBMI) != 0) mask |= kCpuAvx512Vbmi;
  }
  constexpr std::uint32_t kSavesAmx = 0x60000;
  if ((saved & kSavesAmx) == kSavesAmx && cpu_has_amx_int8() && may_use_amx()) {
    mask |= kCpuAmxInt8;
  }
  constexpr unsigned kAvxVnniBit = 1u << 4;  // of subleaf 1; older <cpuid.h> do not name it
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnniBit) != 0) {
    mask |= kCpuAvxVnni;
  }
  return mask;
}

#elif defined(__aarch64__)

std::uint32_t detect_cpu_features() {
  std::uint32_t mask = 0;
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) mask |= kCpuDotprod;
  if ((getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0) mask |= kCpuI8mm;
  return mask;
}

bool amx_is_refused() { return false; }
bool fetches_into_second_cache() { return false; }

#else

std::uint32_t detect_cpu_features() { return 0; }
bool amx_is_refused() { return false; }
bool fetches_into_second_cache() { return false; }

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

std::string cpu_identity(std::istream& cpuinfo) {
  constexpr std::array<std::string_view, 8> kTelling{"vendor_id", "cpu family",      "model",
                                                     "stepping",  "CPU implementer", "CPU variant",
                                                     "CPU part",  "CPU revision"};
  std::vector<std::string> found;
  for (std::string line; std::getline(cpuinfo, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string fact = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    if (std::find(kTelling.begin(), kTelling.end(), fact) == kTelling.end()) continue;
    fact += line.substr(colon + 1);
    if (std::find(found.begin(), found.end(), fact) == found.end()) found.push_back(fact);
  }
  std::string text;
  for (const std::string& fact : found) text += (text.empty() ? "" : ", ") + fact;
  return text;
}

std::string cpu_identity() {
  std::ifstream file("/proc/cpuinfo");
  return cpu_identity(file);
}

}  // namespace tern
