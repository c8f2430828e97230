#include "core/gumbel.h"

#include <bit>

#include "core/fixed_math.h"
#include "core/philox.h"
#include "core/philox_body.h"

namespace tern {
namespace {

// With w the leading 32 bits, 1 - u > (2^32 - 1 - w) / 2^32 >= n / 2^24 for the leading 24 bits n
// of 2^32 - 1 - w. The bits of a float are its logarithm along chords from below, so -log(1 - u) <=
// ln2 * (24 + 127 - bits(n) / 2^23). Where n is 0, that is more than any variate.
[[gnu::always_inline]] inline float bound_of(std::uint32_t w) {
  constexpr float kLn2 = 0.693147181f;
  constexpr float kRounding = 1e-4f;  // more than what the few operations below lose
  const auto n = static_cast<float>(static_cast<std::int32_t>(~w >> 8));  // exact
  const auto bits = static_cast<float>(std::bit_cast<std::int32_t>(n));
  return kLn2 * (151.0f - bits * 0x1p-23f) + kRounding;
}

[[gnu::always_inline]] inline void bound_all(std::uint64_t seed, std::uint32_t position,
                                             std::int32_t first, float* bounds, std::size_t count) {
  const auto key0 = static_cast<std::uint32_t>(seed);
  const auto key1 = static_cast<std::uint32_t>(seed >> 32);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t token = static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(i);
    bounds[i] = bound_of(philox::words({token, position, 0, 0}, key0, key1).w0);
  }
}

#if defined(__x86_64__)

[[gnu::target("avx2")]] void bound_by_avx2(std::uint64_t seed, std::uint32_t position,
                                           std::int32_t first, float* bounds, std::size_t count) {
  bound_all(seed, position, first, bounds, count);
}

#endif

}  // namespace

std::uint64_t gumbel_bits(std::uint64_t seed, std::uint32_t position, std::int32_t token) {
  const auto words =
      philox4x32({static_cast<std::uint32_t>(token), position, 0, 0},
                 {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
  return (std::uint64_t{words[0]} << 32 | words[1]) >> 12;
}

double gumbel(std::uint64_t bits) {
  const double uniform = (static_cast<double>(bits) + 0.5) * 0x1p-52;  // exact, inside (0, 1)
  return -fixed_log(-fixed_log(uniform));
}

float gumbel_bound(std::uint32_t leading) { return bound_of(leading); }

void GumbelDraw::bound(std::int32_t first, std::span<float> bounds) const {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) {
    return bound_by_avx2(seed, position, first, bounds.data(), bounds.size());
  }
#endif
  bound_all(seed, position, first, bounds.data(), bounds.size());
}

}  // namespace tern
