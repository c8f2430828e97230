// What the self-proof finds in the weights and in the tier that computes with them.
#include "model/self_proof.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "backend/cpu/packed_cache.h"
#include "format/ternary_matrix.h"
#include "model/model_fixture.h"

namespace tern::model {
namespace {

using ::testing::HasSubstr;

class SelfProof : public ModelLoad {};

TEST_F(SelfProof, ReportsWhatItProved) {
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
  // Of a matrix as many rows as 16,384 trits fill: 128 of 128 columns, 42 of 384, all 64 of K and
  // V.
  EXPECT_EQ(trits, 2 * (4 * 128 * 128 + 2 * 64 * 128 + 42 * 384));
  for (const auto count : proof.trits)
    EXPECT_NEAR(static_cast<double>(count) / trits, 1.0 / 3, 0.02);
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, model->weight_bytes() + model->head().copy_bytes);
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

TEST_F(SelfProof, Code3IsRefused) {
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

TEST_F(SelfProof, AllZeroTritsAreRefused) {
  const Error error =
      refusal({.tamper = on("blk.0.ffn_up.weight", [](std::vector<std::byte>& bytes) {
                 std::memset(bytes.data(), 0x55, bytes.size() - 32);
                 return true;
               })});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("100% of the trits are zero, expected 1% to 99%"));
}

TEST_F(SelfProof, NoZeroTritsAreRefused) {
  // Codes 2 and 0 in turn: balanced, but never zero.
  const Error error =
      refusal({.tamper = on("blk.0.ffn_up.weight", [](std::vector<std::byte>& bytes) {
                 std::memset(bytes.data(), 0x88, bytes.size() - 32);
                 return true;
               })});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("0% of the trits are zero"));
}

TEST_F(SelfProof, LopsidedTritsAreRefused) {
  // Codes 1 and 0: no +1 at all, as in a file of unsigned codes.
  const Error error =
      refusal({.tamper = on("blk.0.ffn_up.weight", [](std::vector<std::byte>& bytes) {
                 std::memset(bytes.data(), 0x44, bytes.size() - 32);
                 return true;
               })});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("differ by 100%"));
}

TEST_F(SelfProof, InverseScalesAreRefused) {
  const Error error = refusal({.scale = 20.0f});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("inverse"));
  EXPECT_TRUE(load({.scale = 8.0f}).ok());
}

// A matrix of so many trits of each value is accepted: 800 columns, 20 rows, all of them sampled.
TEST_F(SelfProof, SharesAtTheirBoundsAreAccepted) {
  struct Trits {
    int minus, zero, plus;
  };
  for (const Trits& share : {Trits{7920, 160, 7920}, Trits{80, 15840, 80}, Trits{2000, 8000, 6000},
                             Trits{6000, 8000, 2000}}) {
    TinyModel tiny{.hidden = 800, .ffn = 20, .heads = 8, .kv_heads = 8, .head_dim = 100};
    tiny.tamper = on("blk.0.ffn_up.weight", [&](std::vector<std::byte>& bytes) {
      std::vector<std::int8_t> trits(16000, std::int8_t{0});
      std::fill_n(trits.begin(), share.minus, std::int8_t{-1});
      std::fill_n(trits.rbegin(), share.plus, std::int8_t{1});
      bytes.clear();
      format::encode_trits(format::TensorType::kI2_S, trits.data(), trits.size(), 0.05f, bytes);
      format::end_trits(format::TensorType::kI2_S, 0.05f, bytes);
      return true;
    });
    const auto model = load(tiny);
    EXPECT_TRUE(model.ok()) << share.zero << ": " << model.error().to_string();
  }
}

// Every 17th row of a matrix of four times as many.
TEST_F(SelfProof, ComparesNoRowBehindTheLast) {
  const auto model = load({.layers = 1, .ffn = 68});
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  EXPECT_EQ(model->proof().rows_compared, 2u * (2u * 4u + 3u * 5u + 2u * 4u));
}

// Sets the scale in the tail of an I2_S tensor.
bool set_scale(std::vector<std::byte>& bytes, float scale) {
  std::memcpy(bytes.data() + bytes.size() - 32, &scale, sizeof(scale));
  return true;
}

TEST_F(SelfProof, OneInverseScaleAmongOthersIsRefused) {
  for (const float scale : {20.0f, 0.0f, 3e38f, 1e-4f, 0.05f * 64, 0.05f / 64}) {
    const Error error = refusal({.tamper = on("blk.1.ffn_down.weight", [&](auto& bytes) {
                                   return set_scale(bytes, scale);
                                 })});
    EXPECT_EQ(error.code, ErrorCode::kProofFailed) << scale;
    EXPECT_THAT(error.to_string(), HasSubstr("blk.1.ffn_down.weight: the scale is")) << scale;
  }
}

TEST_F(SelfProof, ZeroScalesAreRefused) {
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

TEST_F(SelfProof, ATierThatContradictsTheDefinitionIsRefused) {
  // Of the last 80 rows of 128, and of the first 80, every 17th is compared.
  using Linear = decltype(kernels::KernelTable::ternary_linear);
  for (const auto& [linear, row] : {std::pair<Linear, const char*>{wrong_for_one_token, "row 99"},
                                    {wrong_for_four_tokens, "row 17"}}) {
    kernels::KernelTable broken = kernels::scalar_table();
    broken.name = "broken";
    broken.ternary_linear = linear;
    backend::CpuBackend backend(broken, 1);
    const auto model = load({}, backend);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, ErrorCode::kProofFailed);
    EXPECT_THAT(model.error().to_string(), HasSubstr("on tier broken"));
    EXPECT_THAT(model.error().to_string(), HasSubstr(std::string(row) + " gives"));
  }
}

}  // namespace
}  // namespace tern::model
