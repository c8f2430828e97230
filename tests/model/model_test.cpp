// Loading: what is refused, by which message, and what the self-proof catches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/packed_cache.h"
#include "kernels/registry.h"
#include "model/decoder_plan.h"
#include "model/model_fixture.h"
#include "support/resident.h"

namespace tern::model {
namespace {

using ::testing::HasSubstr;

TEST_F(ModelLoad, ReportsWhatItProved) {
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  const auto model = load({}, {.progress = [&](std::uint64_t done, std::uint64_t all) {
                            EXPECT_GT(done, last);
                            last = done;
                            total = all;
                          }});
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  const ProofReport& proof = model->proof();
  EXPECT_TRUE(proof.proved);
  EXPECT_EQ(proof.tensors, 14u);
  // One row in 17 of 80, or of the 64 that K and V have, for one token and for several.
  EXPECT_EQ(proof.rows_compared, 2u * (5u * 10u + 2u * 8u));
  EXPECT_EQ(proof.median_scale, 0.05f);
  const double trits = static_cast<double>(proof.trits[0] + proof.trits[1] + proof.trits[2]);
  for (const auto count : proof.trits)
    EXPECT_NEAR(static_cast<double>(count) / trits, 1.0 / 3, 0.02);
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, model->weight_bytes() + model->head().copy_bytes);
}

TEST_F(ModelLoad, TheHeadGetsACopyWhereItSavesReadingAndFits) {
  const auto automatic = load({});
  ASSERT_TRUE(automatic.ok());
  EXPECT_TRUE(automatic->head().certified);
  // 96 rows of 128 columns, and three floats a row.
  EXPECT_EQ(automatic->head().copy_bytes, 96u * (128 + 12));
  const auto exact = load({}, {.head = HeadMode::kExact});
  ASSERT_TRUE(exact.ok());
  EXPECT_FALSE(exact->head().certified);
  EXPECT_EQ(exact->head().copy_bytes, 0u);
  // Blocks of eight bits are hardly larger than a copy of them.
  const TinyModel blocks{.head_type = format::TensorType::kQ8_0};
  const auto unworthy = load(blocks);
  ASSERT_TRUE(unworthy.ok());
  EXPECT_FALSE(unworthy->head().certified);
  EXPECT_TRUE(unworthy->head().no_copy_for.empty());
  const auto forced = load(blocks, {.head = HeadMode::kCertified});
  ASSERT_TRUE(forced.ok());
  EXPECT_TRUE(forced->head().certified);
}

// A copy that does not fit is left out where it may be, and is refused where it was asked for.
TEST_F(ModelLoad, ACopyWithoutRoomIsSaid) {
  std::uint64_t enough = 0;
  for (std::uint64_t free = 0; enough == 0; free += 10000) {
    const auto model = load({}, {.head = HeadMode::kExact, .available_memory = free});
    if (model.ok()) enough = free;
  }
  const auto without = load({}, {.available_memory = enough});
  ASSERT_TRUE(without.ok()) << without.error().to_string();
  EXPECT_FALSE(without->head().certified);
  EXPECT_THAT(without->head().no_copy_for, ::testing::HasSubstr("its int8 copy needs 0 MB"));
  const auto refused = load({}, {.head = HeadMode::kCertified, .available_memory = enough});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  const std::uint64_t with_copy = enough + 96 * (128 + 12);
  EXPECT_TRUE(load({}, {.available_memory = with_copy})->head().certified);
}

// One load of a model through the cache under `key`; what it packs is stored where it is proved.
class ModelCache : public ModelLoad {
 protected:
  Result<ProofReport> load_cached(const TinyModel& tiny, const std::string& key) {
    TERN_ASSIGN(CacheDir cache_dir, CacheDir::open(directory_ / "cache", 1u << 30));
    backend::PackedCache cache(std::move(cache_dir), key, {"model", "layout"});
    backend::CpuBackend backend(kernels::scalar_table(), 2);
    backend.use_cache(&cache);
    TERN_ASSIGN(const Model model, load(tiny, backend));
    complete_ = cache.complete();
    TERN_TRY(cache.store([](std::uint64_t, std::uint64_t) {}));
    return model.proof();
  }

