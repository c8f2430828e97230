// Loading: what it makes, what is refused and by which message.
#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cfenv>
#include <cstring>

#include "format/ternary_matrix.h"
#include "model/decoder_plan.h"
#include "model/model_fixture.h"
#include "support/resident.h"

namespace tern::model {
namespace {

using ::testing::HasSubstr;

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
  const std::uint64_t copy = 96 * (128 + 12);
  // Bytes that are just enough for the weights alone: between those refused and those accepted.
  std::uint64_t refused = 0;
  std::uint64_t enough = 1 << 20;
  while (enough - refused > 1) {
    const std::uint64_t free = (refused + enough) / 2;
    const bool fits = load({}, {.head = HeadMode::kExact, .available_memory = free}).ok();
    (fits ? enough : refused) = free;
  }
  const auto without = load({}, {.available_memory = enough + copy - 1});
  ASSERT_TRUE(without.ok()) << without.error().to_string();
  EXPECT_FALSE(without->head().certified);
  EXPECT_THAT(without->head().no_copy_for, ::testing::HasSubstr("its int8 copy needs 0 MB"));
  const Error error =
      refusal({}, {.head = HeadMode::kCertified, .available_memory = enough + copy - 1});
  EXPECT_EQ(error.code, ErrorCode::kOutOfMemory);
  EXPECT_TRUE(load({}, {.available_memory = enough + copy})->head().certified);
}

// 36 bytes a row instead of 48.
TEST_F(ModelLoad, ACopyThatSavesJustAQuarterIsMade) {
  const auto model = load({.hidden = 24, .ffn = 128, .heads = 16, .kv_heads = 16, .head_dim = 8});
  ASSERT_TRUE(model.ok()) << model.error().to_string();
  EXPECT_EQ(model->head().copy_bytes, model->head().bytes / 4 * 3);
  EXPECT_TRUE(model->head().certified);
}

TEST_F(ModelLoad, AnUntiedHeadIsNotTheEmbedding) {
  for (const bool tied : {true, false}) {
    const auto model = load({.tied = tied});
    ASSERT_TRUE(model.ok());
    const auto& ops = model->plan().ops;
    EXPECT_EQ(ops.front().weight == ops.back().weight, tied);
  }
}

TEST_F(ModelLoad, APairOfEachHeadHasAFrequency) {
  const auto model = load({});
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->plan().rope_frequencies.size(), 16u);
  EXPECT_EQ(model->plan().rope_frequencies.front(), 1.0);
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

TEST_F(ModelLoad, NothingStaysMappedOfWhatTheBackendHasItsOwnCopyOf) {
  for (const HeadMode head : {HeadMode::kCertified, HeadMode::kExact}) {
    const auto model = load({.hidden = 512, .ffn = 1536, .vocab = 512},
                            {.verify = false, .head = head});  // the proof would release it, too
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    for (const format::Tensor& tensor : model->file().tensors()) {
      const bool copied = format::is_ternary(tensor.type) ||
                          (tensor.name == "token_embd.weight" && head == HeadMode::kCertified);
      EXPECT_TRUE(!copied || test::resident_bytes(tensor.data) == 0) << tensor.name;
    }
  }
}

TEST_F(ModelLoad, AHeadIsReleasedWhereItHasACopy) {
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
      model->release_head();
      EXPECT_EQ(resident(tied ? embedding : output), !certified);
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

// The small model with one tensor of floats in place of that name, or beside all others.
class ForeignTensor : public ModelLoad {
 protected:
  Error refusal_with(const std::string& name, std::size_t width) {
    auto file = format::GgufFile::open(test::write_tiny_model(directory_.path(), {}));
    if (!file) return file.error();
    format::GgufWriter writer;
    copy_keys(*file, writer);
    for (const auto& tensor : file->tensors()) {
      if (tensor.name == name) continue;
      writer.add_tensor(tensor.name, tensor.type,
                        {tensor.shape.begin(), tensor.shape.begin() + tensor.rank}, tensor.data);
    }
    const std::vector<float> values(width, 2.0f);
    writer.add_tensor(name, format::TensorType::kF32, {width}, std::as_bytes(std::span(values)));
    if (auto written = writer.write(directory_ / "foreign.gguf"); !written) return written.error();
    auto foreign = format::GgufFile::open(directory_ / "foreign.gguf");
    if (!foreign) return foreign.error();
    const auto model = Model::load(std::move(*foreign), backend_);
    return model.ok() ? Error{ErrorCode::kUsage, "the model was accepted", "test"} : model.error();
  }

 private:
  static void copy_keys(const format::GgufFile& file, format::GgufWriter& writer) {
    for (const auto key : file.keys()) {
      const auto& value = *file.find(key);
      if (const auto* text = std::get_if<std::string_view>(&value)) {
        writer.set(std::string(key), std::string(*text));
      } else if (const auto* number = std::get_if<std::uint64_t>(&value)) {
        writer.set(std::string(key), static_cast<std::uint32_t>(*number));
      } else if (const auto* real = std::get_if<double>(&value)) {
        writer.set(std::string(key), static_cast<float>(*real));
      }
    }
  }
};

TEST_F(ForeignTensor, SecondScaleIsAmbiguous) {
  const Error error = refusal_with("blk.0.attn_q.scale", 1);
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.to_string(), HasSubstr("blk.0.attn_q.scale"));
}

TEST_F(ForeignTensor, WrongColumns) {
  const Error error = refusal_with("blk.1.ffn_norm.weight", 64);
  EXPECT_EQ(error.code, ErrorCode::kMalformed);
  EXPECT_THAT(error.to_string(), HasSubstr("foreign.gguf: blk.1.ffn_norm.weight: expected shape "
                                           "[128, 1], found [64, 1]"));
}

TEST_F(ModelLoad, MemoryIsRefusedBeforeItIsTaken) {
  const Error error = refusal({}, {.available_memory = 1000});
  EXPECT_EQ(error.code, ErrorCode::kOutOfMemory);
  EXPECT_THAT(error.to_string(), HasSubstr("weights of"));
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

class CopylessBackend final : public backend::CpuBackend {
 public:
  using CpuBackend::CpuBackend;
  std::uint64_t head_copy_bytes(const format::Tensor&) const override { return 0; }
};

TEST_F(ModelLoad, ACopyThatTheBackendCannotMakeIsLeftOutOrRefused) {
  CopylessBackend backend(kernels::scalar_table(), 1);
  const auto automatic = load({}, backend);
  ASSERT_TRUE(automatic.ok()) << automatic.error().to_string();
  EXPECT_FALSE(automatic->head().certified);
  EXPECT_TRUE(automatic->head().no_copy_for.empty());
  const auto certified = load({}, backend, {.head = HeadMode::kCertified});
  ASSERT_FALSE(certified.ok());
  EXPECT_EQ(certified.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(certified.error().to_string(), HasSubstr("tiny.gguf: token_embd.weight"));
}

class VectorlessBackend final : public backend::CpuBackend {
 public:
  using CpuBackend::CpuBackend;
  Result<backend::WeightId> load_vector(const format::Tensor& tensor) override {
    return Error{ErrorCode::kUnsupported, "no vectors here", tensor.name};
  }
};

TEST_F(ModelLoad, AWeightThatTheBackendRefusesIsNamedWithItsFile) {
  VectorlessBackend backend(kernels::scalar_table(), 1);
  const auto model = load({}, backend);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(model.error().to_string(), HasSubstr("tiny.gguf: blk.0.attn_norm.weight"));
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
