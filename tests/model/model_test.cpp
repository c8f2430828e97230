// Loading: what is refused, by which message, and what the self-proof catches.
#include "model/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::model {
namespace {

using test::TinyModel;
using ::testing::HasSubstr;

class ModelLoad : public ::testing::Test {
 protected:
  Result<Model> load(const TinyModel& tiny, const LoadOptions& options = {}) {
    return load(tiny, backend_, options);
  }
  Result<Model> load(const TinyModel& tiny, backend::Backend& backend,
                     const LoadOptions& options = {}) {
    auto file = format::GgufFile::open(test::write_tiny_model(directory_.path(), tiny));
    if (!file) return file.error();
    return Model::load(std::move(*file), backend, options);
  }

  // The error of a load that has to fail.
  Error refusal(const TinyModel& tiny, const LoadOptions& options = {}) {
    auto model = load(tiny, options);
    if (model.ok()) return Error{ErrorCode::kUsage, "the model was accepted", "test"};
    return model.error();
  }

  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 2};
};

// A tamper function that acts on one tensor.
auto on(const std::string& target, std::function<bool(std::vector<std::byte>&)> act) {
  return [=](const std::string& name, std::vector<std::byte>& bytes) {
    return name != target || act(bytes);
  };
}

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
  EXPECT_EQ(proof.rows_compared, 14u * 3u);
  EXPECT_NEAR(proof.scale_mean, 0.05, 1e-6);
  const double trits = static_cast<double>(proof.trits[0] + proof.trits[1] + proof.trits[2]);
  for (const auto count : proof.trits)
    EXPECT_NEAR(static_cast<double>(count) / trits, 1.0 / 3, 0.02);
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, model->weight_bytes());
}

TEST_F(ModelLoad, BytesPerTokenLeaveOutAnUntiedEmbedding) {
  const auto tied = load({});
  const auto untied = load({.tied = false});
  ASSERT_TRUE(tied.ok());
  ASSERT_TRUE(untied.ok());
  EXPECT_EQ(tied->bytes_per_token(), tied->weight_bytes());
  EXPECT_EQ(untied->bytes_per_token(), tied->bytes_per_token());
  EXPECT_GT(untied->weight_bytes(), tied->weight_bytes());
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

// A table that is the scalar one but for the last bit of each product.
void broken_linear(const kernels::TernaryRows& w, std::size_t rows, const kernels::QuantizedRows& x,
                   std::size_t tokens, float* y, std::size_t y_stride) {
  kernels::scalar_table().ternary_linear(w, rows, x, tokens, y, y_stride);
  for (std::size_t r = 0; r < rows; ++r) y[r] *= 1.0f + 0x1p-22f;
}

TEST_F(ModelLoad, ATierThatContradictsTheDefinitionIsRefused) {
  kernels::KernelTable broken = kernels::scalar_table();
  broken.name = "broken";
  broken.ternary_linear = broken_linear;
  backend::CpuBackend backend(broken, 1);
  const auto model = load({}, backend);
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.error().code, ErrorCode::kProofFailed);
  EXPECT_THAT(model.error().to_string(), HasSubstr("on tier broken"));
}

TEST_F(ModelLoad, TheFileStaysMappedWhileTheModelMoves) {
  auto model = load({});
  ASSERT_TRUE(model.ok());
  const Model moved = std::move(*model);
  float y = 0.0f;
  const std::vector<float> x(128, 1.0f);
  EXPECT_TRUE(moved.backend().ternary_rows(moved.plan().ops[3].weight, 0, x, {&y, 1}).ok());
}

}  // namespace
}  // namespace tern::model
