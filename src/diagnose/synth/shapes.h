// The shapes of which synthetic models are made.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "arch/decoder_config.h"

namespace tern::diagnose {

struct SynthShape {
  std::string_view name;
  std::string_view architecture;
  std::uint32_t layers;
  std::uint32_t hidden;
  std::uint32_t ffn;
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t vocab;
  std::uint32_t context;
  double rope_theta;
  bool tied_embedding;
};

std::span<const SynthShape> synth_shapes();

// nullptr where there is no shape of that name.
const SynthShape* find_synth_shape(std::string_view name);

// The configuration of a model of `layers` layers.
arch::DecoderConfig synth_config(const SynthShape& shape, std::uint32_t layers);

}  // namespace tern::diagnose
