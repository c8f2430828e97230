// The classes of transformers that Tern knows: the one table that config.json is read and written
// by. For arch/ alone.
#pragma once

#include <array>
#include <string_view>

namespace tern::arch {

// A class with an activation, and the GGUF architecture that has its block.
struct HfFamily {
  std::string_view model_class;
  std::string_view model_type;
  std::string_view activation;
  std::string_view architecture;
  bool always_online = false;  // has no quantization_config: its class quantises master weights
  bool ties_by_default = false;
  float gain_offset = 0.0f;
};
inline constexpr std::array kHfFamilies{
    HfFamily{"BitNetForCausalLM", "bitnet", "relu2", "bitnet-b1.58"},
    HfFamily{"BitNetForCausalLM", "bitnet", "silu", "bitnet"},
    HfFamily{"BitnetForCausalLM", "bitnet", "silu", "bitnet", true},
    HfFamily{"LlamaForCausalLM", "llama", "silu", "llama"},
    HfFamily{"Qwen3ForCausalLM", "qwen3", "silu", "qwen3"},
    HfFamily{"Gemma3ForCausalLM", "gemma3_text", "gelu_pytorch_tanh", "gemma3", false, true, 1.0f},
};

}  // namespace tern::arch
