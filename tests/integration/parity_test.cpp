// Parity with Hugging Face transformers (float32): tests/reference/README.md says what was
// recorded.
//
// Per operation, with the reference's inputs injected: integers are equal, floats within 4 ulp of
// the operation's largest output. Where the reference's own rounding is larger than that (it
// multiplies dequantised floats, and rounds scores before the exponential), the yardstick is its
// float64 twin
// `_exact`. End to end: the logits of every position. Each check prints a line of the parity table.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <limits>

#include "arch/gguf_dialect.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/weights.h"
#include "core/cpu_features.h"
#include "core/float16.h"
#include "core/fp_env.h"
#include "engine/embedder.h"
#include "engine/sequence.h"
#include "format/float_blocks.h"
#include "kernels/packing.h"
#include "kernels/registry.h"

namespace tern {
namespace {

using kernels::KernelTable;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

// A golden tensor: [rows()][columns()], the last dimension contiguous.
struct Array {
  std::vector<float> values;
  std::size_t columns = 0;
  std::size_t rows() const { return values.size() / columns; }
  const float* row(std::size_t r) const { return values.data() + r * columns; }
};

// Largest difference in ulps of the largest expected magnitude.
double ulps(const std::vector<float>& found, const std::vector<float>& expected) {
  float largest = 0.0f;
  double difference = 0.0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(found[i])) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(static_cast<double>(found[i]) - expected[i]));
  }
  const float ulp = std::nextafter(largest, std::numeric_limits<float>::infinity()) - largest;
  return difference / ulp;
}

constexpr double kMostUlps = 4.0;
// Of the range of logits: what int8 inputs of linears move a model at most that was made for
// floats.
constexpr double kMostOfQuantisation = 0.05;

struct Case {
  const char* name;
  const char* model;  // below the source directory
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Parity : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string root = TERN_SOURCE_DIR "/";
    golden_.emplace(must(
        format::GgufFile::open(root + "tests/reference/data/" + GetParam().name + ".golden.gguf")));
    model_path_ = root + GetParam().model;
    file_.emplace(must(format::GgufFile::open(model_path_)));
    for (const KernelTable* table : kernels::all_tables()) {
      if ((table->required_features & ~detect_cpu_features()) == 0) tiers_.push_back(table);
    }
  }

  Array golden(const std::string& name) const {
    const format::Tensor* tensor = golden_->tensor("golden." + name);
    if (tensor == nullptr) throw std::runtime_error("no golden." + name);
    Array array{std::vector<float>(tensor->elements()), tensor->columns()};
    std::memcpy(array.values.data(), tensor->data.data(), tensor->data.size());
    return array;
  }
  std::vector<float> norm_weight(const std::string& name) const {
    return must(backend::make_vector_weight(*file_->tensor(name + ".weight"))).values;
  }
  float epsilon() const { return config().norm_epsilon; }
  arch::DecoderConfig config() const { return must(arch::read_decoder_config(*file_)); }
  // Whether the reference's linears do not quantise their inputs.
  bool float_inputs() const { return must(golden_->get_string("golden.linear_class")) == "float"; }
  // Names of the tensors that end so, less that.
  std::vector<std::string> names(std::string_view ending) const {
    std::vector<std::string> found;
    for (const format::Tensor& tensor : file_->tensors()) {
      if (!tensor.name.ends_with(ending)) continue;
      const std::string name = tensor.name.substr(0, tensor.name.rfind('.'));
      if (golden_->tensor("golden." + name + ".x") != nullptr) found.push_back(name);
    }
    return found;
  }
  void expect_close(const char* what, const KernelTable& tier, const std::vector<float>& found,
                    const Array& expected, double most_ulps = kMostUlps) {
    const double distance = ulps(found, expected.values);
    std::cout << "PARITY " << GetParam().name << " | " << what << " | " << tier.name << " | "
              << distance << " ulp\n";
    EXPECT_LE(distance, most_ulps) << what << " on " << tier.name;
  }

  ScopedFpEnv fp_env_;
  std::filesystem::path model_path_;
  std::optional<format::GgufFile> golden_;
  std::optional<format::GgufFile> file_;
  std::vector<const KernelTable*> tiers_;
};

