// Ternary times int8 for any number of tokens, and the ceiling of its instructions.
#pragma once

#include "kernels/generic/ternary_panel_body.h"

// A function of its own: among the others, GCC runs out of registers for the sums of three tokens
// of two bits. Those of five trits it keeps better where they are.
template <Packing kPacking, int kGroups, int kTokens>
__attribute__((noinline)) void some_tokens(const TernaryBlock& b, std::size_t group,
                                           std::size_t step) {
  ternary_block(b, kPacking, group, step, kGroups, kTokens);
}

// At most kTokens tokens from the first on, as many as there are.
template <Packing kPacking, int kGroups, int kTokens = kBatchTokens>
TERN_INLINE void ternary_tokens(const TernaryBlock& b, std::size_t group, std::size_t step,
                                std::size_t tokens) {
  if constexpr (kTokens > 1) {
    if (tokens < kTokens) {
      ternary_tokens<kPacking, kGroups, kTokens - 1>(b, group, step, tokens);
      return;
    }
  }
  if constexpr (kPacking == Packing::kTwoBits) {
    some_tokens<kPacking, kGroups, kTokens>(b, group, step);
  } else {
    ternary_block(b, kPacking, group, step, kGroups, kTokens);
  }
}

// As many streams as groups in turn, of one token; then the groups that are left.
template <Packing kPacking, bool kSecond>
TERN_INLINE void ternary_streams(const TernaryBlock& b, std::size_t groups) {
  const std::size_t step = groups / b.read.streams;
  switch (b.read.streams) {
    case 1:
      for (std::size_t g = 0; g < step; ++g) ternary_block(b, kPacking, g, step, 1, 1, kSecond);
      break;
    case 2:
      for (std::size_t g = 0; g < step; ++g) ternary_block(b, kPacking, g, step, 2, 1, kSecond);
      break;
    default:
      for (std::size_t g = 0; g < step; ++g) {
        ternary_block(b, kPacking, g, step, kMostStreams, 1, kSecond);
      }
  }
  for (std::size_t g = step * b.read.streams; g < groups; ++g) {
    ternary_block(b, kPacking, g, 1, 1, 1, kSecond);
  }
}

template <Packing kPacking>
TERN_INLINE void ternary_packed(const TernaryBlock& b, std::size_t tokens) {
  const std::size_t groups = (b.rows + kTileRows - 1) / kTileRows;
  if (tokens > kBatchTokens) {
    ternary_panels<kPacking>(b, groups, tokens);
    return;
  }
  if (tokens == 1) {
    b.read.second_cache ? ternary_streams<kPacking, true>(b, groups)
                        : ternary_streams<kPacking, false>(b, groups);
    return;
  }
  const std::size_t step = groups / kBatchGroups;
  for (std::size_t g = 0; g < step; ++g) {
    ternary_tokens<kPacking, kBatchGroups>(b, g, step, tokens);
  }
  for (std::size_t g = step * kBatchGroups; g < groups; ++g) {
    ternary_tokens<kPacking, 1>(b, g, 1, tokens);
  }
}

[[maybe_unused]] void ternary_linear(const TernaryTiles& w, std::size_t rows,
                                     const QuantizedRows& x, std::size_t tokens, float* y,
                                     std::size_t y_stride) {
  const TernaryBlock b{w, rows, x, y, y_stride, pattern_of(w)};
  if constexpr (kFiveTrits) {
    if (w.packing == Packing::kFiveTrits) {
      ternary_packed<Packing::kFiveTrits>(b, tokens);
      return;
    }
  }
  ternary_packed<Packing::kTwoBits>(b, tokens);
}

[[maybe_unused]] std::uint64_t multiply_accumulate_loop(std::uint64_t steps) {
  Narrow acc[kCeilingChains];
#pragma GCC unroll 32
  for (int i = 0; i < kCeilingChains; ++i) acc[i] = narrow_zero();
  alignas(64) const std::uint8_t bytes[kVectorBytes] = {1, 2, 3};
  const std::int8_t quad[4] = {1, -2, 3, -4};
  Codes codes = load_plane(bytes, 0, Packing::kTwoBits);
  const Quad values = broadcast_quad(quad);
  for (std::uint64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 32
    for (int i = 0; i < kCeilingChains; ++i) {
      forget(codes);
      acc[i] = multiply_add(acc[i], codes, values);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < kCeilingChains; ++i) consume(acc[i]);
  return steps * kCeilingChains * kVectorRows * 4;
}
