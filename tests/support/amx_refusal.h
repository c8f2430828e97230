// A system that refuses AMX: a filter on this process's calls, which threads, children and programs
// that it starts inherit and nobody can lift.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace tern::test {

// Whether the filter is in place.
inline bool refuse_amx() {
  constexpr unsigned kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  const auto load = [](std::size_t at) {
    return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<unsigned>(at)};
  };
  const auto skip_unless = [](unsigned value, unsigned char instructions) {
    return sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, instructions, value};
  };
  const auto give = [](unsigned value) { return sock_filter{BPF_RET | BPF_K, 0, 0, value}; };
  std::array filter{
      load(offsetof(seccomp_data, arch)), skip_unless(AUDIT_ARCH_X86_64, 5),
      load(offsetof(seccomp_data, nr)),   skip_unless(SYS_arch_prctl, 3),
      load(offsetof(seccomp_data, args)), skip_unless(kRequestPermission, 1),
      give(SECCOMP_RET_ERRNO | EPERM),    give(SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace tern::test
