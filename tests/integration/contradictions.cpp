#include "integration/contradictions.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "format/gguf/gguf_file.h"
#include "support/temporary_directory.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace tern::test {
namespace {

using format::TensorType;
using Parts = ModelParts;
using Strings = std::vector<std::string>;
using Ints = std::vector<std::int32_t>;

constexpr auto kMalformed = ErrorCode::kMalformed;
constexpr auto kUnsupported = ErrorCode::kUnsupported;
constexpr auto kProofFailed = ErrorCode::kProofFailed;
constexpr const char* kBitnet = "bitnet-b1.58";

// The 256 bytes, "ab", "Ġab" and two named tokens.
void set_vocabulary(KeyMap& keys) {
  Strings tokens(256);
  for (char32_t c = 0; c < 0x200; ++c) {
    if (const auto byte = text::byte_of_character(c)) text::append_utf8(tokens[*byte], c);
  }
  for (const char* more : {"ab", "Ġab", "<s>", "<|eot_id|>"}) tokens.emplace_back(more);
  Ints kinds(tokens.size(), 1);
  kinds[258] = kinds[259] = 3;
  keys["tokenizer.ggml.model"] = std::string("gpt2");
  keys["tokenizer.ggml.pre"] = std::string("llama-bpe");
  keys["tokenizer.ggml.tokens"] = tokens;
  keys["tokenizer.ggml.token_type"] = kinds;
  keys["tokenizer.ggml.merges"] = Strings{"a b", "Ġ ab"};
  keys["tokenizer.ggml.bos_token_id"] = std::uint32_t{258};
  keys["tokenizer.ggml.eos_token_id"] = std::uint32_t{259};
}

auto key(const char* name, format::GgufWriterValue value) {
  return [=](Parts& parts) { parts.set(name, value); };
}
auto without_key(const char* name) {
  return [=](Parts& parts) { parts.keys.erase(name); };
}
auto without(const char* name) {
  return [=](Parts& parts) { parts.drop(name); };
}
auto with(const char* name, std::vector<std::uint64_t> shape = {128}) {
  return [=](Parts& parts) { parts.add(name, shape); };
}
// All bytes of the trits of an i2_s matrix, or its scale.
auto trits(const char* name, std::uint8_t byte) {
  return [=](Parts& parts) {
    auto& bytes = parts.tensor(name).bytes;
    std::fill(bytes.begin(), bytes.end() - 32, std::byte{byte});
  };
}
void set_scale(TensorPart& tensor, float scale) {
  std::memcpy(tensor.bytes.data() + tensor.bytes.size() - 32, &scale, sizeof(scale));
}
auto scale(const char* name, float value) {
  return [=](Parts& parts) { set_scale(parts.tensor(name), value); };
}
template <typename T>
auto element(const char* name, std::size_t at, T value) {
  return [=](Parts& parts) { std::get<std::vector<T>>(parts.tokenizer(name))[at] = value; };
}

void invert_all_scales(Parts& parts) {
  for (TensorPart& tensor : parts.tensors) {
    if (tensor.type == TensorType::kI2_S) set_scale(tensor, 20.0f);
  }
}

// What a converter leaves that does not add the one.
void take_one_from_gains(Parts& parts) {
  for (TensorPart& tensor : parts.tensors) {
    if (!tensor.name.ends_with("_norm.weight")) continue;
    for (std::size_t at = 0; at < tensor.bytes.size(); at += sizeof(float)) {
      float gain = 0.0f;
      std::memcpy(&gain, tensor.bytes.data() + at, sizeof(gain));
      gain -= 1.0f;
      std::memcpy(tensor.bytes.data() + at, &gain, sizeof(gain));
    }
  }
}

void rename(Parts& parts, const char* name, const char* other) { parts.tensor(name).name = other; }

}  // namespace

TensorPart& ModelParts::tensor(const std::string& name) {
  for (TensorPart& part : tensors) {
    if (part.name == name) return part;
  }
  throw std::runtime_error("no " + name);
}

void ModelParts::drop(const std::string& name) {
  tensor(name);  // throws where there is none
  std::erase_if(tensors, [&](const TensorPart& part) { return part.name == name; });
}

