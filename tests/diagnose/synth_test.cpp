// Synthetic models: the same bytes for the same seed, and models that load, prove themselves and
// compute.
#include "diagnose/synth/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "arch/footprint.h"
#include "backend/cpu/cpu_backend.h"
#include "core/machine.h"
#include "core/sha256.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "support/temporary_directory.h"

namespace tern::diagnose {
namespace {

using format::TensorType;
using ::testing::HasSubstr;

constexpr SynthShape kSmall{"small", "bitnet-b1.58", 2, 256, 512, 4, 2, 700, 64, 1e4, false};

class Synth : public ::testing::Test {
 protected:
  std::string write(const SynthOptions& options) {
    const auto written = write_synth_model(path_, options);
    if (!written) throw std::runtime_error(written.error().to_string());
    return content();
  }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static std::string hash(const std::string& bytes) {
    Sha256 hash;
    hash.update(std::as_bytes(std::span(bytes)));
    return hash.finish();
  }

  // All logits of a few tokens of the model at path_, which loads with its self-proof.
  std::vector<float> logits() {
    auto file = format::GgufFile::open(path_);
    if (!file) throw std::runtime_error(file.error().to_string());
    const auto model = model::Model::load(std::move(*file), backend_, {});
    if (!model) throw std::runtime_error(model.error().to_string());
    EXPECT_TRUE(model->proof().proved);
    auto sequence = engine::Sequence::create(*model, {});
    if (!sequence) throw std::runtime_error(sequence.error().to_string());
    std::vector<float> all;
    engine::Sequence::AppendOptions append;
    append.every_logit = [&](std::uint32_t, std::span<const float> row) {
      all.insert(all.end(), row.begin(), row.end());
    };
    const std::vector<std::int32_t> tokens{1, 699, 33, 256, 444, 33, 33, 7};
    const auto appended = sequence->append(tokens, append);
    if (!appended) throw std::runtime_error(appended.error().to_string());
    EXPECT_EQ(all.size(), tokens.size() * model->config().vocab);
    return all;
  }

  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "model.gguf";
  backend::CpuBackend backend_{kernels::scalar_table(), 2};
};

TEST_F(Synth, TheSameSeedGivesTheseBytes) {
  const SynthOptions options{.shape = kSmall, .seed = 7};
  const std::string first = write(options);
  EXPECT_EQ(hash(first), "574ec95171149094875539704797f09a5f5bac9bb7f7ab4a6873c633a1499899");
  EXPECT_EQ(write(options), first);
  SynthOptions other = options;
  other.seed = 8;
  EXPECT_NE(write(other), first);
  other.seed = options.seed + (std::uint64_t{1} << 32);  // all bits of a seed count
  EXPECT_NE(write(other), first);
}

TEST_F(Synth, ReturnsAndReportsTheBytesOfTheWeights) {
  SynthOptions options{.shape = kSmall};
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    EXPECT_GE(done, last);
    last = done;
    total = all;
  };
  const auto written = write_synth_model(path_, options);
  ASSERT_TRUE(written.ok()) << written.error().to_string();
  EXPECT_EQ(last, total);
  EXPECT_EQ(*written, total);
  const auto file = format::GgufFile::open(path_);
  ASSERT_TRUE(file.ok());
  std::uint64_t bytes = 0;
  for (const auto& tensor : file->tensors()) bytes += tensor.data.size();
  EXPECT_EQ(bytes, total);
}

TEST_F(Synth, NoTwoTensorsAreAlike) {
  write({.shape = kSmall});
  const auto file = format::GgufFile::open(path_);
  ASSERT_TRUE(file.ok());
  const auto tensors = file->tensors();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const std::size_t shared = std::min(tensors[i].data.size(), tensors[j].data.size());
      EXPECT_FALSE(std::ranges::equal(tensors[i].data.first(shared), tensors[j].data.first(shared)))
          << tensors[i].name << " and " << tensors[j].name;
    }
  }
}

TEST_F(Synth, DeepModelsComputeNumbersOfModerateSize) {
  for (const char* architecture : {"bitnet-b1.58", "bitnet"}) {
    SynthOptions options{.shape = kSmall, .layers = 80};
    options.shape.architecture = architecture;
    write(options);
    double squares = 0;
    const auto all = logits();
    for (const float logit : all) squares += static_cast<double>(logit) * logit;
    const double size = std::sqrt(squares / static_cast<double>(all.size()));
    EXPECT_GT(size, 0.05) << architecture;
    EXPECT_LT(size, 5.0) << architecture;
  }
}

