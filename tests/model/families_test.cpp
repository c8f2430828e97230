// What each family's block needs of a file, and how its lack is told.
#include <gmock/gmock.h>

#include <cstring>
#include <limits>

#include "model/model_fixture.h"

namespace tern::model {
namespace {

using ::testing::HasSubstr;

TEST_F(ModelLoad, NormsOfTheFamilyMustBeThere) {
  const auto without = [](const std::string& tensor) {
    return on(tensor, [](std::vector<std::byte>&) { return false; });
  };
  const Error sub_norm = refusal({.tamper = without("blk.1.ffn_sub_norm.weight")});
  EXPECT_EQ(sub_norm.code, ErrorCode::kMalformed);
  EXPECT_THAT(sub_norm.to_string(), HasSubstr("blk.1.ffn_sub_norm.weight: the tensor is missing"));
  const Error input_norm = refusal({.architecture = "llama",
                                    .input_norms = true,
                                    .tamper = without("blk.1.attn_v_norm_in.weight")});
  EXPECT_EQ(input_norm.code, ErrorCode::kMalformed);
  EXPECT_THAT(input_norm.to_string(),
              HasSubstr("blk.1.attn_v_norm_in.weight: the tensor is missing"));
}

TEST_F(ModelLoad, NormsOfHeadsAndBranchesMustBeThere) {
  const auto without = on("blk.0.attn_k_norm.weight", [](auto&) { return false; });
  EXPECT_THAT(refusal({.architecture = "qwen3", .tamper = without}).to_string(),
              HasSubstr("blk.0.attn_k_norm.weight: the tensor is missing"));
  for (const char* norm : {"blk.1.post_attention_norm.weight", "blk.0.post_ffw_norm.weight"}) {
    const Error error =
        refusal({.architecture = "gemma3", .tamper = on(norm, [](auto&) { return false; })});
    EXPECT_EQ(error.code, ErrorCode::kMalformed);
    EXPECT_THAT(error.to_string(), HasSubstr(std::string(norm) + ": the tensor is missing"));
  }
}

// Heads of a width that no key tells: queries are wider than the hidden size.
TEST_F(ModelLoad, AMissingHeadWidthContradictsTheTensors) {
  const Error error = refusal({.architecture = "qwen3",
                               .hidden = 128,
                               .heads = 2,
                               .kv_heads = 1,
                               .head_dim = 128,
                               .keys = [](test::KeyMap& keys) {
                                 keys.erase("qwen3.attention.key_length");
                                 keys.erase("qwen3.rope.dimension_count");
                               }});
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_THAT(error.to_string(),
              HasSubstr("blk.0.attn_q.weight: expected shape [128, 128], found [128, 256]"));
}

// A converter that did not add the one.
TEST_F(ModelLoad, GainsWithoutTheirOneAreRefused) {
  const auto less_one = [](const std::string& name, std::vector<std::byte>& bytes) {
    if (!name.ends_with("_norm.weight")) return true;
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
      float gain = 0.0f;
      std::memcpy(&gain, bytes.data() + at, sizeof(gain));
      gain -= 1.0f;
      std::memcpy(bytes.data() + at, &gain, sizeof(gain));
    }
    return true;
  };
  EXPECT_TRUE(load({.architecture = "gemma3"}).ok());
  const Error error = refusal({.architecture = "gemma3", .tamper = less_one});
  EXPECT_EQ(error.code, ErrorCode::kProofFailed);
  EXPECT_THAT(error.to_string(), HasSubstr("they look like w where 1 + w is expected"));
  EXPECT_TRUE(load({.architecture = "qwen3", .tamper = less_one}).ok());  // gains are as they are
}

TEST_F(ModelLoad, RopeFactorsDivideTheFrequencies) {
  const auto plain = load({.architecture = "llama"});
  const auto scaled = load({.architecture = "llama", .rope_factors = true});
  ASSERT_TRUE(plain.ok()) << plain.error().to_string();
  ASSERT_TRUE(scaled.ok()) << scaled.error().to_string();
  const auto& before = plain->plan().rope_frequencies;
  const auto& after = scaled->plan().rope_frequencies;
  ASSERT_EQ(after.size(), 16u);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ(after[8], before[8] / 4.5);
}

TEST_F(ModelLoad, RopeFactorsOutOfRangeAreRefused) {
  for (const float wrong : {0.5f, 0.0f, -8.0f, 2e6f, std::numeric_limits<float>::quiet_NaN()}) {
    const Error error =
        refusal({.architecture = "llama",
                 .rope_factors = true,
                 .tamper = on("rope_freqs.weight", [&](std::vector<std::byte>& bytes) {
                   std::memcpy(bytes.data() + 4, &wrong, sizeof(wrong));
                   return true;
                 })});
    EXPECT_EQ(error.code, ErrorCode::kMalformed) << wrong;
    EXPECT_THAT(error.to_string(), HasSubstr("expected factors from 1 to 1000000, found"));
  }
}

}  // namespace
}  // namespace tern::model
