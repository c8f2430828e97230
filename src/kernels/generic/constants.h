// Constants of the bodies, shared by every tier.
#pragma once

#include <cstddef>

namespace tern::kernels {

inline constexpr float kExpLow = -87.33654f;
inline constexpr float kExpHigh = 88.72283f;
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2High = 0.693359375f;  // 9 bits: n * kLn2High is exact
inline constexpr float kLn2Low = -2.12194440e-4f;
// exp(r) = 1 + r + r^2 * polynomial(r), highest power first.
inline constexpr float kExpTerms[6] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                       4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};

// gelu(g) = g / (1 + exp(-z)), z = 2 sqrt(2/pi) (g + 0.044715 g^3).
inline constexpr float kGeluLinear = 1.59576912f;
inline constexpr float kGeluCubic = 7.13548163e-2f;

// Quantisation: a row of zeros is scaled as if its largest magnitude were this.
inline constexpr float kLeastMaximum = 1e-5f;
inline constexpr float kCodeRange = 127.0f;
// Weights of int8 values: 14 bits, or two digits of seven.
inline constexpr float kWeightRange = 16383.0f;
inline constexpr int kDigitBits = 7;

// Lanes of the sum rule.
inline constexpr int kSumLanes = 64;

// Tile registers: of 16 rows, but for sums and activations of fewer tokens, by 64 bytes.
inline constexpr std::size_t kTmmRows = 16;
inline constexpr std::size_t kTmmRowBytes = 64;
inline constexpr int kTmmRegisters = 8;
inline constexpr int kTmmSums = 4;     // the first of them: of 1 or 2 tiles of tokens
inline constexpr int kFirstCodes = 6;  // before it the activations of two tiles, from it on codes

}  // namespace tern::kernels
