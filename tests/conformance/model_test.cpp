// The same model and tokens give the same bits of logits and KV cache on every tier, for any number
// of threads and any prefill chunk, on unfriendly shapes; and these bits are the committed ones.
#include "model/model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <random>
#include <string_view>
#include <tuple>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kv_cache.h"
#include "backend/cpu/tuning.h"
#include "conformance/tiers.h"
#include "core/cpu_features.h"
#include "core/sha256.h"
#include "engine/sequence.h"
#include "format/ternary_matrix.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

using test::TinyModel;

struct Setting {
  const kernels::KernelTable* table = &kernels::scalar_table();
  std::uint32_t threads = 1;
  std::uint32_t chunk = 1;
  format::KvType kv = format::KvType::kF16;
  backend::Tuning tuning = {};
};

struct Hashes {
  std::string logits;
  std::string cache;
  bool operator==(const Hashes&) const = default;
};

// Test code: a failure to load is a thrown exception, which fails the test with its message.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

// Of all keys and values, wherever their pages lie.
std::string hash_of(const backend::CpuKvCache& cache) {
  const backend::KvShape& shape = cache.shape();
  Sha256 hash;
  const auto add = [&](const void* from, std::size_t bytes) {
    hash.update({static_cast<const std::byte*>(from), bytes});
  };
  for (std::size_t page = 0; page < cache.pages(); ++page) {
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
      for (std::uint32_t head = 0; head < shape.kv_heads; ++head) {
        if (shape.type == format::KvType::kF16) {
          const auto at = cache.f16_page(page, layer, head);
          add(at.keys, shape.key_bytes());
          add(at.values, shape.value_bytes());
          continue;
        }
        const auto at = cache.int8_page(page, layer, head);
        add(at.keys, shape.key_bytes());
        add(at.values, shape.value_bytes());
        add(at.key_scales, kernels::kPageKeys * sizeof(float));
        add(at.value_scales, kernels::kPageKeys * sizeof(float));
      }
    }
  }
  return hash.finish();
}

Hashes hashes(const std::filesystem::path& path, std::span<const std::int32_t> tokens,
              const Setting& setting) {
  backend::CpuBackend backend(*setting.table, setting.threads);
  backend.use_tuning(setting.tuning);
  const auto model = must(model::Model::load(must(format::GgufFile::open(path)), backend));
  auto sequence = must(
      engine::Sequence::create(model, {.prefill_chunk = setting.chunk, .kv_type = setting.kv}));
  Sha256 logits;
  engine::Sequence::AppendOptions options;
  options.every_logit = [&](std::uint32_t, std::span<const float> row) {
    logits.update(std::as_bytes(row));
  };
  must(sequence.append(tokens, options));
  return {logits.finish(), hash_of(static_cast<backend::CpuKvCache&>(sequence.cache()))};
}

std::vector<const kernels::KernelTable*> runnable_tables() {
  std::vector<const kernels::KernelTable*> tables;
  for (const auto* table : kernels::all_tables()) {
    if ((table->required_features & ~detect_cpu_features()) == 0) tables.push_back(table);
  }
  return tables;
}

struct Shape {
  const char* name;
  TinyModel model;
  std::size_t tokens;
};

void PrintTo(const Shape& shape, std::ostream* out) {  // NOLINT: a name of GoogleTest
  *out << shape.name;
}

