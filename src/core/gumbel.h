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
// At least the variate of all bits that begin with these 32, without its two logarithms:
// -log(-log(u)) is at most -log(1 - u), which the leading bits of 1 - u bound.
float gumbel_bound(std::uint32_t leading);

// The draw at a position.
struct GumbelDraw {
  static constexpr float kLeastTemperature = 0.01f;
  static constexpr float kMostTemperature = 100.0f;

  std::uint64_t seed = 0;
  std::uint32_t position = 0;
  float temperature = 1.0f;

  // Written so that a NaN fails.
  bool valid() const { return temperature >= kLeastTemperature && temperature <= kMostTemperature; }
  double scaled(float logit) const { return static_cast<double>(logit) / temperature; }
  double variate(std::int32_t token) const { return gumbel(gumbel_bits(seed, position, token)); }
  // Of a token's logits, a larger one never becomes less: each operation rounds, and rounding keeps
  // order.
  double perturbed(float logit, std::int32_t token) const { return scaled(logit) + variate(token); }
  // bounds[i] = the gumbel_bound() of token first + i.
  void bound(std::int32_t first, std::span<float> bounds) const;
};

}  // namespace tern
