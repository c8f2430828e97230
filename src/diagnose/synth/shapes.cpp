#include "diagnose/synth/shapes.h"

#include <algorithm>
#include <array>
#include <string>

namespace tern::diagnose {
namespace {

// Sources: the configurations of microsoft/bitnet-b1.58-2B-4T, 1bitLLM/bitnet_b1_58-large and -3B,
// meta-llama/Meta-Llama-3-8B and -70B. No model of 100B is published; that one is the 70B made
// wider, 99.0e9 ternary weights. 8b, 70b and 100b have the graph of BitNet b1.58.
constexpr std::array kShapes{
    SynthShape{"2b4t", "bitnet-b1.58", 30, 2560, 6912, 20, 5, 128256, 4096, 5e5, true},
    SynthShape{"large", "bitnet", 24, 1536, 4096, 16, 16, 32002, 2048, 1e4, true},
    SynthShape{"3b", "bitnet", 26, 3200, 8640, 32, 32, 32002, 2048, 1e4, true},
    SynthShape{"8b", "bitnet-b1.58", 32, 4096, 14336, 32, 8, 128256, 8192, 5e5, false},
    SynthShape{"70b", "bitnet-b1.58", 80, 8192, 28672, 64, 8, 128256, 8192, 5e5, false},
    SynthShape{"100b", "bitnet-b1.58", 80, 10240, 32768, 80, 8, 128256, 8192, 5e5, true},
};

}  // namespace

std::span<const SynthShape> synth_shapes() { return kShapes; }

const SynthShape* find_synth_shape(std::string_view name) {
  const auto found = std::ranges::find(kShapes, name, &SynthShape::name);
  return found == kShapes.end() ? nullptr : &*found;
}

arch::DecoderConfig synth_config(const SynthShape& shape, std::uint32_t layers) {
  arch::DecoderConfig config;
  config.architecture = shape.architecture;
  config.name = "synthetic " + std::string(shape.name);
  config.layers = layers;
  config.hidden = shape.hidden;
  config.ffn = shape.ffn;
  config.heads = shape.heads;
  config.kv_heads = shape.kv_heads;
  config.head_dim = shape.hidden / shape.heads;
  config.vocab = shape.vocab;
  config.context = shape.context;
  config.norm_epsilon = 1e-5f;
  config.rope_theta = shape.rope_theta;
  config.tied_embedding = shape.tied_embedding;
  return config;
}

}  // namespace tern::diagnose