const std::vector<Shape>& shapes() {  // NOLINT: a table
  using format::TensorType;
  static const std::vector<Shape> all{
      {"plain", {}, 40},
      {"head_dim_80_untied_q8_0",
       {.hidden = 320,
        .ffn = 640,
        .heads = 4,
        .kv_heads = 1,
        .head_dim = 80,
        .vocab = 97,
        .tied = false,
        .head_type = TensorType::kQ8_0},
       35},
      {"silu_head_dim_100_columns_not_of_128",
       {.architecture = "bitnet",
        .layers = 1,
        .hidden = 800,
        .ffn = 2160,
        .heads = 8,
        .kv_heads = 8,
        .head_dim = 100,
        .vocab = 64,
        .head_type = TensorType::kF32},
       9},
      {"head_dim_256_q6_k",
       {.architecture = "bitnet-25",
        .layers = 1,
        .hidden = 512,
        .ffn = 1152,
        .heads = 2,
        .kv_heads = 1,
        .head_dim = 256,
        .vocab = 50,
        .head_type = TensorType::kQ6_K},
       12},
      {"wide_ffn_8640",
       {.layers = 1,
        .hidden = 128,
        .ffn = 8640,
        .heads = 2,
        .kv_heads = 1,
        .head_dim = 64,
        .vocab = 33,
        .head_type = TensorType::kBF16},
       5},
      {"over_256_keys", {.layers = 1, .hidden = 128, .ffn = 128, .vocab = 40}, 259},
      {"llama",
       {.architecture = "llama", .heads = 4, .kv_heads = 1, .tied = false, .rope_factors = true},
       37},
      {"llama_with_input_norms",
       {.architecture = "llama",
        .hidden = 320,
        .ffn = 640,
        .kv_heads = 4,
        .head_dim = 80,
        .vocab = 50,
        .input_norms = true},
       11},
      {"qwen3_with_input_norms",
       {.architecture = "qwen3", .heads = 2, .kv_heads = 1, .head_dim = 128, .input_norms = true},
       14},
      {"gemma3_with_input_norms",
       {.architecture = "gemma3",
        .layers = 1,
        .hidden = 320,
        .ffn = 1024,
        .heads = 2,
        .kv_heads = 1,
        .head_dim = 256,
        .vocab = 64,
        .input_norms = true},
       10},
  };
  return all;
}

class ModelBits : public ::testing::TestWithParam<Shape> {
 protected:
  test::TemporaryDirectory directory_;
};

