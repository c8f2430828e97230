#include "model/decoder_plan.h"

#include <array>
#include <string>
#include <utility>

#include "core/fixed_math.h"

namespace tern::model {
namespace {

using arch::Activation;
using arch::DecoderConfig;
using backend::Op;
using backend::OpCode;
using backend::Plan;

// Slots of the decoder, in the order of slot_specs().
enum Slot : backend::SlotId {
  kResidual,
  kNormed,
  kHiddenCodes,
  kQuery,
  kKey,
  kValue,
  kTurnedQuery,
  kTurnedKey,
  kAttended,
  kAttendedNormed,
  kAttendedCodes,
  kProjected,
  kGate,
  kUp,
  kActivated,
  kFfnCodes,
};

std::vector<backend::SlotSpec> slot_specs(const DecoderConfig& c) {
  return {
      {c.hidden, false},         // kResidual
      {c.hidden, false},         // kNormed
      {c.hidden, true},          // kHiddenCodes
      {c.query_width(), false},  // kQuery
      {c.kv_width(), false},     // kKey
      {c.kv_width(), false},     // kValue
      {c.query_width(), false},  // kTurnedQuery
      {c.kv_width(), false},     // kTurnedKey
      {c.query_width(), false},  // kAttended
      {c.query_width(), false},  // kAttendedNormed
      {c.query_width(), true},   // kAttendedCodes
      {c.hidden, false},         // kProjected
      {c.ffn, false},            // kGate
      {c.ffn, false},            // kUp
      {c.ffn, false},            // kActivated
      {c.ffn, true},             // kFfnCodes
  };
}

class BlockBuilder {
 public:
  BlockBuilder(std::vector<Op>& ops, std::uint32_t layer) : ops_(ops), layer_(layer) {}

  void norm(Slot in, backend::WeightId weight, Slot out) {
    push({.code = OpCode::kNorm, .in = in, .out = out, .weight = weight});
  }
  void quantize(Slot in, Slot out) { push({.code = OpCode::kQuantize, .in = in, .out = out}); }
  void linear(Slot in, backend::WeightId weight, Slot out) {
    push({.code = OpCode::kTernaryLinear, .in = in, .out = out, .weight = weight});
  }
  void push(Op op) {
    op.layer = layer_;
    ops_.push_back(op);
  }

 private:
  std::vector<Op>& ops_;
  std::uint32_t layer_;
};

void add_attention(BlockBuilder& block, const BlockWeights& w) {
  block.norm(kResidual, w.attention_norm, kNormed);
  block.quantize(kNormed, kHiddenCodes);
  block.linear(kHiddenCodes, w.query, kQuery);
  block.linear(kHiddenCodes, w.key, kKey);
  block.linear(kHiddenCodes, w.value, kValue);
  block.push({.code = OpCode::kRope, .in = kQuery, .out = kTurnedQuery});
  block.push({.code = OpCode::kRope, .in = kKey, .out = kTurnedKey});
  block.push({.code = OpCode::kStoreKv, .in = kTurnedKey, .in2 = kValue});
  block.push({.code = OpCode::kAttention, .in = kTurnedQuery, .out = kAttended});
  block.norm(kAttended, w.attention_sub_norm, kAttendedNormed);
  block.quantize(kAttendedNormed, kAttendedCodes);
  block.linear(kAttendedCodes, w.attention_output, kProjected);
  block.push({.code = OpCode::kAdd, .in = kProjected, .out = kResidual});
}

void add_ffn(BlockBuilder& block, const BlockWeights& w, Activation activation) {
  const OpCode gate = activation == Activation::kSilu ? OpCode::kSiluGate : OpCode::kRelu2Gate;
  block.norm(kResidual, w.ffn_norm, kNormed);
  block.quantize(kNormed, kHiddenCodes);
  block.linear(kHiddenCodes, w.gate, kGate);
  block.linear(kHiddenCodes, w.up, kUp);
  block.push({.code = gate, .in = kGate, .in2 = kUp, .out = kActivated});
  block.norm(kActivated, w.ffn_sub_norm, kActivated);
  block.quantize(kActivated, kFfnCodes);
  block.linear(kFfnCodes, w.down, kProjected);
  block.push({.code = OpCode::kAdd, .in = kProjected, .out = kResidual});
}

// Settings of other families, which this block would pass over.
Result<void> require_known_settings(const DecoderConfig& c) {
  const arch::BlockNorms& norms = c.norms;
  const std::array<std::pair<bool, const char*>, 10> foreign{{
      {c.activation == Activation::kGelu, "GELU"},
      {c.rope_pairing != arch::RopePairing::kHalves, "RoPE over neighbouring elements"},
      {c.query_scale.has_value(), "a scale of the queries"},
      {c.embedding_scale != 1.0f, "a scale of the embedding"},
      {!norms.attention_sub || !norms.ffn_sub, "a block without sub-norms"},
      {norms.query_key, "query and key norms"},
      {norms.projection_input, "per-projection input norms"},
      {norms.post_attention, "post-attention norms"},
      {norms.post_ffn, "post-FFN norms"},
      {norms.weight_offset, "norms by 1 + w"},
  }};
  for (const auto& [present, what] : foreign) {
    if (!present) continue;
    return Error{ErrorCode::kUnsupported, std::string(what) + " is not supported yet",
                 c.architecture};
  }
  return {};
}

}  // namespace

Result<Plan> build_decoder_plan(const DecoderConfig& config, const DecoderWeights& weights) {
  TERN_TRY(require_known_settings(config));
  Plan plan;
  plan.slots = slot_specs(config);
  plan.layers = config.layers;
  plan.heads = config.heads;
  plan.kv_heads = config.kv_heads;
  plan.head_dim = config.head_dim;
  plan.vocab = config.vocab;
  plan.norm_epsilon = config.norm_epsilon;
  for (std::uint32_t i = 0; i < config.head_dim / 2; ++i) {
    const double exponent = -2.0 * i / config.head_dim;
    plan.rope_frequencies.push_back(fixed_pow(config.rope_theta, exponent));
  }
  plan.ops.push_back({.code = OpCode::kEmbed, .out = kResidual, .weight = weights.embedding});
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    BlockBuilder block(plan.ops, layer);
    add_attention(block, weights.blocks[layer]);
    add_ffn(block, weights.blocks[layer], config.activation);
  }
  BlockBuilder last(plan.ops, config.layers);
  last.norm(kResidual, weights.output_norm, kNormed);
  last.push({.code = OpCode::kHead, .in = kNormed, .weight = weights.head});
  return plan;
}

}  // namespace tern::model