TEST_P(Parity, Norms) {
  auto all = names("norm.weight");
  for (const std::string& name : names("norm_in.weight")) all.push_back(name);
  ASSERT_GE(all.size(), 3u);
  for (const std::string& name : all) {
    const Array x = golden(name + ".x");
    const auto w = norm_weight(name);
    for (const KernelTable* tier : tiers_) {
      std::vector<float> y(x.values.size());
      for (std::size_t r = 0; r < x.rows(); ++r) {
        tier->rms_norm(x.row(r), w.data(), x.columns, epsilon(), y.data() + r * x.columns);
      }
      expect_close(name.c_str(), *tier, y, golden(name + ".y"));
    }
  }
}

TEST_P(Parity, TernaryLinears) {
  ThreadPool pool(1);
  Arena arena;
  if (float_inputs()) return;  // the reference has no codes
  for (const std::string name :
       {"blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v", "blk.0.attn_output", "blk.0.ffn_gate",
        "blk.0.ffn_up", "blk.0.ffn_down"}) {
    const Array x = golden(name + ".x");
    const Array q = golden(name + ".q");
    const Array factor = golden(name + ".scale");
    const Array acc = golden(name + ".acc");
    const auto weight = must(backend::make_ternary_weight(*file_->tensor(name + ".weight"),
                                                          kernels::Packing::kTwoBits, arena, pool));
    const std::size_t padded = kernels::padded_columns(x.columns);
    for (const KernelTable* tier : tiers_) {
      std::vector<float> y(acc.values.size());
      for (std::size_t r = 0; r < x.rows(); ++r) {
        std::vector<std::int8_t> codes(padded);
        float d = 0.0f;
        std::int32_t sum = 0;
        ASSERT_TRUE(tier->quantize(x.row(r), x.columns, padded, codes.data(), &d, &sum));
        for (std::size_t i = 0; i < x.columns; ++i) ASSERT_EQ(codes[i], q.row(r)[i]) << name << i;
        EXPECT_NEAR(d * factor.values[r], 1.0, 3e-7);
        tier->ternary_linear(weight.tiles, acc.columns, {codes.data(), padded, &d, &sum}, 1,
                             y.data() + r * acc.columns, acc.columns);
        // With unit scales the output is the accumulator.
        const float one = 1.0f;
        kernels::TernaryTiles unit = weight.tiles;
        unit.scale = 1.0f;
        std::vector<float> integers(acc.columns);
        tier->ternary_linear(unit, acc.columns, {codes.data(), padded, &one, &sum}, 1,
                             integers.data(), acc.columns);
        ASSERT_EQ(integers, std::vector<float>(acc.row(r), acc.row(r) + acc.columns)) << name;
      }
      expect_close(name.c_str(), *tier, y, golden(name + ".y_exact"));
    }
  }
}

TEST_P(Parity, Rope) {
  const Array cosines = golden("blk.0.rope.cos");
  const Array sines = golden("blk.0.rope.sin");
  for (const std::string side : {"q", "k"}) {
    const Array before = golden("blk.0.rope." + side);
    const std::size_t heads = before.rows() / cosines.rows();
    for (const KernelTable* tier : tiers_) {
      std::vector<float> x = before.values;
      for (std::size_t r = 0; r < before.rows(); ++r) {
        float* const row = x.data() + r * before.columns;
        tier->rope(row, cosines.row(r / heads), sines.row(r / heads), before.columns / 2, row);
      }
      expect_close(("rope " + side).c_str(), *tier, x, golden("blk.0.rope." + side + "_out"));
    }
  }
}

std::size_t padded_values(std::size_t dim) {
  return (dim + kernels::kValueAlign - 1) / kernels::kValueAlign * kernels::kValueAlign;
}