// Asked for the last position alone, the backend computes the same logits as for every position.
TEST_P(ModelBits, LastLogitsAreThoseOfTheFullComputation) {
  const auto path = write_tiny_model(directory_.path(), GetParam().model);
  const auto tokens = test::tiny_tokens(GetParam().model, GetParam().tokens);
  backend::CpuBackend backend(*runnable_tables().back(), 2);
  const auto model = must(model::Model::load(must(format::GgufFile::open(path)), backend));
  auto last_only = must(engine::Sequence::create(model));
  must(last_only.append(tokens));
  auto every = must(engine::Sequence::create(model, {.prefill_chunk = 5}));
  std::vector<float> last_of_all;
  engine::Sequence::AppendOptions options;
  options.every_logit = [&](std::uint32_t, std::span<const float> row) {
    last_of_all.assign(row.begin(), row.end());
  };
  must(every.append(tokens, options));
  EXPECT_EQ(std::memcmp(last_only.logits().data(), last_of_all.data(),
                        last_of_all.size() * sizeof(float)),
            0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ModelBits, ::testing::ValuesIn(shapes()),
                         [](const auto& shape) { return std::string(shape.param.name); });

// Lines "<name> <sha256>": any compiler, optimisation level and processor gives these. A change of
// the numbers changes them, together with an ADR.
std::string committed_hash(std::string name, format::KvType kv) {
  if (kv != format::KvType::kF16) name += "-kv-" + std::string(format::name(kv));
  std::ifstream file(TERN_SOURCE_DIR "/tests/conformance/logits.sha256");
  for (std::string known, hash; file >> known >> hash;) {
    if (known == name) return hash;
  }
  return "none for " + name;
}

// A shape on a tier that this build has; skipped where the CPU lacks the tier.
class ModelOnTier
    : public ::testing::TestWithParam<std::tuple<Shape, const kernels::KernelTable*>> {
 protected:
  void SetUp() override {
    const auto missing = table().required_features & ~detect_cpu_features();
    if (missing != 0) GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
  }
  const Shape& shape() const { return std::get<0>(GetParam()); }
  const kernels::KernelTable& table() const { return *std::get<1>(GetParam()); }

  test::TemporaryDirectory directory_;
};

TEST_P(ModelOnTier, SameBitsForAnyThreadsAndChunksAndTheCommittedOnes) {
  const auto path = write_tiny_model(directory_.path(), shape().model);
  const auto tokens = test::tiny_tokens(shape().model, shape().tokens);
  const auto count = static_cast<std::uint32_t>(tokens.size());
  for (const auto kv : {format::KvType::kF16, format::KvType::kInt8}) {
    const Hashes expected = hashes(path, tokens, {.chunk = count, .kv = kv});
    EXPECT_EQ(expected.logits, committed_hash(shape().name, kv));
    for (Setting setting :
         {Setting{&table(), 1, count}, Setting{&table(), 2, 7}, Setting{&table(), 3, 32},
          Setting{&table(), 8, 256}, Setting{&table(), 2, 1}, Setting{&table(), 3, 1}}) {
      setting.kv = kv;
      EXPECT_EQ(hashes(path, tokens, setting), expected)
          << name(kv) << ", " << setting.threads << " threads, chunk " << setting.chunk;
    }
  }
}

// One sequence among others that come, go and leave their pages: prompts in chunks of any size and
// decoded tokens meet in one step, in an order that a generator of fixed numbers draws.
Hashes hashes_in_company(const std::filesystem::path& path, std::span<const std::int32_t> tokens,
                         const Setting& setting, std::uint32_t seed) {
  constexpr std::size_t kOthers = 5, kRows = 40;
  std::mt19937 random(seed);
  backend::CpuBackend backend(*setting.table, setting.threads);
  const auto model = must(model::Model::load(must(format::GgufFile::open(path)), backend));
  const auto pages = static_cast<std::uint32_t>((kOthers + 1) * (tokens.size() / 32 + 1));
  const auto stepper =
      must(engine::Stepper::create(model, {.rows = kRows, .pages = pages, .kv_type = setting.kv}));
  const auto fresh = [&] {
    return std::make_unique<engine::Sequence>(must(engine::Sequence::create(*stepper)));
  };
  std::vector<std::unique_ptr<engine::Sequence>> others(kOthers);
  for (auto& other : others) other = fresh();
  auto watched = fresh();
  Sha256 logits;
  while (watched->tokens().size() < tokens.size()) {
    std::vector<engine::Advance> work;
    std::size_t left = kRows;
    const auto add = [&](engine::Sequence& sequence, engine::Advance::Logits wanted) {
      const std::size_t done = sequence.tokens().size();
      const std::size_t most = std::min({tokens.size() - done, left, std::size_t{9}});
      if (most == 0) return;
      const std::size_t count = random() % 2 == 0 ? 1 : random() % most + 1;
      work.push_back({&sequence, tokens.subspan(done, count), wanted});
      left -= count;
    };
    for (std::size_t i = 0; i < kOthers; ++i) {
      if (i == seed % kOthers) add(*watched, engine::Advance::Logits::kEvery);
      if (random() % 8 == 0) others[i] = fresh();
      if (random() % 3 != 0) add(*others[i], engine::Advance::Logits::kLast);
    }
    must(stepper->step(work));
    for (const engine::Advance& advance : work) {
      if (advance.sequence == watched.get()) logits.update(std::as_bytes(watched->every_logit()));
    }
  }
  return {logits.finish(), hash_of(static_cast<backend::CpuKvCache&>(watched->cache()))};
}

TEST_P(ModelOnTier, SameBitsInAnyCompanyAndOnAnyPages) {
  const auto path = write_tiny_model(directory_.path(), shape().model);
  const auto tokens = test::tiny_tokens(shape().model, shape().tokens);
  const auto count = static_cast<std::uint32_t>(tokens.size());
  for (const auto kv : {format::KvType::kF16, format::KvType::kInt8}) {
    const Hashes expected = hashes(path, tokens, {&table(), 2, count, kv});
    EXPECT_EQ(expected.logits, committed_hash(shape().name, kv));
    for (std::uint32_t seed = 0; seed < 3; ++seed) {
      EXPECT_EQ(
          hashes_in_company(path, tokens, {.table = &table(), .threads = seed + 1, .kv = kv}, seed),
          expected)
          << name(kv) << ", company " << seed;
    }
  }
}

// The plan for each ternary matrix of the file.
backend::Tuning every_shape(const std::filesystem::path& path, const backend::MatrixPlan& plan) {
  backend::Tuning tuning;
  const auto file = must(format::GgufFile::open(path));
  for (const format::Tensor& tensor : file.tensors()) {
    if (format::is_ternary(tensor.type)) tuning[{tensor.rows(), tensor.columns()}] = plan;
  }
  return tuning;
}

// Decoded token by token, as whatever `tern tune` may find would have it, and each shape with
// another plan.
TEST_P(ModelOnTier, SameBitsWithEveryTuning) {
  const auto path = write_tiny_model(directory_.path(), shape().model);
  const std::size_t decoded = std::min<std::size_t>(shape().tokens, 12);
  const auto tokens = test::tiny_tokens(shape().model, decoded);
  Setting setting{.table = &table(), .threads = 2, .chunk = 1};
  const Hashes expected = hashes(path, tokens, setting);
  backend::Tuning mixed;
  for (const auto packing : {kernels::Packing::kTwoBits, kernels::Packing::kFiveTrits}) {
    for (std::uint32_t streams = 1; streams <= kernels::kMostStreams; streams *= 2) {
      const backend::MatrixPlan plan{packing, {streams, 1024, streams == 2}};
      if (!backend::supports(table(), plan)) continue;
      setting.tuning = every_shape(path, plan);
      EXPECT_EQ(hashes(path, tokens, setting), expected)
          << backend::name(packing) << ", " << streams << " streams";
      auto one = std::next(setting.tuning.begin(),
                           static_cast<std::ptrdiff_t>(mixed.size() % setting.tuning.size()));
      mixed.insert(*one);
    }
  }
  setting.tuning = mixed;
  EXPECT_EQ(hashes(path, tokens, setting), expected);
}

std::string name_of(const kernels::KernelTable& table) {
  std::string name = table.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Tiers, ModelOnTier,
                         ::testing::Combine(::testing::ValuesIn(shapes()),
                                            ::testing::ValuesIn(kernels::all_tables().begin(),
                                                                kernels::all_tables().end())),
                         [](const auto& tier_case) {
                           return std::string(std::get<0>(tier_case.param).name) + "_on_" +
                                  name_of(*std::get<1>(tier_case.param));
                         });

#if defined(__x86_64__)
// Of prompts in one step and in short ones, the committed bits, from however many rows on `tern
// tune` may find that the AMX tier takes tile registers: here emulated ones.
TEST(ModelOnTmm, SameBitsFromAnyNumberOfRowsOn) {
  const kernels::KernelTable& tier = kernels::kAmxEmulatedTable;
  const auto missing = tier.required_features & ~detect_cpu_features();
  if (missing != 0) GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
  for (const char* name : {"plain", "llama"}) {
    const auto shape = std::find_if(shapes().begin(), shapes().end(), [&](const Shape& each) {
      return std::string_view(each.name) == name;
    });
    const test::TemporaryDirectory directory;
    const auto path = write_tiny_model(directory.path(), shape->model);
    const auto tokens = test::tiny_tokens(shape->model, shape->tokens);
    const std::string expected = committed_hash(name, format::KvType::kF16);
    for (std::uint32_t from = 2; from <= backend::kMostTileTokens; from *= 2) {
      const backend::MatrixPlan plan{kernels::Packing::kFiveTrits, {1, 1024, false}, from};
      ASSERT_TRUE(backend::supports(tier, plan));
      for (const std::uint32_t chunk : {5u, 40u}) {
        const Setting setting{
            .table = &tier, .threads = 2, .chunk = chunk, .tuning = every_shape(path, plan)};
        EXPECT_EQ(hashes(path, tokens, setting).logits, expected)
            << name << ", from " << from << " rows on, steps of " << chunk;
      }
    }
  }
}
#endif

TEST(EmbeddedModelBits, EqualTheCommittedHashOnEveryTier) {
  const std::filesystem::path path = TERN_SOURCE_DIR "/models/tern-tales.gguf";
  const auto tokenizer = must(text::Tokenizer::from_gguf(must(format::GgufFile::open(path))));
  const auto tokens = tokenizer.encode(
      "Once upon a time there was a little mouse, who lived in a house by the sea; and every "
      "morning he went out to look for his breakfast.");
  for (const auto* table : runnable_tables()) {
    for (const auto kv : {format::KvType::kF16, format::KvType::kInt8}) {
      EXPECT_EQ(hashes(path, tokens, {table, 2, 64, kv}).logits, committed_hash("tern-tales", kv))
          << table->name << ", " << name(kv);
    }
  }
}

}  // namespace
}  // namespace tern