  bool complete_ = false;
};

TEST_F(ModelCache, WhatComesFromTheCacheIsProvedAgain) {
  const auto first = load_cached({}, "a");
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  EXPECT_FALSE(complete_);
  const auto second = load_cached({}, "a");
  ASSERT_TRUE(second.ok()) << second.error().to_string();
  EXPECT_TRUE(complete_);
  EXPECT_TRUE(second->proved);
  EXPECT_EQ(second->rows_compared, first->rows_compared);
  EXPECT_EQ(second->trits, first->trits);
}

TEST_F(ModelCache, TheTritsOfAnotherModelAreFound) {
  ASSERT_TRUE(load_cached({}, "a").ok());
  const TinyModel moved{.tamper = on("blk.0.ffn_down.weight", [](auto& bytes) {
                          std::rotate(bytes.begin(), bytes.begin() + 32, bytes.end() - 32);
                          return true;
                        })};
  const auto other = load_cached(moved, "a");
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.error().code, ErrorCode::kProofFailed);
  EXPECT_THAT(other.error().to_string(), HasSubstr("by the definition"));
}

// A code without a meaning is looked for when a weight is packed, and only then: the sampled rows
// of this one do not have it.
TEST_F(ModelCache, CodesAreLookedForWhereWeightsArePacked) {
  ASSERT_TRUE(load_cached({}, "a").ok());
  const TinyModel damaged{.tamper = on("blk.0.ffn_down.weight", [](auto& bytes) {
                            bytes[50 * 96 + 5] = std::byte{0xff};  // of row 50
                            return true;
                          })};
  EXPECT_TRUE(load_cached(damaged, "a").ok());
  const auto packed = load_cached(damaged, "b");
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(packed.error().code, ErrorCode::kProofFailed);
  EXPECT_THAT(packed.error().to_string(), HasSubstr("code 3"));
}

TEST_F(ModelLoad, BytesPerTokenLeaveOutAnUntiedEmbedding) {
  const auto tied = load({});
  const auto untied = load({.tied = false});
  ASSERT_TRUE(tied.ok());
  ASSERT_TRUE(untied.ok());
  EXPECT_EQ(tied->bytes_per_token(), tied->weight_bytes() - 14 * 32);  // the scales of I2_S
  EXPECT_EQ(untied->bytes_per_token(), tied->bytes_per_token());
  EXPECT_GT(untied->weight_bytes(), tied->weight_bytes());
}

TEST_F(ModelLoad, RowsThatWereReadAreReleasedWhereFewAre) {
  const std::string embedding = "token_embd.weight";
  const std::string output = "output.weight";
  for (const bool tied : {true, false}) {
    for (const HeadMode head : {HeadMode::kCertified, HeadMode::kExact}) {
      const auto model = load({.vocab = 512, .tied = tied}, {.head = head});
      ASSERT_TRUE(model.ok());
      const bool certified = head == HeadMode::kCertified;
      const auto resident = [&](const std::string& name) {
        return test::resident_bytes(model->file().tensor(name)->data) != 0;
      };
      const auto read_all = [&](const std::string& name) {
        for (const std::byte b : model->file().tensor(name)->data) sum_ += std::to_integer<int>(b);
        EXPECT_TRUE(resident(name));
      };
      read_all(embedding);
      if (!tied) read_all(output);
      model->release_rows();
      EXPECT_EQ(resident(embedding), tied && !certified);
      if (!tied) {
        EXPECT_EQ(resident(output), !certified);
      }
    }
  }
}

TEST_F(ModelLoad, MissingTensor) {
  const Error error =
      refusal({.tamper = on("blk.1.ffn_sub_norm.weight", [](auto&) { return false; })});
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_THAT(error.to_string(), HasSubstr("blk.1.ffn_sub_norm.weight: the tensor is missing"));
}

TEST_F(ModelLoad, WrongShape) {
  const Error error = refusal({.keys = [](test::KeyMap& keys) {
    keys["bitnet-b1.58.feed_forward_length"] = std::uint32_t{256};
  }});
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_THAT(error.to_string(), HasSubstr("blk.0.ffn_gate.weight: expected shape [128, 256], "
                                           "found [128, 384]"));
}