// K and V as pages, which hold f16.
struct Pages {
  std::vector<std::vector<std::uint16_t>> k, v;
  std::vector<kernels::KeyValuePage> pages;

  Pages(const Array& keys, const Array& values, std::size_t kv_heads, std::size_t kv_head,
        std::size_t positions) {
    using kernels::kPageKeys;
    const std::size_t dim = keys.columns;
    const std::size_t width = padded_values(dim);
    for (std::size_t t = 0; t < positions; ++t) {
      if (t % kPageKeys == 0) {
        k.emplace_back(dim * kPageKeys);
        v.emplace_back(width * kPageKeys);
      }
      for (std::size_t d = 0; d < dim; ++d) {
        const std::size_t row = t * kv_heads + kv_head;
        k.back()[d * kPageKeys + t % kPageKeys] = f32_to_f16(keys.row(row)[d]);
        v.back()[t % kPageKeys * width + d] = f32_to_f16(values.row(row)[d]);
      }
    }
    for (std::size_t p = 0; p < k.size(); ++p) {
      pages.push_back({k[p].data(), v[p].data()});
    }
  }
};

// The largest |score| of a query with any key up to its own position.
double largest_score(const Array& q, const Array& k, std::size_t heads, std::size_t kv_heads) {
  double largest = 0.0;
  for (std::size_t row = 0; row < q.rows(); ++row) {
    const std::size_t kv_head = row % heads / (heads / kv_heads);
    for (std::size_t t = 0; t <= row / heads; ++t) {
      double score = 0.0;
      for (std::size_t d = 0; d < q.columns; ++d) {
        score += static_cast<double>(q.row(row)[d]) * k.row(t * kv_heads + kv_head)[d];
      }
      largest = std::max(largest, std::abs(score) / std::sqrt(static_cast<double>(q.columns)));
    }
  }
  return largest;
}

TEST_P(Parity, Attention) {
  const Array q = golden("blk.0.attn.q");
  const Array k = golden("blk.0.attn.k");
  const Array v = golden("blk.0.attn.v");
  const std::size_t positions = golden("tokens").values.size();
  const std::size_t heads = q.rows() / positions;
  const std::size_t kv_heads = k.rows() / positions;
  const std::size_t dim = q.columns;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (const KernelTable* tier : tiers_) {
    std::vector<float> y(q.values.size());
    for (std::size_t row = 0; row < q.rows(); ++row) {
      const std::size_t t = row / heads;
      const Pages pages(k, v, kv_heads, row % heads / (heads / kv_heads), positions);
      std::vector<float> part_out(padded_values(dim)), total_out(padded_values(dim), 0.0f);
      kernels::AttentionState part{0, 0, part_out.data()};
      kernels::AttentionState total{-std::numeric_limits<float>::infinity(), 0, total_out.data()};
      const kernels::AttentionQuery query{q.row(row), t + 1};
      tier->attention_chunk(&query, 1, scale, {pages.pages.data(), dim}, &part);
      tier->attention_fold(part, dim, &total);
      tier->attention_output(total, dim, y.data() + row * dim);
    }
    // An f32 score s is off by an ulp of its own, and exp makes that a relative error of |s| ulp.
    const double bound = kMostUlps * std::max(1.0, largest_score(q, k, heads, kv_heads));
    expect_close("attention", *tier, y, golden("blk.0.attn.out_exact"), bound);
  }
}

using Gate = void (*)(const float*, const float*, std::size_t, float*);

std::pair<const char*, Gate> gate_of(arch::Activation activation, const KernelTable& tier) {
  switch (activation) {
    case arch::Activation::kSquaredRelu: return {"relu2 gate", tier.relu2_gate};
    case arch::Activation::kSilu: return {"silu gate", tier.silu_gate};
    case arch::Activation::kGelu: return {"gelu gate", tier.gelu_gate};
  }
  throw std::runtime_error("no gate");
}

