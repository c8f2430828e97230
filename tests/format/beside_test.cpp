// What a tensor means by something beside it: tilings of tl1 and tl2, and scales.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>

#include "format/gguf/fingerprint.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_writer.h"
#include "format/kernel_config.h"
#include "format/ternary_encoder.h"
#include "format/ternary_matrix.h"
#include "support/temporary_directory.h"

namespace tern::format {
namespace {

constexpr TlTiling kTiling{32, 96, 32};

std::string config_text(std::uint64_t rows = 32) {
  KernelConfig config;
  config.add(rows, 256, kTiling);
  return config.text();
}

// A matrix of tl2, and one of i2_s.
void add_matrices(GgufWriter& writer, const std::vector<std::byte>& tl2,
                  const std::vector<std::byte>& i2_s) {
  writer.add_tensor("t.weight", TensorType::kTL2, {256, 32}, tl2);
  writer.add_tensor("i.weight", TensorType::kI2_S, {128, 1}, i2_s);
}

class Beside : public ::testing::Test {
 protected:
  std::filesystem::path write(GgufWriter& writer) {
    const std::filesystem::path path = directory_ / "m.gguf";
    const auto written = writer.write(path);
    EXPECT_TRUE(written.ok()) << written.error().to_string();
    return path;
  }
  void write_config(const std::string& text) {
    std::ofstream(directory_ / "kernel_config.ini") << text;
  }
  static TlTiling tiling_of(const Result<GgufFile>& file) {
    EXPECT_TRUE(file.ok()) << file.error().to_string();
    EXPECT_FALSE(file->tensor("i.weight")->tiling.known());
    return file->tensor("t.weight")->tiling;
  }

  test::TemporaryDirectory directory_;
  std::vector<std::byte> tl2_ = std::vector<std::byte>(tl_bytes(TlLayout::kTl2, 32, 256));
  std::vector<std::byte> i2_s_ = std::vector<std::byte>(64);
};

TEST_F(Beside, TilingsOfTheFileItself) {
  GgufWriter writer;
  writer.set(std::string(kKernelConfigKey), config_text());
  add_matrices(writer, tl2_, i2_s_);
  const auto path = write(writer);
  write_config("no config at all");
  EXPECT_EQ(tiling_of(GgufFile::open(path)), kTiling);
}

TEST_F(Beside, TilingsOfTheFileBesideIt) {
  GgufWriter writer;
  add_matrices(writer, tl2_, i2_s_);
  const auto path = write(writer);
  EXPECT_FALSE(tiling_of(GgufFile::open(path)).known());
  const auto before = fingerprint(*GgufFile::open(path));
  write_config(config_text());
  EXPECT_EQ(tiling_of(GgufFile::open(path)), kTiling);
  EXPECT_NE(fingerprint(*GgufFile::open(path)), before);  // its bytes mean something else now
  EXPECT_TRUE(TernaryMatrix::bind(*GgufFile::open(path)->tensor("t.weight")).ok());
  write_config(config_text(64));
  EXPECT_FALSE(tiling_of(GgufFile::open(path)).known());
  const auto file = GgufFile::open(path);
  EXPECT_NE(TernaryMatrix::bind(*file->tensor("t.weight")).error().message.find("m = 32, k = 256"),
            std::string::npos);
  write_config("[a]\n");
  const auto refused = GgufFile::open(path);
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().context.find("kernel_config.ini: line 1"), std::string::npos);
  write_config(std::string(kMostKernelConfig + 1, '#'));
  EXPECT_FALSE(GgufFile::open(path).ok());
}

TEST_F(Beside, NoTilingsAreLookedForWhereNoneAreNeeded) {
  GgufWriter writer;
  writer.add_tensor("i.weight", TensorType::kI2_S, {128, 1}, i2_s_);
  const auto path = write(writer);
  write_config("no config at all");
  EXPECT_TRUE(GgufFile::open(path).ok());
}

TEST_F(Beside, AKeyThatIsNoConfig) {
  GgufWriter writer;
  writer.set(std::string(kKernelConfigKey), std::string("m = 1"));
  add_matrices(writer, tl2_, i2_s_);
  const auto file = GgufFile::open(write(writer));
  ASSERT_FALSE(file.ok());
  EXPECT_NE(file.error().to_string().find("key 'tern.kernel_config': line 1: expected a [section]"),
            std::string::npos);
  GgufWriter number;
  number.set(std::string(kKernelConfigKey), std::uint32_t{1});
  add_matrices(number, tl2_, i2_s_);
  EXPECT_FALSE(GgufFile::open(write(number)).ok());
}

TEST_F(Beside, EntriesAreCopiedAsTheyAre) {
  GgufWriter writer(64);
  writer.set("a", std::uint8_t{7});
  writer.set("b", std::vector<std::string>{"x", "yz"});
  writer.set("c", -2.5);
  add_matrices(writer, tl2_, i2_s_);
  const auto file = GgufFile::open(write(writer));
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(file->entries().size(), file->keys().size());
  GgufWriter copy(64);
  for (std::size_t i = 0; i < file->keys().size(); ++i) {
    if (file->keys()[i] != "general.alignment") copy.copy(file->entries()[i]);
  }
  add_matrices(copy, tl2_, i2_s_);
  const auto layout = copy.layout();
  ASSERT_TRUE(layout.ok()) << layout.error().to_string();
  EXPECT_TRUE(std::ranges::equal(layout->head, file->bytes().first(layout->head.size())));
}

class ScaleBeside : public Beside {
 protected:
  Result<GgufFile> with(float own, float beside) {
    std::memcpy(i2_s_.data() + 32, &own, sizeof own);
    GgufWriter writer;
    writer.add_tensor("i.weight", TensorType::kI2_S, {128, 1}, i2_s_);
    writer.add_tensor("i.scale", TensorType::kF32, {1}, std::as_bytes(std::span(&beside, 1)));
    return GgufFile::open(write(writer));
  }
};

TEST_F(ScaleBeside, CountsWhereTheMatrixHasTheScale1) {
  const auto file = with(1.0f, 0.1f);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  const auto matrix = TernaryMatrix::bind(*file->tensor("i.weight"));
  ASSERT_TRUE(matrix.ok());
  EXPECT_EQ(matrix->scale(), 0.1f);
  EXPECT_FALSE(file->tensor("i.scale")->scale_beside.has_value());
}

TEST_F(ScaleBeside, IsAmbiguousElse) {
  const auto file = with(0.5f, 0.1f);
  ASSERT_TRUE(file.ok());
  const auto matrix = TernaryMatrix::bind(*file->tensor("i.weight"));
  ASSERT_FALSE(matrix.ok());
  EXPECT_EQ(matrix.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(
      matrix.error().to_string(),
      "i.weight: the matrix carries the scale 0.500000, and a second one stands beside it, in "
      "i.scale: which of them counts is ambiguous unless its own is 1; convert the model again");
}

TEST_F(ScaleBeside, IsFiniteAndNotNegative) {
  for (const float scale : {-1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    const auto file = with(1.0f, scale);
    ASSERT_FALSE(file.ok());
    EXPECT_EQ(file.error().code, ErrorCode::kMalformed);
    EXPECT_NE(file.error().to_string().find("tensor 'i.scale': expected a finite scale"),
              std::string::npos);
  }
  EXPECT_TRUE(with(1.0f, 0.0f).ok());
}

}  // namespace
}  // namespace tern::format
