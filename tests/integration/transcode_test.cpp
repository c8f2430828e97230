// The embedded model through every type of ternary matrices: one certificate for all ordered pairs,
// and the committed logits.
#include "convert/transcode.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/sha256.h"
#include "engine/sequence.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_parser.h"
#include "format/gguf/gguf_writer.h"
#include "format/ternary_matrix.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "support/temporary_directory.h"
#include "text/tokenizer.h"

namespace tern::convert {
namespace {

using enum format::TensorType;
namespace fs = std::filesystem;

constexpr format::TensorType kTypes[] = {kI2_S, kTL1, kTL2, kTQ1_0, kTQ2_0, kIQ1_BN, kIQ2_BN};
const fs::path kModel = TERN_SOURCE_DIR "/models/tern-tales.gguf";

// Test code: a failure is a thrown exception, which fails the test with its message.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

std::vector<char> bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Of the prompt of EmbeddedModelBits, in tests/conformance/model_test.cpp.
std::string logits_of(const fs::path& path) {
  auto file = must(format::GgufFile::open(path));
  const auto tokenizer = must(text::Tokenizer::from_gguf(file));
  const auto tokens = tokenizer.encode(
      "Once upon a time there was a little mouse, who lived in a house by the sea; and every "
      "morning he went out to look for his breakfast.");
  backend::CpuBackend backend(kernels::scalar_table(), 2);
  const auto model = must(model::Model::load(std::move(file), backend));
  auto sequence = must(engine::Sequence::create(model, {.prefill_chunk = 64}));
  Sha256 hash;
  engine::Sequence::AppendOptions options;
  options.every_logit = [&](std::uint32_t, std::span<const float> row) {
    hash.update(std::as_bytes(row));
  };
  if (auto done = sequence.append(tokens, options); !done) {
    throw std::runtime_error(done.error().to_string());
  }
  return hash.finish();
}

std::string committed_logits() {
  std::ifstream file(TERN_SOURCE_DIR "/tests/conformance/logits.sha256");
  std::string name;
  std::string hash;
  while (file >> name >> hash) {
    if (name == "tern-tales") return hash;
  }
  return "";
}

class Transcoded : public ::testing::Test {
 protected:
  // Each type in a folder of its own: tilings of tl1 and tl2 differ.
  fs::path to(format::TensorType type, const fs::path& source, const std::string& name) {
    const fs::path folder = directory_.path() / std::string(format::name(type));
    fs::create_directories(folder);
    report_ =
        must(transcode({.source = source, .output = folder / name, .ternary = type, .threads = 2}));
    return folder / name;
  }

  test::TemporaryDirectory directory_;
  TranscodeReport report_;
};

TEST_F(Transcoded, HasTheCommittedLogitsInEveryType) {
  const std::string expected = committed_logits();
  for (const auto type : kTypes) {
    SCOPED_TRACE(format::name(type));
    EXPECT_EQ(logits_of(to(type, kModel, "model.gguf")), expected);
    EXPECT_EQ(report_.matrices, 42u);
    const bool f16 = type == kTQ1_0 || type == kTQ2_0 || type == kIQ1_BN;
    EXPECT_EQ(report_.scales_beside, f16 ? 42u : 0u);
  }
}

TEST_F(Transcoded, EveryOrderedPairHasOneCertificateAndOneFile) {
  std::map<format::TensorType, fs::path> direct;
  for (const auto type : kTypes) direct[type] = to(type, kModel, "direct.gguf");
  const std::string certificate = report_.certificate;
  EXPECT_EQ(certificate.size(), 64u);
  for (const auto from : kTypes) {
    for (const auto type : kTypes) {
      SCOPED_TRACE(std::string(format::name(from)) + " to " + std::string(format::name(type)));
      const fs::path path = to(type, direct[from], "from.gguf");
      EXPECT_EQ(report_.certificate, certificate);
      EXPECT_EQ(bytes_of(path), bytes_of(direct[type]));
    }
  }
}

// The linears of a file as floats.
fs::path write_masters(const fs::path& path, float more) {
  const auto file = must(format::GgufFile::open(kModel));
  format::GgufWriter writer(static_cast<std::uint32_t>(file.alignment()));
  const bool told = file.alignment() != format::kGgufDefaultAlignment;  // by the writer
  for (std::size_t i = 0; i < file.keys().size(); ++i) {
    if (file.keys()[i] != "general.alignment" || !told) writer.copy(file.entries()[i]);
  }
  std::vector<std::vector<float>> kept;
  kept.reserve(file.tensors().size());
  for (const format::Tensor& tensor : file.tensors()) {
    std::vector<std::uint64_t> shape(tensor.shape.begin(), tensor.shape.begin() + tensor.rank);
    if (tensor.type != kI2_S) {
      writer.add_tensor(tensor.name, tensor.type, shape, tensor.data);
      continue;
    }
    const auto matrix = must(format::TernaryMatrix::bind(tensor));
    std::vector<std::int8_t> trits(tensor.elements());
    matrix.decode_rows(0, matrix.rows(), trits.data());
    auto& values = kept.emplace_back(trits.begin(), trits.end());
    for (float& value : values) value *= matrix.scale();
    values.back() += more;
    writer.add_tensor(tensor.name, kF32, shape, std::as_bytes(std::span(values)));
  }
  if (auto written = writer.write(path); !written) {
    throw std::runtime_error(written.error().to_string());
  }
  return path;
}

TEST_F(Transcoded, FloatsThatAreTernaryAreASourceToo) {
  to(kI2_S, kModel, "direct.gguf");
  const std::string certificate = report_.certificate;
  const fs::path path = to(kI2_S, write_masters(directory_ / "masters.gguf", 0.0f), "back.gguf");
  EXPECT_EQ(report_.certificate, certificate);
  EXPECT_EQ(bytes_of(path), bytes_of(directory_ / "i2_s" / "direct.gguf"));
  const auto refused = transcode({.source = write_masters(directory_ / "others.gguf", 0.01f),
                                  .output = directory_ / "x.gguf",
                                  .ternary = kI2_S});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(refused.error().message.find("the matrix is not ternary"), std::string::npos);
  EXPECT_FALSE(fs::exists(directory_ / "x.gguf"));
}

}  // namespace
}  // namespace tern::convert
