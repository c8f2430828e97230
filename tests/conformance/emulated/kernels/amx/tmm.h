// The tile registers of generic/tmm_body.h, tmm_scan_body.h and tmm_attention_body.h, emulated.
// Included, as amx/tmm.h is, inside an anonymous namespace behind TERN_INLINE.
//
// The registers hold garbage until they are configured and after they are released, and what lies
// beyond the rows of a register is neither read nor written. A wrong use ends the program.

#include "kernels/generic/tmm_shape.h"

struct Registers {
  std::size_t rows[kTmmRegisters];
  std::uint8_t bytes[kTmmRegisters][kTmmRows][kTmmRowBytes];
  bool configured;
  std::uint64_t configurations;   // so far
  const std::int8_t* values_end;  // behind the last activation; null: not looked at
};
thread_local Registers registers;

TERN_INLINE void demand(bool holds) {
  if (!holds) __builtin_trap();
}

TERN_INLINE void configure_tmm(const TmmShape& shape) {
  for (int t = 0; t < kTmmRegisters; ++t) {
    registers.rows[t] = rows_of(shape, t);
    demand(registers.rows[t] > 0 && registers.rows[t] <= kTmmRows);
  }
  __builtin_memset(registers.bytes, 0, sizeof registers.bytes);
  registers.configured = true;
  ++registers.configurations;
}
TERN_INLINE void release_tmm() {
  demand(registers.configured);
  __builtin_memset(registers.bytes, 0x55, sizeof registers.bytes);
  registers.configured = false;
}
template <int kTmm>
TERN_INLINE void zero_tmm() {
  demand(registers.configured);
  __builtin_memset(registers.bytes[kTmm], 0, kTmmRows * kTmmRowBytes);
}
template <int kTmm>
TERN_INLINE void load_tmm(const void* from, std::size_t stride) {
  demand(registers.configured);
  for (std::size_t row = 0; row < registers.rows[kTmm]; ++row) {
    const std::int8_t* at = static_cast<const std::int8_t*>(from) + row * stride;
    const bool activations = kTmm >= 4 && kTmm < kFirstCodes;
    if (activations && registers.values_end != nullptr) {
      demand(at + kTmmRowBytes <= registers.values_end);
    }
    __builtin_memcpy(registers.bytes[kTmm][row], at, kTmmRowBytes);
  }
}
template <int kTmm>
TERN_INLINE void store_tmm(void* to, std::size_t stride) {
  demand(registers.configured);
  for (std::size_t row = 0; row < registers.rows[kTmm]; ++row) {
    char* at = static_cast<char*>(to) + row * stride;
    __builtin_memcpy(at, registers.bytes[kTmm][row], kTmmRowBytes);
  }
}

// Of bytes of B as `Byte` takes them.
template <int kSums, int kSigned, int kOther, typename Byte>
TERN_INLINE void add_products() {
  demand(registers.configured && registers.rows[kSums] == registers.rows[kSigned]);
  demand(registers.rows[kOther] == kTmmRowBytes / 4);
  const auto& a = registers.bytes[kSigned];
  const auto& b = registers.bytes[kOther];
  for (std::size_t t = 0; t < registers.rows[kSums]; ++t) {
    std::int32_t sums[kTmmRowBytes / 4];
    __builtin_memcpy(sums, registers.bytes[kSums][t], sizeof sums);
    for (std::size_t k = 0; k < kTmmRowBytes; ++k) {
      const auto x = std::int32_t{static_cast<std::int8_t>(a[t][k])};
      for (std::size_t r = 0; r < kTmmRowBytes / 4; ++r) {
        sums[r] += x * std::int32_t{static_cast<Byte>(b[k / 4][4 * r + k % 4])};
      }
    }
    __builtin_memcpy(registers.bytes[kSums][t], sums, sizeof sums);
  }
}
template <int kSums, int kSigned, int kUnsigned>
TERN_INLINE void dot_tmm() {
  add_products<kSums, kSigned, kUnsigned, std::uint8_t>();
}
template <int kSums, int kSigned, int kOther>
TERN_INLINE void dot_signed_tmm() {
  add_products<kSums, kSigned, kOther, std::int8_t>();
}
