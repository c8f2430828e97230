#include "model/decoder_plan.h"

#include <array>
#include <initializer_list>
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
  kLinearInput,  // only where linears have norms of their own
};

std::vector<backend::SlotSpec> slot_specs(const DecoderConfig& c) {
  std::vector<backend::SlotSpec> slots{
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
  if (c.norms.projection_input) slots.push_back({c.hidden, false});  // kLinearInput
  return slots;
}

class BlockBuilder {
 public:
  BlockBuilder(std::vector<Op>& ops, std::uint32_t layer) : ops_(ops), layer_(layer) {}

  void norm(Slot in, backend::WeightId weight, Slot out) {
    push({.code = OpCode::kNorm, .in = in, .out = out, .weight = weight});
  }
  void quantize(Slot in, Slot out) { push({.code = OpCode::kQuantize, .in = in, .out = out}); }
  struct Linear {
    const LinearWeights& weights;
    Slot out;
  };
  // Linears of one input, which is quantised once for all that have no norm of their own; `normed`
  // takes what their norms make of it and may be `in` where there is one linear.
  void linears(Slot in, Slot normed, Slot codes, std::initializer_list<Linear> all) {
    bool quantized = false;
    for (const auto& [weights, out] : all) {
      if (weights.input_norm) norm(in, *weights.input_norm, normed);
      if (weights.input_norm || !quantized) quantize(weights.input_norm ? normed : in, codes);
      quantized = !weights.input_norm;
      push({.code = OpCode::kTernaryLinear, .in = codes, .out = out, .weight = weights.matrix});
    }
  }
  void push(Op op) {
    op.layer = layer_;
    ops_.push_back(op);
  }

 private:
  std::vector<Op>& ops_;
  std::uint32_t layer_;
};

// Adds kProjected to the residual stream.
void add_residual(BlockBuilder& block, std::optional<backend::WeightId> post_norm) {
  if (post_norm) block.norm(kProjected, *post_norm, kNormed);
  const Slot in = post_norm ? kNormed : kProjected;
  block.push({.code = OpCode::kAdd, .in = in, .out = kResidual});
}

void add_rope(BlockBuilder& block, arch::RopePairing pairing,
              std::optional<backend::WeightId> head_norm, Slot in, Slot out) {
  if (head_norm) block.norm(in, *head_norm, out);
  const OpCode rope =
      pairing == arch::RopePairing::kHalves ? OpCode::kRope : OpCode::kRopeNeighbours;
  block.push({.code = rope, .in = head_norm ? out : in, .out = out});
}

void add_attention(BlockBuilder& block, const BlockWeights& w, arch::RopePairing pairing) {
  block.norm(kResidual, w.attention_norm, kNormed);
  block.linears(kNormed, kLinearInput, kHiddenCodes,
                {{w.query, kQuery}, {w.key, kKey}, {w.value, kValue}});
  add_rope(block, pairing, w.query_norm, kQuery, kTurnedQuery);
  add_rope(block, pairing, w.key_norm, kKey, kTurnedKey);
  block.push({.code = OpCode::kStoreKv, .in = kTurnedKey, .in2 = kValue});
  block.push({.code = OpCode::kAttention, .in = kTurnedQuery, .out = kAttended});
  if (w.attention_sub_norm) block.norm(kAttended, *w.attention_sub_norm, kAttendedNormed);
  block.linears(w.attention_sub_norm ? kAttendedNormed : kAttended, kAttendedNormed, kAttendedCodes,
                {{w.attention_output, kProjected}});
  add_residual(block, w.post_attention_norm);
}

OpCode gate_of(Activation activation) {
  switch (activation) {
    case Activation::kSquaredRelu: return OpCode::kRelu2Gate;
    case Activation::kSilu: return OpCode::kSiluGate;
    case Activation::kGelu: return OpCode::kGeluGate;
  }
  return OpCode::kRelu2Gate;
}

void add_ffn(BlockBuilder& block, const BlockWeights& w, Activation activation) {
  block.norm(kResidual, w.ffn_norm, kNormed);
  block.linears(kNormed, kLinearInput, kHiddenCodes, {{w.gate, kGate}, {w.up, kUp}});
  block.push({.code = gate_of(activation), .in = kGate, .in2 = kUp, .out = kActivated});
  if (w.ffn_sub_norm) block.norm(kActivated, *w.ffn_sub_norm, kActivated);
  block.linears(kActivated, kActivated, kFfnCodes, {{w.down, kProjected}});
  add_residual(block, w.post_ffn_norm);
}

// Settings of other families, which this block would pass over.
Result<void> require_known_settings(const DecoderConfig& c) {
  const std::array<std::pair<bool, const char*>, 2> foreign{{
      {c.query_scale.has_value(), "a scale of the queries"},
      {c.norms.query_key && c.rope_pairing == arch::RopePairing::kNeighbours,
       "query and key norms before RoPE over neighbouring elements"},
  }};
  for (const auto& [present, what] : foreign) {
    if (!present) continue;
    return Error{ErrorCode::kUnsupported, std::string(what) + " is not supported yet",
                 c.architecture};
  }
  return {};
}

// theta^(-2i/head_dim), divided by the model's factors if it has any.
std::vector<double> rope_frequencies(const DecoderConfig& config,
                                     const std::vector<float>& factors) {
  std::vector<double> frequencies;
  for (std::uint32_t i = 0; i < config.head_dim / 2; ++i) {
    const double exponent = -2.0 * i / config.head_dim;
    const double frequency = fixed_pow(config.rope_theta, exponent);
    frequencies.push_back(factors.empty() ? frequency : frequency / factors[i]);
  }
  return frequencies;
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
  plan.rope_frequencies = rope_frequencies(config, weights.rope_factors);
  plan.ops.push_back({.code = OpCode::kEmbed,
                      .out = kResidual,
                      .weight = weights.embedding,
                      .factor = config.embedding_scale});
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    BlockBuilder block(plan.ops, layer);
    add_attention(block, weights.blocks[layer], config.rope_pairing);
    add_ffn(block, weights.blocks[layer], config.activation);
  }
  BlockBuilder last(plan.ops, config.layers);
  last.norm(kResidual, weights.output_norm, kNormed);
  last.push({.code = OpCode::kHead, .in = kNormed, .weight = weights.head});
  return plan;
}

}  // namespace tern::model
