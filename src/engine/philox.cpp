#include "engine/philox.h"

#include <bit>

#include "core/fixed_math.h"

namespace tern::engine {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

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

double gumbel_bound(std::uint64_t bits) {
  constexpr double kLn2 = 0.6931471805599453;
  const auto width = static_cast<int>(std::bit_width((std::uint64_t{1} << 52) - bits));
  return (54 - width) * kLn2 + 1e-6;  // 1 - u >= 2^(width - 54), and what rounding may add
}

}  // namespace tern::engine
