// Builds the keys and tensors that say what a model is from an input: right ones, wrong ones, too
// few, too many. A configuration that read_decoder_config() accepts is what the keys say, and holds
// what the rest of Tern builds on.
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>

#include "arch/footprint.h"
#include "arch/gguf_dialect.h"
#include "check.h"
#include "format/gguf_builder.h"

namespace {

using namespace tern::test;
using tern::arch::DecoderConfig;
using tern::fuzz::Input;
using tern::fuzz::require;

// What the input says; the keys as it wrote them.
struct Plan {
  std::string architecture;
  std::map<std::string, std::uint64_t, std::less<>> numbers;
  GgufBuilder builder;
};

void add_number(Input& in, Plan& plan, std::string_view suffix, std::uint64_t usual) {
  const std::string key = plan.architecture + "." + std::string(suffix);
  const std::size_t choice = in.below(16);
  if (choice == 1) return;  // the key is missing
  std::uint64_t value = usual;
  if (choice == 2) value = in.take<std::uint64_t>();
  if (choice == 3) value = in.take<std::uint32_t>();
  if (choice > 10) value = in.byte();
  if (choice == 4) {
    plan.builder.key(key, kF32, Bytes().put(static_cast<float>(value)));
    return;
  }
  plan.builder.key(key, kU64, Bytes().u64(value));
  plan.numbers[std::string(suffix)] = value;
}

void add_float(Input& in, Plan& plan, std::string_view suffix, float usual) {
  const std::size_t choice = in.below(16);
  if (choice == 1) return;
  plan.builder.key(plan.architecture + "." + std::string(suffix), kF32,
                   Bytes().put(choice == 2 ? in.take<float>() : usual));
}

void add_keys(Input& in, Plan& plan) {
  plan.builder.key("general.architecture", kString, Bytes().text(plan.architecture));
  add_number(in, plan, "block_count", 2);
  add_number(in, plan, "context_length", 64);
  add_number(in, plan, "embedding_length", 8);
  add_number(in, plan, "feed_forward_length", 16);
  add_number(in, plan, "attention.head_count", 4);
  add_number(in, plan, "attention.head_count_kv", 2);
  if (in.flag()) add_number(in, plan, "attention.key_length", 2);
  if (in.flag()) add_number(in, plan, "attention.value_length", 2);
  if (in.flag()) add_number(in, plan, "rope.dimension_count", 2);
  if (in.flag()) add_number(in, plan, "vocab_size", 5);
  add_float(in, plan, "attention.layer_norm_rms_epsilon", 1e-5f);
  add_float(in, plan, "rope.freq_base", 10000.0f);
  if (in.below(4) == 1) add_float(in, plan, "rope.scaling.factor", 1.0f);
  if (in.below(8) == 1) {
    plan.builder.key(plan.architecture + ".rope.scaling.type", kString,
                     Bytes().text(in.bytes(in.below(8))));
  }
  if (in.below(8) == 1) add_number(in, plan, "attention.sliding_window", in.below(2));
}

// Names that have a place, names that have none, and any bytes.
std::string tensor_name(Input& in) {
  constexpr std::array<std::string_view, 10> kParts{
      "attn_q.weight", "ffn_down.weight",      "attn_sub_norm.weight", "attn_q.scale",
      "attn_q.bias",   "attn_q_norm.weight",   "ffn_up_exps.weight",   "attn_norm.scale",
      "ffn_up.weight", "attn_q_norm_in.weight"};
  const std::size_t choice = in.below(16);
  if (choice == 0) return "output_norm.weight";
  if (choice == 1) return "output.weight";
  if (choice == 2) return "t" + std::string(in.bytes(in.below(8)));
  const std::size_t layer = in.below(4);
  return "blk." + std::to_string(layer) + "." + std::string(kParts[in.below(kParts.size())]);
}

void add_tensors(Input& in, Plan& plan, std::uint64_t& data_bytes) {
  const std::uint64_t columns = in.below(8) == 1 ? in.byte() : 8;
  const std::uint64_t rows = in.below(8) == 1 ? in.byte() : 5;
  if (in.below(16) != 1 && columns * rows != 0) {
    plan.builder.tensor("token_embd.weight", {columns, rows}, kTypeF32, 0);
    data_bytes = (columns * rows * 4 + 31) / 32 * 32;
  }
  for (std::size_t count = in.below(6); count > 0; --count) {
    plan.builder.tensor(tensor_name(in), {8}, kTypeF32, data_bytes);
    data_bytes += 32;
  }
}

void require_says(const Plan& plan, std::string_view suffix, std::uint64_t value) {
  const auto found = plan.numbers.find(suffix);
  require(found == plan.numbers.end() || found->second == value);
}

void require_as_written(const Plan& plan, const DecoderConfig& c) {
  require(c.architecture == plan.architecture);
  require_says(plan, "block_count", c.layers);
  require_says(plan, "context_length", c.context);
  require_says(plan, "embedding_length", c.hidden);
  require_says(plan, "feed_forward_length", c.ffn);
  require_says(plan, "attention.head_count", c.heads);
  require_says(plan, "attention.head_count_kv", c.kv_heads);
  require_says(plan, "attention.key_length", c.head_dim);
  require_says(plan, "attention.value_length", c.head_dim);
  require_says(plan, "rope.dimension_count", c.head_dim);
  require_says(plan, "vocab_size", c.vocab);
  require_says(plan, "attention.sliding_window", 0);
}

void require_sound(const DecoderConfig& c, const tern::format::GgufFile& file) {
  constexpr std::uint64_t kWidest = 1u << 17;
  require(c.layers >= 1 && c.layers <= 1024 && c.context >= 1 && c.vocab >= 1);
  require(c.hidden >= 1 && c.hidden <= kWidest && c.ffn >= 1 && c.ffn <= kWidest);
  require(c.kv_heads >= 1 && c.heads % c.kv_heads == 0);
  require(c.head_dim >= 2 && c.head_dim % 2 == 0);
  require(std::uint64_t{c.heads} * c.head_dim <= kWidest);
  require(c.norm_epsilon >= 0 && std::isfinite(c.norm_epsilon));
  require(c.rope_theta >= 1 && std::isfinite(c.rope_theta));
  const auto* embedding = file.tensor(tern::arch::kTokenEmbedding);
  require(embedding != nullptr && embedding->columns() == c.hidden && embedding->rows() == c.vocab);
  require(c.tied_embedding == (file.tensor(tern::arch::kOutput) == nullptr));
  require(tern::arch::ternary_macs_per_token(c) >= std::uint64_t{c.layers} * c.hidden);
  require(tern::arch::kv_bytes_per_token(c, tern::format::KvType::kF16) / c.layers / 4 ==
          c.kv_width());
  require(tern::arch::payload_bytes_per_token(c, file.tensors()) <= file.bytes().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 8> kArchitectures{
      "bitnet-b1.58", "bitnet-25", "bitnet", "maple", "llama", "qwen3", "gemma3", ""};
  Input in(data, size);
  Plan plan;
  plan.architecture = kArchitectures[in.below(kArchitectures.size())];
  std::uint64_t data_bytes = 0;
  add_keys(in, plan);
  add_tensors(in, plan, data_bytes);
  const std::vector<std::byte> bytes = plan.builder.file(data_bytes);
  const auto file = tern::format::GgufFile::parse(bytes, "fuzz");
  if (!file.ok()) return 0;  // a name twice, or none
  const auto config = tern::arch::read_decoder_config(*file);
  if (!config.ok()) {
    require(!config.error().message.empty() && config.error().context.starts_with("fuzz: "));
    return 0;
  }
  require_as_written(plan, *config);
  require_sound(*config, *file);
  return 0;
}
