// A Plan says what to compute for a batch, as a list of operations on slots; a Backend runs it.
//
// A slot holds one row of `width` values for each row of the batch (a row is one token of one
// sequence). Operations are exact in the sense of docs/numbers.md, so a plan gives the same bits on
// every backend that supports it. What kTernaryLinear or kAttention writes, only they write; out
// may be in otherwise.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tern::backend {

using SlotId = std::uint32_t;
using WeightId = std::uint32_t;

enum class OpCode : std::uint8_t {
  kEmbed,          // out = row `token` of the float matrix `weight`, times `factor`
  kNorm,           // out = rms_norm(in) with the float vector `weight`, run by run of its length
  kQuantize,       // out (quantised) = quantise(in)
  kTernaryLinear,  // out = ternary matrix `weight` times in (quantised); a value for each row of it
  kRope,           // out = in rotated, head by head, by the row's position
  kRopeNeighbours,  // as kRope, of in with the even elements of a head before its odd ones; out is
                    // not in
  kStoreKv,         // in (keys) and in2 (values) become the row's position of `layer` in the cache
  kAttention,       // out = attention of in (queries) over the cached positions up to the row's own
  kRelu2Gate,       // out = relu(in)^2 * in2
  kSiluGate,        // out = silu(in) * in2
  kGeluGate,        // out = gelu(in) * in2, in its form with tanh
  kAdd,             // out += in
  kHead,            // logits of the requested rows = in times the float matrix `weight`; what
                    // was asked for of in itself
};

struct Op {
  OpCode code;
  SlotId in = 0;
  SlotId in2 = 0;
  SlotId out = 0;
  WeightId weight = 0;
  std::uint32_t layer = 0;
  float factor = 1.0f;
};

struct SlotSpec {
  std::uint32_t width;
  bool quantized;
};

struct Plan {
  std::vector<SlotSpec> slots;
  std::vector<Op> ops;
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocab = 0;
  float norm_epsilon = 0.0f;
  std::vector<double> rope_frequencies;  // [head_dim / 2] radians a position
};

}  // namespace tern::backend