TEST_F(ModelLoad, SecondScaleIsAmbiguous) {
  const auto path = test::write_tiny_model(directory_.path(), {});
  auto file = format::GgufFile::open(path);
  ASSERT_TRUE(file.ok());
  format::GgufWriter writer;
  for (const auto key : file->keys()) {
    const auto& value = *file->find(key);
    if (const auto* text = std::get_if<std::string_view>(&value)) {
      writer.set(std::string(key), std::string(*text));
    } else if (const auto* number = std::get_if<std::uint64_t>(&value)) {
      writer.set(std::string(key), static_cast<std::uint32_t>(*number));
    } else if (const auto* real = std::get_if<double>(&value)) {
      writer.set(std::string(key), static_cast<float>(*real));
    }
  }
  for (const auto& tensor : file->tensors()) {
    writer.add_tensor(tensor.name, tensor.type,
                      {tensor.shape.begin(), tensor.shape.begin() + tensor.rank}, tensor.data);
  }
  const float scale = 2.0f;
  writer.add_tensor("blk.0.attn_q.scale", format::TensorType::kF32, {1},
                    std::as_bytes(std::span(&scale, 1)));
  const auto second = directory_ / "second.gguf";
  ASSERT_TRUE(writer.write(second).ok());
  auto reopened = format::GgufFile::open(second);
  ASSERT_TRUE(reopened.ok()) << reopened.error().to_string();
  const auto model = Model::load(std::move(*reopened), backend_);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(model.error().to_string(), HasSubstr("blk.0.attn_q.scale"));
}

TEST_F(ModelLoad, MemoryIsRefusedBeforeItIsTaken) {
  const Error error = refusal({}, {.available_memory = 1000});
  EXPECT_EQ(error.code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(error.to_string(), HasSubstr("weights of"));
}

TEST_F(ModelLoad, Code3IsRefused) {
  // The last block of the matrix: a check that stops early would not see it.
  const auto tamper = on("blk.1.attn_v.weight", [](std::vector<std::byte>& bytes) {
    bytes[bytes.size() - 32 - 1] |= std::byte{0x03};
    return true;
  });
  const Error error = refusal({.tamper = tamper});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("blk.1.attn_v.weight: code 3 at element 8191"));
  EXPECT_TRUE(load({.tamper = tamper}, {.verify = false}).ok());
}

TEST_F(ModelLoad, AllZeroTritsAreRefused) {
  const Error error =
      refusal({.tamper = on("blk.0.ffn_up.weight", [](std::vector<std::byte>& bytes) {
                 std::memset(bytes.data(), 0x55, bytes.size() - 32);
                 return true;
               })});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("100% of the trits are zero"));
}

TEST_F(ModelLoad, NoZeroTritsAreRefused) {
  // Codes 2 and 0 in turn: balanced, but never zero.
  const Error error =
      refusal({.tamper = on("blk.0.ffn_up.weight", [](std::vector<std::byte>& bytes) {
                 std::memset(bytes.data(), 0x88, bytes.size() - 32);
                 return true;
               })});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("0% of the trits are zero"));
}

TEST_F(ModelLoad, LopsidedTritsAreRefused) {
  // Codes 1 and 0: no +1 at all, as in a file of unsigned codes.
  const Error error =
      refusal({.tamper = on("blk.0.ffn_up.weight", [](std::vector<std::byte>& bytes) {
                 std::memset(bytes.data(), 0x44, bytes.size() - 32);
                 return true;
               })});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("differ by 100%"));
}

TEST_F(ModelLoad, InverseScalesAreRefused) {
  const Error error = refusal({.scale = 20.0f});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("inverse"));
  EXPECT_TRUE(load({.scale = 4.0f}).ok());
}

// Sets the scale in the tail of an I2_S tensor.
bool set_scale(std::vector<std::byte>& bytes, float scale) {
  std::memcpy(bytes.data() + bytes.size() - 32, &scale, sizeof(scale));
  return true;
}

TEST_F(ModelLoad, OneInverseScaleAmongOthersIsRefused) {
  for (const float scale : {20.0f, 0.0f, 3e38f, 1e-4f}) {
    const Error error = refusal({.tamper = on("blk.1.ffn_down.weight", [&](auto& bytes) {
                                   return set_scale(bytes, scale);
                                 })});
    EXPECT_EQ(error.code, ErrorCode::kProofFailed) << scale;
    EXPECT_THAT(error.to_string(), HasSubstr("blk.1.ffn_down.weight: the scale is")) << scale;
  }
}

TEST_F(ModelLoad, ZeroScalesAreRefused) {
  EXPECT_EQ(refusal({.scale = 0.0f}).code, ErrorCode::kProofFailed);
}

