#include "support/tiny_model.h"

#include <cstring>
#include <stdexcept>

#include "core/float16.h"
#include "format/float_blocks.h"
#include "format/ternary_matrix.h"

namespace tern::test {
namespace {

using format::TensorType;

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ull + 1) {}
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<std::uint32_t>(state_ >> 33);
  }
  // Uniform in [-1, 1), exact in f32.
  float symmetric() {
    return static_cast<float>(static_cast<int>(next() & 0xffffu) - 0x8000) * 0x1p-15f;
  }

 private:
  std::uint64_t state_;
};

// Collects what the writer borrows, so that it lives until write().
class Builder {
 public:
  explicit Builder(const TinyModel& model) : model_(model), random_(model.seed) {}

  void ternary(const std::string& name, std::uint64_t columns, std::uint64_t rows) {
    std::vector<std::int8_t> trits(columns * rows);
    for (auto& trit : trits)
      trit = static_cast<std::int8_t>(static_cast<int>(random_.next() % 3u) - 1);
    std::vector<std::byte> bytes;
    format::encode_trits(model_.ternary_type, trits.data(), trits.size(), model_.scale, bytes);
    format::end_trits(model_.ternary_type, model_.scale, bytes);
    add(name, model_.ternary_type, {columns, rows}, std::move(bytes));
  }

  void norm(const std::string& name, std::uint64_t width) {
    std::vector<float> values(width);
    for (float& v : values) v = 1.0f + 0.25f * random_.symmetric();
    std::vector<std::byte> bytes(width * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    add(name, TensorType::kF32, {width}, std::move(bytes));
  }

  // As those of Llama 3.1: 1 for the fastest, 8 for the slowest.
  void rope_factors(std::uint64_t count) {
    std::vector<float> values(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      values[i] = 1.0f + 7.0f * static_cast<float>(i) / static_cast<float>(count);
    }
    std::vector<std::byte> bytes(count * sizeof(float));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    add("rope_freqs.weight", TensorType::kF32, {count}, std::move(bytes));
  }

  void matrix(const std::string& name, TensorType type, std::uint64_t columns, std::uint64_t rows) {
    std::vector<std::byte> bytes;
    for (std::uint64_t r = 0; r < rows; ++r) append_row(type, columns, bytes);
    add(name, type, {columns, rows}, std::move(bytes));
  }

  std::filesystem::path write(format::GgufWriter& writer, const std::filesystem::path& path) {
    for (auto& entry : entries_) {
      if (model_.tamper && !model_.tamper(entry.name, entry.bytes)) continue;
      writer.add_tensor(entry.name, entry.type, entry.shape,
                        std::span<const std::byte>(entry.bytes));
    }
    if (auto written = writer.write(path); !written) {
      throw std::runtime_error(written.error().to_string());
    }
    return path;
  }

 private:
  struct Entry {
    std::string name;
    TensorType type;
    std::vector<std::uint64_t> shape;
    std::vector<std::byte> bytes;
  };

  void add(const std::string& name, TensorType type, std::vector<std::uint64_t> shape,
           std::vector<std::byte> bytes) {
    entries_.push_back({name, type, std::move(shape), std::move(bytes)});
  }

  void append_row(TensorType type, std::uint64_t columns, std::vector<std::byte>& out) {
    std::vector<std::byte> row(format::row_bytes(type, columns));
    if (type == TensorType::kQ6_K) {
      q6_k_row(row);
    } else {
      float_row(type, columns, row);
    }
    out.insert(out.end(), row.begin(), row.end());
  }

  void float_row(TensorType type, std::uint64_t columns, std::vector<std::byte>& row) {
    std::vector<float> values(columns);
    for (float& v : values) v = random_.symmetric();
    if (type == TensorType::kF32) std::memcpy(row.data(), values.data(), row.size());
    if (type == TensorType::kQ8_0) format::quantize_row_q8_0(values.data(), columns, row.data());
    if (type != TensorType::kF16 && type != TensorType::kBF16) return;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint16_t bits =
          type == TensorType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
      std::memcpy(row.data() + 2 * i, &bits, sizeof(bits));
    }
  }

  // Any bytes are valid q6_k but for the f16 factor at the end of a block of 210.
  void q6_k_row(std::vector<std::byte>& row) {
    for (std::byte& byte : row) byte = static_cast<std::byte>(random_.next());
    const std::uint16_t factor = f32_to_f16(0x1p-12f);
    for (std::size_t end = 210; end <= row.size(); end += 210) {
      std::memcpy(row.data() + end - 2, &factor, sizeof(factor));
    }
  }

