// The vectors of texts are the same bits on every tier, for any threads, steps and company; and
// these bits are the committed ones.
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "backend/cpu/cpu_backend.h"
#include "conformance/tiers.h"
#include "core/sha256.h"
#include "engine/embedder.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern {
namespace {

using arch::Pooling;
using Texts = std::vector<engine::Embedder::Tokens>;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

struct Shape {
  const char* name;
  test::TinyModel model;
};

const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{
      {"qwen3",
       {.architecture = "qwen3", .heads = 2, .kv_heads = 1, .head_dim = 128, .input_norms = true}},
      {"gemma3",
       {.architecture = "gemma3",
        .layers = 1,
        .hidden = 320,
        .ffn = 1024,
        .heads = 2,
        .kv_heads = 1,
        .head_dim = 256,
        .vocab = 64,
        .input_norms = true}},
  };
  return all;
}

// Of many lengths.
Texts texts_of(const test::TinyModel& model) {
  const auto pool = test::tiny_tokens(model, 100);
  Texts texts;
  std::size_t at = 0;
  for (const std::size_t length : {1u, 7u, 40u, 32u, 2u, 15u}) {
    texts.emplace_back(pool.begin() + static_cast<std::ptrdiff_t>(at),
                       pool.begin() + static_cast<std::ptrdiff_t>(at + length));
    at += length;
  }
  return texts;
}

// Of all texts, in their order.
std::string hash_of(const model::Model& model, const Texts& texts, const Pooling pooling,
                    std::uint32_t rows, bool one_by_one) {
  auto embedder = must(engine::Embedder::create(model, {.pooling = pooling, .rows = rows}));
  Sha256 hash;
  const auto sink = [&](std::size_t, std::span<const float> vector) {
    hash.update(std::as_bytes(vector));
    return Result<void>();
  };
  if (!one_by_one) {
    must(embedder.embed(texts, sink));
    return hash.finish();
  }
  for (const auto& text : texts) must(embedder.embed({&text, 1}, sink));
  return hash.finish();
}

std::string committed_hash(const std::string& name) {
  std::ifstream file(TERN_SOURCE_DIR "/tests/conformance/embeddings.sha256");
  for (std::string known, hash; file >> known >> hash;) {
    if (known == name) return hash;
  }
  return "none for " + name;
}

class EmbeddingsOnTier : public kernels::TierTest {};

TEST_P(EmbeddingsOnTier, AreTheCommittedOnesForAnyThreadsStepsAndCompany) {
  const test::TemporaryDirectory directory;
  for (const Shape& shape : shapes()) {
    const auto path = write_tiny_model(directory.path(), shape.model);
    const Texts texts = texts_of(shape.model);
    for (const auto& [threads, rows] : {std::pair{1u, 512u}, std::pair{3u, 9u}}) {
      backend::CpuBackend backend(tier(), threads);
      const auto model = must(model::Model::load(must(format::GgufFile::open(path)), backend));
      for (const auto& [name, pooling] :
           {std::pair{"last", Pooling::kLast}, std::pair{"mean", Pooling::kMean},
            std::pair{"cls", Pooling::kCls}}) {
        const std::string expected = committed_hash(std::string(shape.name) + "-" + name);
        EXPECT_EQ(hash_of(model, texts, pooling, rows, false), expected)
            << shape.name << " " << name << ", " << threads << " threads, steps of " << rows;
        EXPECT_EQ(hash_of(model, texts, pooling, rows, true), expected) << shape.name << " alone";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tiers, EmbeddingsOnTier,
                         ::testing::ValuesIn(kernels::all_tables().begin(),
                                             kernels::all_tables().end()),
                         [](const auto& tier) {
                           return "here_on_" + kernels::tier_test_name(tier);
                         });

}  // namespace
}  // namespace tern