// Tables that are the scalar one but for the last bit of some products: of one token alone, and of
// the rows and tokens that only a blocked kernel computes apart.
void wrong_for_one_token(const kernels::TernaryTiles& w, std::size_t rows,
                         const kernels::QuantizedRows& x, std::size_t tokens, float* y,
                         std::size_t y_stride) {
  kernels::scalar_table().ternary_linear(w, rows, x, tokens, y, y_stride);
  if (tokens != 1 || rows < 64) return;
  for (std::size_t r = 48; r < 64; ++r) y[r] *= 1.0f + 0x1p-22f;
}

void wrong_for_four_tokens(const kernels::TernaryTiles& w, std::size_t rows,
                           const kernels::QuantizedRows& x, std::size_t tokens, float* y,
                           std::size_t y_stride) {
  kernels::scalar_table().ternary_linear(w, rows, x, tokens, y, y_stride);
  if (tokens < 4 || rows < 64) return;
  for (std::size_t r = 16; r < 32; ++r) y[3 * y_stride + r] *= 1.0f + 0x1p-22f;
}

TEST_F(ModelLoad, ATierThatContradictsTheDefinitionIsRefused) {
  for (const auto linear : {wrong_for_one_token, wrong_for_four_tokens}) {
    kernels::KernelTable broken = kernels::scalar_table();
    broken.name = "broken";
    broken.ternary_linear = linear;
    backend::CpuBackend backend(broken, 1);
    const auto model = load({}, backend);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, ErrorCode::kProofFailed);
    EXPECT_THAT(model.error().to_string(), HasSubstr("on tier broken"));
  }
}

class HeadlessBackend final : public backend::CpuBackend {
 public:
  using CpuBackend::CpuBackend;
  bool supports(const backend::Op& op) const override { return op.code != backend::OpCode::kHead; }
};

TEST_F(ModelLoad, AnOperationThatTheBackendLacksIsRefused) {
  HeadlessBackend backend(kernels::scalar_table(), 1);
  const auto model = load({}, backend);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(model.error().to_string(), HasSubstr("backend cpu"));
}

TEST_F(ModelLoad, MemoryForPackedRowsIsCounted) {
  // 8 columns are packed as 16: more than the file's bytes are needed.
  const TinyModel tiny{.hidden = 800, .ffn = 8, .heads = 8, .kv_heads = 8, .head_dim = 100};
  const auto loaded = load(tiny);
  ASSERT_TRUE(loaded.ok()) << loaded.error().to_string();
  EXPECT_EQ(refusal(tiny, {.available_memory = loaded->weight_bytes()}).code,
            ErrorCode::kOutOfMemory);
}

// The host may have changed the rounding mode: the plan's frequencies must not notice.
TEST_F(ModelLoad, TheCallersRoundingModeChangesNothing) {
  const auto expected = load({});
  ASSERT_TRUE(expected.ok());
  std::fesetround(FE_UPWARD);
  const auto model = load({});
  const bool kept = std::fegetround() == FE_UPWARD;
  std::fesetround(FE_TONEAREST);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->plan().rope_frequencies, expected->plan().rope_frequencies);
  EXPECT_TRUE(kept);
}

TEST(DecoderPlan, SettingsWithoutAnOperationAreRefused) {
  arch::DecoderConfig good;
  good.head_dim = 2;
  EXPECT_TRUE(build_decoder_plan(good, {}).ok());
  const auto refused = [&](const std::function<void(arch::DecoderConfig&)>& change) {
    arch::DecoderConfig config = good;
    change(config);
    const auto plan = build_decoder_plan(config, {});
    return !plan.ok() && plan.error().code == ErrorCode::kUnsupported;
  };
  EXPECT_TRUE(refused([](auto& c) { c.query_scale = 0.5f; }));
  EXPECT_TRUE(refused([](auto& c) {
    c.norms.query_key = true;
    c.rope_pairing = arch::RopePairing::kNeighbours;
  }));
}

TEST_F(ModelLoad, TheFileStaysMappedWhileTheModelMoves) {
  auto model = load({});
  ASSERT_TRUE(model.ok());
  const Model moved = std::move(*model);
  float y = 0.0f;
  const std::vector<float> x(128, 1.0f);
  EXPECT_TRUE(moved.backend().ternary_rows(moved.plan().ops[3].weight, 0, 1, x, {&y, 1}).ok());
}

}  // namespace
}  // namespace tern::model
