// How a sample is drawn: of all tokens, the one with the largest logit / temperature + gumbel has
// the probability that softmax(logit / temperature) gives it. The variate is a function of seed,
// position and token and of nothing that happened before, so a draw can be repeated, and one of few
// candidates is that of all.
#pragma once

#include <cstdint>
#include <span>

namespace tern {

// 52 random bits for (seed, position, token), and the standard Gumbel variate that they are.
std::uint64_t gumbel_bits(std::uint64_t seed, std::uint32_t position, std::int32_t token);
double gumbel(std::uint64_t bits);

// The draw at a position.
struct GumbelDraw {
  std::uint64_t seed = 0;
  std::uint32_t position = 0;
  float temperature = 1.0f;  // above 0

  double scaled(float logit) const { return static_cast<double>(logit) / temperature; }
  double variate(std::int32_t token) const { return gumbel(gumbel_bits(seed, position, token)); }
  // Of a token's logits, a larger one never becomes less: each operation rounds, and rounding keeps
  // order.
  double perturbed(float logit, std::int32_t token) const { return scaled(logit) + variate(token); }
  // bounds[i] >= the variate of token first + i, without its two logarithms: -log(-log(u)) is at
  // most -log(1 - u), which the leading bits of 1 - u bound.
  void bound(std::int32_t first, std::span<float> bounds) const;
};

}  // namespace tern
