// What a decoder-only model is, whatever file it came from: the one description that every family
// of docs/srd.md maps to. Shapes in values, not bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tern::arch {

enum class Activation { kSquaredRelu, kSilu, kGelu };

// Which two elements of a head RoPE turns together.
enum class RopePairing { kHalves, kNeighbours };

// How the hidden states of a text's tokens become one.
enum class Pooling { kMean, kCls, kLast };

// Optional norms of a block beside the one before attention and the one before the FFN.
struct BlockNorms {
  bool attention_sub = false;     // on the attention output, before its projection
  bool ffn_sub = false;           // on the gated product, before the down projection
  bool query_key = false;         // per head, before RoPE
  bool projection_input = false;  // one before each ternary linear
  bool post_attention = false;    // on the projected attention, before the residual
  bool post_ffn = false;          // on the FFN output, before the residual
  bool offset_gains = false;  // but for projection_input: trained as w of 1 + w, kept as the sum

  bool operator==(const BlockNorms&) const = default;
};

struct DecoderConfig {
  std::string architecture;  // as the file names it: "bitnet-b1.58"
  std::string name;          // general.name, may be empty

  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;
  std::uint32_t ffn = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t vocab = 0;
  std::uint32_t context = 0;  // tokens that the model was trained for

  float norm_epsilon = 0.0f;
  double rope_theta = 0.0;
  RopePairing rope_pairing = RopePairing::kHalves;
  Activation activation = Activation::kSquaredRelu;
  BlockNorms norms;
  float embedding_scale = 1.0f;
  std::optional<float> query_scale;  // else 1/sqrt(head_dim)
  bool rope_factors = false;         // a tensor divides each frequency of RoPE
  bool tied_embedding = true;
  std::optional<Pooling> pooling;  // of an embedding model whose file says so

  std::uint32_t query_width() const { return heads * head_dim; }
  std::uint32_t kv_width() const { return kv_heads * head_dim; }
};

}  // namespace tern::arch