TEST_P(Parity, GatedActivation) {
  const Array gate = golden("blk.0.ffn_act.gate");
  const Array up = golden("blk.0.ffn_act.up");
  for (const KernelTable* tier : tiers_) {
    std::vector<float> y(gate.values.size());
    const auto [name, kernel] = gate_of(config().activation, *tier);
    kernel(gate.values.data(), up.values.data(), y.size(), y.data());
    expect_close(name, *tier, y, golden("blk.0.ffn_act.out"));
  }
}

TEST_P(Parity, Head) {
  const format::Tensor* head = file_->tensor("output.weight");
  if (head == nullptr) head = file_->tensor("token_embd.weight");
  const Array x = golden("output.x");
  const std::size_t row_bytes = format::row_bytes(head->type, head->columns());
  std::vector<float> w(head->columns());
  for (const KernelTable* tier : tiers_) {
    std::vector<float> y(x.rows() * head->rows());
    for (std::size_t n = 0; n < head->rows(); ++n) {
      format::dequantize_row(head->type, head->data.data() + n * row_bytes, w.size(), w.data());
      for (std::size_t r = 0; r < x.rows(); ++r) {
        tier->dot_rows_f32(x.row(r), w.data(), w.size(), 1, &y[r * head->rows() + n]);
      }
    }
    expect_close("head", *tier, y, golden("output.y_exact"));
  }
}

// All logits of a model, [positions][vocab].
std::vector<float> logits_of(const std::filesystem::path& path, const KernelTable& tier,
                             const std::vector<text::TokenId>& tokens) {
  backend::CpuBackend backend(tier, 1);
  const auto model = must(model::Model::load(must(format::GgufFile::open(path)), backend));
  auto sequence = must(engine::Sequence::create(model));
  std::vector<float> logits;
  engine::Sequence::AppendOptions options;
  options.every_logit = [&](std::uint32_t, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
  };
  must(sequence.append(tokens, options));
  return logits;
}

// Differences of logits as a share of each position's range, worst last.
std::vector<double> range_shares(const std::vector<float>& found, const Array& expected) {
  std::vector<double> shares;
  for (std::size_t t = 0; t < expected.rows(); ++t) {
    const float* row = expected.row(t);
    const auto [low, high] = std::minmax_element(row, row + expected.columns);
    double difference = 0.0;
    for (std::size_t n = 0; n < expected.columns; ++n) {
      if (!std::isfinite(found[t * expected.columns + n])) {
        difference = std::numeric_limits<double>::infinity();
      }
      difference = std::max(
          difference, std::abs(static_cast<double>(row[n]) - found[t * expected.columns + n]));
    }
    shares.push_back(difference / (*high - *low));
  }
  std::sort(shares.begin(), shares.end());
  return shares;
}

// The reference's favourite is ours wherever it leads by more than 1e-2 of the range.
void expect_same_favourites(const std::vector<float>& found, const Array& expected) {
  for (std::size_t t = 0; t < expected.rows(); ++t) {
    std::vector<float> row(expected.row(t), expected.row(t) + expected.columns);
    const auto best = std::max_element(row.begin(), row.end());
    const auto favourite = best - row.begin();
    const float lead = *best;
    const float low = *std::min_element(row.begin(), row.end());
    *best = low;
    if (lead - *std::max_element(row.begin(), row.end()) <= 1e-2f * (lead - low)) continue;
    const float* own = found.data() + t * expected.columns;
    EXPECT_EQ(std::max_element(own, own + expected.columns) - own, favourite) << "position " << t;
  }
}

