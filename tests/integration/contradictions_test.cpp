// Each model that contradicts itself is refused, in words of its own.
#include "integration/contradictions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "backend/cpu/cpu_backend.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_writer.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "support/temporary_directory.h"
#include "text/tokenizer.h"

namespace tern {
namespace {

using test::Contradiction;
using test::ModelParts;
using ::testing::HasSubstr;

std::vector<Contradiction> all_contradictions() {
  auto all = test::configuration_contradictions();
  for (auto& more : test::tensor_contradictions()) all.push_back(std::move(more));
  for (auto& more : test::vocabulary_contradictions()) all.push_back(std::move(more));
  return all;
}

// As `tern run` loads it: first the tokenizer, then the model. No error where it is accepted.
std::optional<Error> refusal(const ModelParts& parts) {
  const test::TemporaryDirectory directory;
  const auto path = directory.path() / "model.gguf";
  format::GgufWriter writer;
  for (const auto& [key, value] : parts.keys) writer.set(key, value);
  for (const test::TensorPart& tensor : parts.tensors) {
    writer.add_tensor(tensor.name, tensor.type, tensor.shape,
                      std::span<const std::byte>(tensor.bytes));
  }
  if (auto written = writer.write(path); !written) return written.error();
  auto file = format::GgufFile::open(path);
  if (!file) return file.error();
  const auto tokenizer = text::Tokenizer::from_gguf(*file);
  if (!tokenizer) return tokenizer.error();
  backend::CpuBackend backend(kernels::scalar_table(), 2);
  const auto model = model::Model::load(std::move(*file), backend);
  if (!model) return model.error();
  return std::nullopt;
}

Error refusal_of(const Contradiction& contradiction) {
  ModelParts parts = test::good_model(contradiction.architecture);
  contradiction.change(parts);
  return refusal(parts).value_or(Error{ErrorCode::kUsage, "accepted", contradiction.name});
}

class ContradictoryModel : public ::testing::TestWithParam<Contradiction> {};

TEST_P(ContradictoryModel, IsRefused) {
  const Error error = refusal_of(GetParam());
  EXPECT_EQ(name(error.code), name(GetParam().code));
  EXPECT_THAT(error.to_string(), HasSubstr(GetParam().fragment));
}

INSTANTIATE_TEST_SUITE_P(Models, ContradictoryModel, ::testing::ValuesIn(all_contradictions()),
                         [](const auto& c) { return c.param.name; });

TEST(ContradictoryModels, AreGoodWithoutTheirChange) {
  for (const char* architecture : {"bitnet-b1.58", "llama", "qwen3", "gemma3"}) {
    const auto error = refusal(test::good_model(architecture));
    EXPECT_FALSE(error.has_value()) << architecture << ": " << error->to_string();
  }
}

// The words that one is known by occur in no other's.
TEST(ContradictoryModels, EachHaveAMessageOfTheirOwn) {
  const auto all = all_contradictions();
  std::vector<std::string> messages;
  for (const Contradiction& c : all) messages.push_back(refusal_of(c).to_string());
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      if (i == j) continue;
      EXPECT_EQ(messages[j].find(all[i].fragment), std::string::npos)
          << all[j].name << " reads like " << all[i].name << ": " << messages[j];
    }
  }
}

}  // namespace
}  // namespace tern