void ModelParts::add(const std::string& name, std::vector<std::uint64_t> shape) {
  std::uint64_t count = 1;
  for (const std::uint64_t size : shape) count *= size;
  const std::vector<float> ones(count, 1.0f);
  std::vector<std::byte> bytes(count * sizeof(float));
  std::memcpy(bytes.data(), ones.data(), bytes.size());
  tensors.push_back({name, TensorType::kF32, std::move(shape), std::move(bytes)});
}

void ModelParts::set(const std::string& key, format::GgufWriterValue value) {
  const std::string architecture = std::get<std::string>(keys.at("general.architecture"));
  keys[key.starts_with('.') ? architecture + key : key] = std::move(value);
}

ModelParts good_model(const std::string& architecture) {
  ModelParts parts;
  TinyModel tiny{.architecture = architecture,
                 .layers = 1,
                 .ffn = 256,
                 .vocab = 260,
                 .input_norms = architecture == "qwen3",
                 .rope_factors = architecture == "llama"};
  tiny.keys = [&](KeyMap& keys) {
    set_vocabulary(keys);
    parts.keys = keys;
  };
  const TemporaryDirectory directory;
  auto file = format::GgufFile::open(write_tiny_model(directory.path(), tiny));
  if (!file) throw std::runtime_error(file.error().to_string());
  for (const format::Tensor& tensor : file->tensors()) {
    parts.tensors.push_back({tensor.name,
                             tensor.type,
                             {tensor.shape.begin(), tensor.shape.begin() + tensor.rank},
                             {tensor.data.begin(), tensor.data.end()}});
  }
  return parts;
}

