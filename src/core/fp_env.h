// The floating-point environment that the numbers assume: round to nearest even, denormals kept.
//
// A library loaded by the host process may have set flush-to-zero. Every public entry that computes
// and every worker thread holds a ScopedFpEnv, which restores the caller's environment at its end.
#pragma once

#include <cstdint>

namespace tern {

class ScopedFpEnv {
 public:
  ScopedFpEnv();
  ~ScopedFpEnv();
  ScopedFpEnv(const ScopedFpEnv&) = delete;
  ScopedFpEnv& operator=(const ScopedFpEnv&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace tern
