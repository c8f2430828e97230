// Philox4x32-10, a counter-based generator: the same key and counter give the same bits anywhere,
// so a sample depends on its seed, position and token and on nothing that happened before it.
// Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace tern::engine {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

// 52 random bits for (seed, position, token), and the standard Gumbel variate that they are.
std::uint64_t gumbel_bits(std::uint64_t seed, std::uint32_t position, std::int32_t token);
double gumbel(std::uint64_t bits);
// At least that variate, without its two logarithms: -log(-log(u)) <= -log(1 - u), which the
// leading bits of 1 - u bound.
double gumbel_bound(std::uint64_t bits);

// No gumbel() exceeds this: 52 random bits reach 53 ln 2.
inline constexpr double kLargestGumbel = 37.5;

}  // namespace tern::engine