  const TinyModel& model_;
  Random random_;
  std::vector<Entry> entries_;
};

KeyMap keys_of(const TinyModel& m) {
  KeyMap keys;
  const auto key = [&](const char* suffix) { return m.architecture + "." + suffix; };
  keys["general.architecture"] = m.architecture;
  keys["general.name"] = std::string("tiny");
  keys[key("block_count")] = m.layers;
  keys[key("context_length")] = m.context;
  keys[key("embedding_length")] = m.hidden;
  keys[key("feed_forward_length")] = m.ffn;
  keys[key("attention.head_count")] = m.heads;
  keys[key("attention.head_count_kv")] = m.kv_heads;
  if (m.head_dim * m.heads != m.hidden) keys[key("attention.key_length")] = m.head_dim;
  keys[key("attention.layer_norm_rms_epsilon")] = 1e-5f;
  keys[key("rope.freq_base")] = 10000.0f;
  keys[key("rope.dimension_count")] = m.head_dim;
  keys[key("vocab_size")] = m.vocab;
  return keys;
}

// Norms that not every block has are drawn after the rest, so that a block without them is the same
// for all families.
void add_optional_norms(const TinyModel& m, const std::string& prefix, Builder& builder) {
  const std::uint64_t query = std::uint64_t{m.heads} * m.head_dim;
  if (m.architecture == "qwen3" || m.architecture == "gemma3") {
    builder.norm(prefix + "attn_q_norm.weight", m.head_dim);
    builder.norm(prefix + "attn_k_norm.weight", m.head_dim);
  }
  if (m.architecture == "gemma3") {
    builder.norm(prefix + "post_attention_norm.weight", m.hidden);
    builder.norm(prefix + "post_ffw_norm.weight", m.hidden);
  }
  if (m.input_norms) {
    for (const char* linear : {"attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"}) {
      builder.norm(prefix + linear + "_norm_in.weight", m.hidden);
    }
    builder.norm(prefix + "attn_output_norm_in.weight", query);
    builder.norm(prefix + "ffn_down_norm_in.weight", m.ffn);
  }
}

void add_block(const TinyModel& m, std::uint32_t layer, Builder& builder) {
  const bool sub_norms = m.architecture.starts_with("bitnet");
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  const std::uint64_t query = std::uint64_t{m.heads} * m.head_dim;
  const std::uint64_t kv = std::uint64_t{m.kv_heads} * m.head_dim;
  builder.norm(prefix + "attn_norm.weight", m.hidden);
  builder.ternary(prefix + "attn_q.weight", m.hidden, query);
  builder.ternary(prefix + "attn_k.weight", m.hidden, kv);
  builder.ternary(prefix + "attn_v.weight", m.hidden, kv);
  if (sub_norms) builder.norm(prefix + "attn_sub_norm.weight", query);
  builder.ternary(prefix + "attn_output.weight", query, m.hidden);
  builder.norm(prefix + "ffn_norm.weight", m.hidden);
  builder.ternary(prefix + "ffn_gate.weight", m.hidden, m.ffn);
  builder.ternary(prefix + "ffn_up.weight", m.hidden, m.ffn);
  if (sub_norms) builder.norm(prefix + "ffn_sub_norm.weight", m.ffn);
  builder.ternary(prefix + "ffn_down.weight", m.ffn, m.hidden);
  add_optional_norms(m, prefix, builder);
}

}  // namespace

std::filesystem::path write_tiny_model(const std::filesystem::path& directory,
                                       const TinyModel& model) {
  format::GgufWriter writer;
  KeyMap keys = keys_of(model);
  if (model.keys) model.keys(keys);
  for (auto& [key, value] : keys) writer.set(key, std::move(value));
  Builder builder(model);
  builder.matrix("token_embd.weight", model.head_type, model.hidden, model.vocab);
  for (std::uint32_t layer = 0; layer < model.layers; ++layer) add_block(model, layer, builder);
  builder.norm("output_norm.weight", model.hidden);
  if (model.rope_factors) builder.rope_factors(model.head_dim / 2);
  if (!model.tied) builder.matrix("output.weight", model.head_type, model.hidden, model.vocab);
  return builder.write(writer, directory / "tiny.gguf");
}

std::vector<std::int32_t> tiny_tokens(const TinyModel& model, std::size_t count) {
  Random random(model.seed + 99);
  std::vector<std::int32_t> tokens(count);
  for (auto& token : tokens) token = static_cast<std::int32_t>(random.next() % model.vocab);
  return tokens;
}

}  // namespace tern::test