TEST_F(Synth, HeadsOfF16AndQ8AreTheSameMatrix) {
  write({.shape = kSmall, .head = TensorType::kF16});
  const auto f16 = logits();
  write({.shape = kSmall, .head = TensorType::kQ8_0});
  EXPECT_EQ(logits(), f16);
  write({.shape = kSmall, .head = TensorType::kQ6_K});
  const auto q6_k = logits();
  EXPECT_NE(q6_k, f16);
  // Six of eight bits are left: a rounding error of a hundredth of the range or so.
  double error = 0, size = 0;
  for (std::size_t i = 0; i < f16.size(); ++i) {
    error += std::pow(q6_k[i] - f16[i], 2);
    size += std::pow(f16[i], 2);
  }
  EXPECT_LT(std::sqrt(error / size), 0.1);
}

TEST_F(Synth, EveryTernaryTypeHoldsTheSameWeights) {
  write({.shape = kSmall});
  const auto expected = logits();
  for (const TensorType type : {TensorType::kTQ1_0, TensorType::kTQ2_0}) {
    write({.shape = kSmall, .ternary = type});
    EXPECT_EQ(logits(), expected) << name(type);
  }
}

TEST_F(Synth, NeedsLittleMemory) {
  SynthShape wide{"wide", "bitnet-b1.58", 1, 4096, 14336, 32, 8, 16384, 64, 1e4, true};
  const std::uint64_t before = peak_resident_bytes();
  const auto written = write_synth_model(path_, {.shape = wide});
  ASSERT_TRUE(written.ok()) << written.error().to_string();
  EXPECT_GT(*written, 180u << 20);
  EXPECT_LT(peak_resident_bytes() - before, 40u << 20);
}

TEST_F(Synth, RefusesATypeThatTheRowsDoNotFit) {
  SynthOptions options{.shape = *find_synth_shape("3b"), .head = TensorType::kQ6_K};
  const auto written = write_synth_model(path_, options);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, ErrorCode::kUsage);
  EXPECT_EQ(written.error().to_string(),
            "shape 3b: rows of q6_k are a multiple of 256 values, and this shape has rows of 3200; "
            "choose another type");
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(Synth, RefusesTernaryTypesThatTheRowsDoNotFit) {
  SynthShape narrow = *find_synth_shape("3b");
  for (const std::uint32_t hidden : {3200u, 3072u}) {  // 8640 of the FFN is no multiple either
    narrow.hidden = hidden;
    const auto written = write_synth_model(path_, {.shape = narrow, .ternary = TensorType::kTQ1_0});
    ASSERT_FALSE(written.ok());
    EXPECT_THAT(
        written.error().to_string(),
        HasSubstr("rows of tq1_0 are a multiple of 256 values, and this shape has rows of " +
                  std::to_string(hidden == 3200 ? 3200 : 8640)));
  }
}

TEST_F(Synth, AnInterruptedFileIsNotThere) {
  const std::string before = write({.shape = kSmall});
  std::stop_source stop;
  SynthOptions options{.shape = kSmall, .seed = 1};
  options.stop = stop.get_token();
  int calls = 0;
  options.progress = [&](std::uint64_t, std::uint64_t) {
    if (++calls == 5) stop.request_stop();
  };
  const auto written = write_synth_model(path_, options);
  ASSERT_FALSE(written.ok());
  EXPECT_THAT(written.error().message, HasSubstr("interrupted"));
  EXPECT_EQ(calls, 5);
  EXPECT_EQ(content(), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(Synth, AFolderThatDoesNotExistIsNamed) {
  const auto written = write_synth_model(directory_ / "absent/model.gguf", {.shape = kSmall});
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code, ErrorCode::kIo);
  EXPECT_THAT(written.error().to_string(), HasSubstr("absent/model.gguf"));
}

// The arithmetic of the published models, and of those that the table invents.
TEST(SynthShapes, HaveTheSizesOfTheirModels) {
  const std::pair<const char*, std::uint64_t> sizes[] = {
      {"2b4t", 2084044800}, {"large", 679477248}, {"3b", 3221504000},
      {"8b", 6979321856},   {"70b", 68451041280}, {"100b", 98985574400},
  };
  EXPECT_EQ(synth_shapes().size(), std::size(sizes));
  for (const auto& [name, weights] : sizes) {
    const SynthShape* shape = find_synth_shape(name);
    ASSERT_NE(shape, nullptr) << name;
    EXPECT_EQ(arch::ternary_macs_per_token(synth_config(*shape, shape->layers)), weights) << name;
    EXPECT_EQ(shape->hidden % shape->heads, 0u) << name;
  }
  EXPECT_EQ(find_synth_shape("7b"), nullptr);
}

}  // namespace
}  // namespace tern::diagnose