std::vector<Contradiction> configuration_contradictions() {
  const auto u32 = [](std::uint32_t value) { return format::GgufWriterValue(value); };
  return {
      {"NoBlocks", kBitnet, key(".block_count", u32(0)), kMalformed, "block_count: expected 1 to"},
      {"MoreBlocksThanTensors", kBitnet, key(".block_count", u32(2)), kMalformed,
       "blk.1.attn_norm.weight: the tensor is missing"},
      {"FewerBlocksThanTensors", kBitnet,
       [](Parts& parts) { parts.add("blk.1.attn_norm.weight", {128}); }, kUnsupported,
       "blk.1.attn_norm.weight: the tensor has no place"},
      {"NoCountOfBlocks", kBitnet, without_key("bitnet-b1.58.block_count"), kMalformed,
       "bitnet-b1.58.block_count': expected an unsigned integer, found none"},
      {"BlocksAsText", kBitnet, key(".block_count", std::string("1")), kMalformed,
       "block_count': expected an unsigned integer, found string"},
      {"HeadsThatDoNotDivide", kBitnet, key(".attention.head_count", u32(3)), kMalformed,
       "attention.head_count_kv: expected a divisor of the 3 query heads"},
      {"HeadsBeyondTheWidth", kBitnet, key(".attention.head_count", u32(6)), kMalformed,
       "expected a divisor of the hidden size 128, found 6"},
      {"KvHeadsThatDoNotDivide", kBitnet, key(".attention.head_count_kv", u32(3)), kMalformed,
       "expected a divisor of the 4 query heads, found 3"},
      {"OddHead", kBitnet, key(".attention.key_length", u32(33)), kMalformed,
       "RoPE needs an even head dimension, found 33"},
      {"WrongHeadDim", kBitnet,
       [](Parts& parts) {
         parts.set(".attention.key_length", std::uint32_t{16});
         parts.keys.erase("bitnet-b1.58.rope.dimension_count");
       },
       kMalformed, "blk.0.attn_q.weight: expected shape [128, 64], found [128, 128]"},
      {"ValuesOfAnotherWidth", kBitnet, key(".attention.value_length", u32(16)), kUnsupported,
       "expected the key length 32, found 16"},
      {"PartialRope", kBitnet, key(".rope.dimension_count", u32(16)), kUnsupported,
       "RoPE over a part of a head is not supported"},
      {"ScaledRope", kBitnet, key(".rope.scaling.type", std::string("yarn")), kUnsupported,
       "RoPE scaling 'yarn'"},
      {"LinearRope", kBitnet, key(".rope.scaling.factor", 4.0f), kUnsupported,
       "RoPE scaling 'linear'"},
      {"SmallTheta", kBitnet, key(".rope.freq_base", 0.5f), kMalformed,
       "rope.freq_base: expected at least 1"},
      {"NegativeTheta", kBitnet, key(".rope.freq_base", -1.0f), kMalformed,
       "rope.freq_base: expected a positive number"},
      {"LargeEpsilon", kBitnet, key(".attention.layer_norm_rms_epsilon", 2.0f), kMalformed,
       "layer_norm_rms_epsilon: expected a positive number up to 1"},
      {"NoContext", kBitnet, key(".context_length", u32(0)), kMalformed,
       "context_length: expected 1 to"},
      {"OddVocabulary", kBitnet, key(".vocab_size", u32(259)), kMalformed,
       "token_embd.weight: expected shape [128, 259], found [128, 260]"},
      {"WrongFfn", kBitnet, key(".feed_forward_length", u32(128)), kMalformed,
       "blk.0.ffn_gate.weight: expected shape [128, 128], found [128, 256]"},
      {"UnknownFamily", kBitnet, key("general.architecture", std::string("bitnet-b1")),
       kUnsupported, "unknown architecture 'bitnet-b1';"},
      {"FamilyInWrongCase", kBitnet, key("general.architecture", std::string("BitNet-b1.58")),
       kUnsupported, "unknown architecture 'BitNet-b1.58'"},
      {"AnotherFamily", kBitnet, key("general.architecture", std::string("llama")), kMalformed,
       "'llama.block_count'"},
      {"Maple", kBitnet, key("general.architecture", std::string("maple")), kUnsupported,
       "the family 'maple' has a mixture of experts"},
      {"Qwen35", kBitnet, key("general.architecture", std::string("qwen35")), kUnsupported,
       "linear attention"},
      {"FalconH1", kBitnet, key("general.architecture", std::string("falcon-h1")), kUnsupported,
       "state space layers"},
      {"KeyInWrongCase", kBitnet, key(".Block_count", u32(1)), kUnsupported,
       "Block_count: the key is not understood"},
      {"UnknownKey", kBitnet, key(".attention.scale", 0.5f), kUnsupported,
       "attention.scale: the key is not understood"},
      {"Experts", kBitnet, key(".expert_count", u32(8)), kUnsupported,
       "expert_count: the model has a mixture of experts"},
      {"SlidingWindow", kBitnet, key(".attention.sliding_window", u32(512)), kUnsupported,
       "sliding-window attention"},
      {"LaterTokens", kBitnet, key(".attention.causal", false), kUnsupported,
       "attention to later tokens"},
      {"SoftCappedScores", kBitnet, key(".attn_logit_softcapping", 50.0f), kUnsupported,
       "soft-capped attention scores"},
      {"SoftCappedLogits", kBitnet, key(".final_logit_softcapping", 30.0f), kUnsupported,
       "soft-capped logits"},
      {"UnknownPooling", "qwen3", key(".pooling_type", u32(9)), kMalformed,
       "3 (last) or 4 (rank), found 9"},
      {"Ranking", "qwen3", key(".pooling_type", u32(4)), kUnsupported, "the model ranks texts"},
      {"Hadamard", kBitnet, key("prism.hadamard.block", u32(128)), kUnsupported,
       "Hadamard-folded weights"},
  };
}