TEST_P(Parity, EndToEnd) {
  std::vector<text::TokenId> tokens;
  for (const float token : golden("tokens").values) tokens.push_back(static_cast<int>(token));
  for (const KernelTable* tier : tiers_) {
    const auto found = logits_of(model_path_, *tier, tokens);
    for (const std::string reference : {"logits", "logits_kv16"}) {
      const Array expected = golden(reference);
      ASSERT_EQ(found.size(), expected.values.size());
      const auto shares = range_shares(found, expected);
      const double at_99 = shares[(shares.size() * 99 + 99) / 100 - 1];
      const char* kind = float_inputs() ? " | of float inputs, " : " | end to end, ";
      std::cout << "PARITY " << GetParam().name << kind << reference << " | " << tier->name << " | "
                << shares.back() << " of the range\n";
      if (reference == "logits") continue;
      if (float_inputs()) {
        EXPECT_LE(shares.back(), kMostOfQuantisation) << reference << " on " << tier->name;
        continue;
      }
      EXPECT_LE(at_99, 2e-4) << reference << " on " << tier->name;
      EXPECT_LE(shares.back(), 1e-2) << reference << " on " << tier->name;
      expect_same_favourites(found, expected);
    }
  }
}

// The vector of the golden tokens, pooled so.
Array embedding_of(const std::filesystem::path& path, const KernelTable& tier,
                   const std::vector<text::TokenId>& tokens, arch::Pooling pooling) {
  backend::CpuBackend backend(tier, 1);
  const auto model = must(model::Model::load(must(format::GgufFile::open(path)), backend));
  auto embedder = must(engine::Embedder::create(model, {.pooling = pooling, .rows = 5}));
  Array found;
  const auto sink = [&](std::size_t, std::span<const float> vector) {
    found = {{vector.begin(), vector.end()}, vector.size()};
    return Result<void>();
  };
  must(embedder.embed({&tokens, 1}, sink));
  return found;
}

TEST_P(Parity, Embeddings) {
  if (golden_->tensor("golden.embedding.last") == nullptr) return;  // no embedding model
  EXPECT_EQ(config().pooling, arch::Pooling::kLast);
  const std::pair<const char*, arch::Pooling> poolings[] = {
      {"last", arch::Pooling::kLast}, {"mean", arch::Pooling::kMean}, {"cls", arch::Pooling::kCls}};
  std::vector<text::TokenId> tokens;
  for (const float token : golden("tokens").values) tokens.push_back(static_cast<int>(token));
  for (const KernelTable* tier : tiers_) {
    for (const auto& [name, pooling] : poolings) {
      const Array expected = golden(std::string("embedding.") + name);
      const Array found = embedding_of(model_path_, *tier, tokens, pooling);
      ASSERT_EQ(found.values.size(), expected.values.size());
      const double share = range_shares(found.values, expected).back();
      std::cout << "PARITY " << GetParam().name << " | embedding " << name << " | " << tier->name
                << " | " << share << " of the range\n";
      EXPECT_LE(share, 2e-4) << name << " on " << tier->name;
    }
  }
}

constexpr Case kCases[] = {
    {"gqa-tied-64", "tests/reference/data/gqa-tied-64.model.gguf"},
    {"mha-untied-64", "tests/reference/data/mha-untied-64.model.gguf"},
    {"gqa-untied-128", "tests/reference/data/gqa-untied-128.model.gguf"},
    {"mha-tied-128", "tests/reference/data/mha-tied-128.model.gguf"},
    {"tern-tales", "models/tern-tales.gguf"},
    {"bitnet-online", "tests/reference/data/bitnet-online.model.gguf"},
    {"bitnet-silu-100", "tests/reference/data/bitnet-silu-100.model.gguf"},
    {"llama3", "tests/reference/data/llama3.model.gguf"},
    {"llama3-scaled", "tests/reference/data/llama3-scaled.model.gguf"},
    {"falcon3", "tests/reference/data/falcon3.model.gguf"},
    {"llama-online", "tests/reference/data/llama-online.model.gguf"},
    {"llama-rms-norm", "tests/reference/data/llama-rms-norm.model.gguf"},
    {"trilm", "tests/reference/data/trilm.model.gguf"},
    {"qwen3-embedding", "tests/reference/data/qwen3-embedding.model.gguf"},
    {"gemma3-embedding", "tests/reference/data/gemma3-embedding.model.gguf"},
};

INSTANTIATE_TEST_SUITE_P(Transformers, Parity, ::testing::ValuesIn(kCases), [](const auto& c) {
  std::string name = c.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace tern
