// The quantisation of a row to q6_k, step by step as ggml's reference does it
// (quantize_row_q6_K_ref and make_qx_quants of ggml-quants.c), so that the bytes are the same.
#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "core/float16.h"
#include "format/float_blocks.h"

namespace tern::format {
namespace {

constexpr std::size_t kBlock = 256;
constexpr std::size_t kGroup = 16;
constexpr std::size_t kGroups = kBlock / kGroup;
constexpr float kTiny = 1e-15f;  // below it a group counts as zeros
constexpr int kLevels = 32;      // quants are -32 to 31

// Half to even. The bounds come first: what lies far beyond them is no integer.
int nearest(float value, int low, int high) {
  return static_cast<int>(
      std::nearbyint(std::clamp(value, static_cast<float>(low), static_cast<float>(high))));
}

// The quants of a group at one inverse scale, and how well they fit: sums weighted by x^2.
struct Fit {
  std::array<std::int8_t, kGroup> quants{};
  float with_values = 0.0f;
  float with_quants = 0.0f;

  Fit(const float* x, float inverse) {
    for (std::size_t i = 0; i < kGroup; ++i) {
      const int l = nearest(inverse * x[i], -kLevels, kLevels - 1);
      const float weight = x[i] * x[i];
      const auto level = static_cast<float>(l);
      quants[i] = static_cast<std::int8_t>(l);
      with_values += weight * x[i] * level;
      with_quants += weight * level * level;
    }
  }
};

// The scale of a group of 16, and its quants: the best of 19 roundings.
float fit_group(const float* x, std::int8_t* quants) {
  float largest = 0.0f;  // with its sign
  float magnitude = 0.0f;
  for (std::size_t i = 0; i < kGroup; ++i) {
    if (std::fabs(x[i]) <= magnitude) continue;
    magnitude = std::fabs(x[i]);
    largest = x[i];
  }
  if (magnitude < kTiny) {
    std::fill_n(quants, kGroup, std::int8_t{-kLevels});
    return 0.0f;
  }
  Fit chosen(x, -static_cast<float>(kLevels) / largest);
  float scale = chosen.with_quants != 0.0f ? chosen.with_values / chosen.with_quants : 0.0f;
  float best = scale * chosen.with_values;
  for (int step = -9; step <= 9; ++step) {
    if (step == 0) continue;
    const float levels = static_cast<float>(kLevels) + 0.1f * static_cast<float>(step);
    const Fit fit(x, -levels / largest);
    if (fit.with_quants > 0.0f && fit.with_values * fit.with_values > best * fit.with_quants) {
      chosen = fit;
      scale = fit.with_values / fit.with_quants;
      best = scale * fit.with_values;
    }
  }
  std::ranges::copy(chosen.quants, quants);
  return scale;
}

void quantize_block(const float* x, std::byte* block) {
  std::array<std::int8_t, kBlock> quants{};
  std::array<float, kGroups> fitted{};
  float largest = 0.0f;  // with its sign
  for (std::size_t g = 0; g < kGroups; ++g) {
    fitted[g] = fit_group(x + g * kGroup, quants.data() + g * kGroup);
    if (std::fabs(fitted[g]) > std::fabs(largest)) largest = fitted[g];
  }
  std::array<std::int8_t, kGroups> scales{};
  if (std::fabs(largest) < kTiny) {
    quants.fill(-kLevels);  // bytes of zeros
    pack_q6_k(0, scales.data(), quants.data(), block);
    return;
  }
  const float inverse = -128.0f / largest;
  const std::uint16_t d_bits = f32_to_f16(1.0f / inverse);
  const float d = f16_to_f32(d_bits);
  for (std::size_t g = 0; g < kGroups; ++g) {
    scales[g] = static_cast<std::int8_t>(nearest(inverse * fitted[g], -128, 127));
    const float step = d * static_cast<float>(scales[g]);
    if (step == 0.0f) continue;
    for (std::size_t i = g * kGroup; i < (g + 1) * kGroup; ++i) {
      quants[i] = static_cast<std::int8_t>(nearest(x[i] / step, -kLevels, kLevels - 1));
    }
  }
  pack_q6_k(d_bits, scales.data(), quants.data(), block);
}

}  // namespace

void quantize_row_q6_k(const float* values, std::size_t columns, std::byte* row) {
  const std::uint64_t bytes = block_bytes(TensorType::kQ6_K);
  for (std::size_t b = 0; b < columns / kBlock; ++b) {
    quantize_block(values + b * kBlock, row + b * bytes);
  }
}

}  // namespace tern::format