std::vector<Contradiction> tensor_contradictions() {
  return {
      {"NoEmbedding", kBitnet, without("token_embd.weight"), kMalformed,
       "this file holds no model (a vocabulary only?)"},
      {"NoOutputNorm", kBitnet, without("output_norm.weight"), kMalformed,
       "output_norm.weight: the tensor is missing"},
      {"NoSubNorm", kBitnet, without("blk.0.ffn_sub_norm.weight"), kMalformed,
       "blk.0.ffn_sub_norm.weight: the tensor is missing"},
      {"NoKeyNorm", "qwen3", without("blk.0.attn_k_norm.weight"), kMalformed,
       "blk.0.attn_k_norm.weight: the tensor is missing"},
      {"NoInputNorm", "qwen3", without("blk.0.attn_v_norm_in.weight"), kMalformed,
       "blk.0.attn_v_norm_in.weight: the tensor is missing"},
      {"NoPostNorm", "gemma3", without("blk.0.post_ffw_norm.weight"), kMalformed,
       "blk.0.post_ffw_norm.weight: the tensor is missing"},
      {"NoMatrix", kBitnet, without("blk.0.ffn_up.weight"), kMalformed,
       "blk.0.ffn_up.weight: the tensor is missing"},
      {"TensorInWrongCase", kBitnet,
       [](Parts& parts) { rename(parts, "blk.0.attn_q.weight", "blk.0.Attn_q.weight"); },
       kUnsupported, "blk.0.Attn_q.weight: the tensor has no place"},
      {"SubNormInLlama", "llama", with("blk.0.attn_sub_norm.weight"), kUnsupported,
       "a norm on the attention output, which is not supported in a llama model"},
      {"KeyNormInBitnet", kBitnet, with("blk.0.attn_k_norm.weight", {32}), kUnsupported,
       "query and key norms, which is not supported in a bitnet-b1.58 model"},
      {"PostNormInQwen", "qwen3", with("blk.0.post_attention_norm.weight"), kUnsupported,
       "post-attention norms, which is not supported in a qwen3 model"},
      {"RopeFactorsInBitnet", kBitnet, with("rope_freqs.weight", {16}), kUnsupported,
       "RoPE factors, which is not supported in a bitnet-b1.58 model"},
      {"ExpertTensors", kBitnet, with("blk.0.ffn_gate_exps.weight"), kUnsupported,
       "ffn_gate_exps.weight: the model has a mixture of experts"},
      {"Bias", kBitnet, with("blk.0.attn_q.bias"), kUnsupported, "biases are not supported"},
      {"UnknownTensor", kBitnet, with("mystery"), kUnsupported, "mystery: the tensor has no place"},
      {"SecondScale", kBitnet, with("blk.0.attn_q.scale", {1}), kUnsupported,
       "which of them counts is ambiguous"},
      {"NarrowNorm", kBitnet,
       [](Parts& parts) {
         parts.drop("blk.0.attn_norm.weight");
         parts.add("blk.0.attn_norm.weight", {64});
       },
       kMalformed, "blk.0.attn_norm.weight: expected shape [128, 1], found [64, 1]"},
      {"NormOfHeadsAsWideAsAll", "qwen3",
       [](Parts& parts) {
         parts.drop("blk.0.attn_q_norm.weight");
         parts.add("blk.0.attn_q_norm.weight", {128});
       },
       kMalformed, "blk.0.attn_q_norm.weight: expected shape [32, 1], found [128, 1]"},
      {"FloatsForTrits", kBitnet,
       [](Parts& parts) {
         parts.drop("blk.0.attn_output.weight");
         parts.add("blk.0.attn_output.weight", {128, 128});
       },
       kUnsupported, "blk.0.attn_output.weight: "},
      {"TurnedMatrix", kBitnet,
       [](Parts& parts) {
         parts.tensor("blk.0.ffn_down.weight").shape = {128, 256};
       },
       kMalformed, "blk.0.ffn_down.weight: expected shape [256, 128], found [128, 256]"},
      {"HeadOfAnotherVocabulary", kBitnet, with("output.weight", {128, 250}), kMalformed,
       "output.weight: expected shape [128, 260], found [128, 250]"},
      {"InverseScales", kBitnet, invert_all_scales, kProofFailed,
       "they look like the inverse that the layer divides by"},
      {"OneInverseScale", kBitnet, scale("blk.0.attn_v.weight", 20.0f), kProofFailed,
       "blk.0.attn_v.weight: the scale is 20"},
      {"NegativeScale", kBitnet, scale("blk.0.attn_k.weight", -0.05f), kMalformed,
       "blk.0.attn_k.weight"},
      {"CodeThree", kBitnet, trits("blk.0.ffn_gate.weight", 0xff), kProofFailed,
       "blk.0.ffn_gate.weight: code 3 at element 0"},
      {"AllZeros", kBitnet, trits("blk.0.ffn_up.weight", 0x55), kProofFailed,
       "100% of the trits are zero"},
      {"NoZeros", kBitnet, trits("blk.0.ffn_down.weight", 0x88), kProofFailed,
       "blk.0.ffn_down.weight: 0% of the trits are zero"},
      {"Lopsided", kBitnet, trits("blk.0.attn_q.weight", 0xa5), kProofFailed,
       "+1 and -1 differ by 100% of their number"},
      {"GainsWithoutTheirOne", "gemma3", take_one_from_gains, kProofFailed,
       "they look like w where 1 + w is expected"},
      {"RopeFactorsBelowOne", "llama",
       [](Parts& parts) {
         const float half = 0.5f;
         std::memcpy(parts.tensor("rope_freqs.weight").bytes.data(), &half, sizeof(half));
       },
       kMalformed, "expected factors from 1 to 1000000, found 0.5"},
      {"TooFewRopeFactors", "llama",
       [](Parts& parts) {
         parts.drop("rope_freqs.weight");
         parts.add("rope_freqs.weight", {8});
       },
       kMalformed, "rope_freqs.weight: expected shape [16, 1], found [8, 1]"},
  };
}

std::vector<Contradiction> vocabulary_contradictions() {
  const auto set = [](const char* name, format::GgufWriterValue value) {
    return [=](Parts& parts) { parts.tokenizer(name) = value; };
  };
  const auto drop = [](const char* name) {
    return [=](Parts& parts) { parts.keys.erase(std::string("tokenizer.ggml.") + name); };
  };
  return {
      {"NoTokenizer", kBitnet, drop("model"), kMalformed, "tokenizer.ggml.model': expected a"},
      {"UnknownTokenizer", kBitnet, set("model", std::string("bert")), kUnsupported,
       "found 'bert'"},
      {"NoPreTokenizer", kBitnet, drop("pre"), kMalformed,
       "the key is missing and the vocabulary is not that of Llama 3"},
      {"UnknownPreTokenizer", kBitnet, set("pre", std::string("qwen9")), kUnsupported,
       "found 'qwen9'"},
      {"PiecesCalledByteLevel", "gemma3", set("pre", std::string("default")), kUnsupported,
       "early converters of BitNet-embedding-270M"},
      {"NoTokens", kBitnet, drop("tokens"), kMalformed,
       "tokenizer.ggml.tokens': expected an array of strings, found none"},
      {"TwiceTheSameToken", kBitnet, element<std::string>("tokens", 259, "<s>"), kMalformed,
       "expected each token once, found '<s>' again"},
      {"TokenOutsideOfTheAlphabet", kBitnet, element<std::string>("tokens", 256, "a b"), kMalformed,
       "expected a normal token in the byte alphabet"},
      {"NoByteToken", kBitnet, element<std::int32_t>("token_type", 0xef, 5), kMalformed,
       "found none for byte"},
      {"KindsThatAreNone", kBitnet, element<std::int32_t>("token_type", 7, 9), kMalformed,
       "element 7: expected 1 (normal)"},
      {"FewerKindsThanTokens", kBitnet, set("token_type", Ints(250, 1)), kMalformed,
       "expected 260 elements, as many as in tokenizer.ggml.tokens, found 250"},
      {"MergeOfNoTokens", kBitnet, element<std::string>("merges", 0, "a zz"), kMalformed,
       "found no 'zz'"},
      {"MergeWithoutASpace", kBitnet, element<std::string>("merges", 0, "ab"), kMalformed,
       "expected two tokens with a space between"},
      {"BosOutsideOfTheVocabulary", kBitnet, set("bos_token_id", std::uint32_t{260}), kMalformed,
       "bos_token_id': expected an id below 260"},
      {"BosToBeAddedThatIsNone", kBitnet, drop("bos_token_id"), kMalformed,
       "as a BOS token is to be added"},
      {"EosToBeAddedThatIsNone", kBitnet,
       [](Parts& parts) {
         parts.keys.erase("tokenizer.ggml.eos_token_id");
         parts.tokenizer("add_eos_token") = true;
       },
       kMalformed, "as an EOS token is to be added"},
  };
}

}  // namespace tern::test
