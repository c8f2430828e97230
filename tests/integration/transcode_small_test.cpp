// Small models through transcode(), each with one change: what is kept, what is refused, and the
// certificate beside another way to compute it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <stdexcept>
#include <thread>

#include "convert/certificate.h"
#include "convert/transcode.h"
#include "core/sha256.h"
#include "format/gguf/gguf_file.h"
#include "format/gguf/gguf_writer.h"
#include "format/ternary_matrix.h"
#include "integration/contradictions.h"
#include "support/temporary_directory.h"

namespace tern::convert {
namespace {

using enum format::TensorType;
using test::ModelParts;
using test::TensorPart;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kUp = "blk.0.ffn_up.weight";  // 256 x 128
constexpr const char* kEmbedding = "token_embd.weight";
constexpr const char* kFileType = "general.file_type";
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

std::vector<std::int8_t> random_trits(std::size_t count) {
  std::mt19937 random(static_cast<std::uint32_t>(count));
  std::vector<std::int8_t> trits(count);
  for (auto& trit : trits) trit = static_cast<std::int8_t>(static_cast<int>(random() % 3) - 1);
  return trits;
}

// The matrix in i2_s, or as floats.
void set_trits(TensorPart& part, std::uint64_t columns, std::uint64_t rows,
               format::TensorType type = kI2_S) {
  constexpr float kScale = 0.05f;
  const auto trits = random_trits(columns * rows);
  part.type = type;
  part.shape = {columns, rows};
  part.bytes.clear();
  if (type == kI2_S) {
    format::encode_trits(type, trits.data(), trits.size(), kScale, part.bytes);
    format::end_trits(type, kScale, part.bytes);
    return;
  }
  std::vector<float> values(trits.begin(), trits.end());
  for (float& value : values) value *= kScale;
  const auto bytes = std::as_bytes(std::span(values));
  part.bytes.assign(bytes.begin(), bytes.end());
}

void set_floats(TensorPart& part, float first, float others) {
  std::vector<float> values(part.shape[0] * part.shape[1], others);
  values[0] = first;
  const auto bytes = std::as_bytes(std::span(values));
  part.type = kF32;
  part.bytes.assign(bytes.begin(), bytes.end());
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SmallTranscode : public ::testing::Test {
 protected:
  Result<TranscodeReport> run() {
    format::GgufWriter writer(alignment_);
    for (const auto& [key, value] : parts_.keys) writer.set(key, value);
    for (const TensorPart& tensor : parts_.tensors) {
      writer.add_tensor(tensor.name, tensor.type, tensor.shape,
                        std::span<const std::byte>(tensor.bytes));
    }
    if (auto written = writer.write(source_); !written) {
      throw std::runtime_error(written.error().to_string());
    }
    return transcode(options_);
  }
  format::GgufFile output() const { return must(format::GgufFile::open(output_)); }
  std::vector<std::byte> bytes_of(const char* name) const {
    const auto file = output();
    const auto data = file.tensor(name)->data;
    return {data.begin(), data.end()};
  }
  void expect_refused(ErrorCode code, const std::string& words) {
    const auto outcome = run();
    ASSERT_FALSE(outcome.ok()) << words;
    EXPECT_EQ(name(outcome.error().code), name(code)) << outcome.error().to_string();
    EXPECT_THAT(outcome.error().to_string(), HasSubstr(words));
    EXPECT_FALSE(fs::exists(output_));
  }

  test::TemporaryDirectory directory_;
  fs::path source_ = directory_ / "source.gguf";
  fs::path output_ = directory_ / "output.gguf";
  fs::path tilings_ = directory_ / "kernel_config.ini";
  ModelParts parts_ = test::good_model("bitnet-b1.58");
  std::uint32_t alignment_ = 32;
  TranscodeOptions options_{.source = source_, .output = output_};
};

// Rows in any order, of whole bytes of codes and of parts of one.
TEST(MatrixCertificate, IsTheHashThatItsHeaderSays) {
  for (const std::size_t columns : {7u, 8u, 11u}) {
    const auto trits = random_trits(3 * columns);
    MatrixCertificate matrix("blk.9", 3, columns);
    matrix.add_rows(2, 1, trits.data() + 2 * columns);
    matrix.add_rows(0, 2, trits.data());
    const float scale = 0.75f;
    std::string text = "tern-trits-1\nblk.9\n3 " + std::to_string(columns) + "\nmultiply\n";
    text.append(reinterpret_cast<const char*>(&scale), sizeof scale);
    for (std::size_t row = 0; row < 3; ++row) {
      std::string codes((columns + 3) / 4, '\0');
      for (std::size_t c = columns; c-- > 0;) {  // the last one is the highest digit
        const int code = trits[row * columns + c] + 1;
        codes[c / 4] = static_cast<char>(codes[c / 4] * 4 + code);
      }
      text += sha256_of(codes);
    }
    EXPECT_EQ(matrix.finish(scale), sha256_of(text)) << columns;
    Certificate certificate;
    certificate.add(matrix, scale);
    EXPECT_EQ(certificate.finish(), sha256_of("blk.9 " + sha256_of(text) + "\n"));
  }
}

// The bytes that are read again count as those that are written.
TEST_F(SmallTranscode, ProgressIsToldOfBothHalves) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> told;
  options_.progress = [&](std::uint64_t done, std::uint64_t total) {
    told.emplace_back(done, total);
  };
  must(run());
  ASSERT_EQ(told.size(), parts_.tensors.size() + 7);  // of a block's linears
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back().first, told.back().second);
  EXPECT_EQ(told[parts_.tensors.size() - 1].first, told.back().second / 2);
}

// A matrix of more than one tile, whole tiles and others, as trits and as floats.
TEST_F(SmallTranscode, WideMatricesGoTileByTile) {
  for (const std::uint64_t width : {8192u, 8320u, 16384u}) {
    parts_.set(".feed_forward_length", static_cast<std::uint32_t>(width));
    set_trits(parts_.tensor("blk.0.ffn_gate.weight"), 128, width);
    set_trits(parts_.tensor("blk.0.ffn_down.weight"), width, 128);
    parts_.drop("blk.0.ffn_sub_norm.weight");
    parts_.add("blk.0.ffn_sub_norm.weight", {width});
    set_trits(parts_.tensor(kUp), 128, width);
    const auto expected = parts_.tensor(kUp).bytes;
    for (const auto type : {kI2_S, kF32}) {
      set_trits(parts_.tensor(kUp), 128, width, type);
      must(run());
      EXPECT_EQ(bytes_of(kUp), expected) << width;
    }
  }
}

TEST_F(SmallTranscode, KeysAreKeptInTheirOrderButForTheTypeOfTheFile) {
  options_.ternary = kIQ2_BN;
  for (const std::uint32_t alignment : {32u, 64u}) {
    for (const bool typed : {true, false}) {
      alignment_ = alignment;
      parts_.keys.erase(kFileType);
      if (typed) parts_.set(kFileType, std::uint32_t{0});
      must(run());
      const auto before = must(format::GgufFile::open(source_));
      const auto after = output();
      std::vector<std::string_view> keys(before.keys().begin(), before.keys().end());
      if (!typed) keys.emplace_back(kFileType);
      EXPECT_EQ(std::vector<std::string_view>(after.keys().begin(), after.keys().end()), keys);
      EXPECT_EQ(must(after.get_uint(kFileType)), 137u);
      EXPECT_EQ(after.alignment(), alignment);
    }
  }
  alignment_ = 32;
  parts_.set("general.alignment", std::uint32_t{32});  // told though it need not be
  must(run());
  EXPECT_EQ(must(output().get_uint("general.alignment")), 32u);
}

TEST_F(SmallTranscode, AnotherHeadIsThatOfTheEmbeddingAlone) {
  options_.head = kQ6_K;
  expect_refused(ErrorCode::kUnsupported,
                 "tensor 'token_embd.weight': cannot become q6_k, which holds multiples of 256 "
                 "numbers: found rows of 128 of f16");
  const TensorPart floats = parts_.tensor(kEmbedding);
  set_trits(parts_.tensor(kEmbedding), 128, 260);
  options_.head = kF16;
  expect_refused(ErrorCode::kUnsupported, "found rows of 128 of i2_s");
  parts_.tensor(kEmbedding) = floats;
  options_.head = kQ8_0;
  must(run());
  EXPECT_EQ(output().tensor(kEmbedding)->type, kQ8_0);
  EXPECT_EQ(output().tensor("output_norm.weight")->type, kF32);
}

// Quantised again, these codes would be others: none of a block is 127.
TEST_F(SmallTranscode, AHeadOfTheTypeThatIsWantedIsCopied) {
  TensorPart& embedding = parts_.tensor(kEmbedding);
  embedding.type = kQ8_0;
  embedding.bytes.assign(embedding.shape[1] * 4 * 34, std::byte{3});  // the factor, too
  options_.head = kQ8_0;
  must(run());
  EXPECT_EQ(bytes_of(kEmbedding), embedding.bytes);
}

TEST_F(SmallTranscode, TilingsStandInTheFileAndBesideIt) {
  must(run());
  EXPECT_FALSE(fs::exists(tilings_));
  EXPECT_EQ(output().find("tern.kernel_config"), nullptr);
  options_.ternary = kTL1;
  must(run());
  const std::string canonical = text_of(tilings_);
  EXPECT_THAT(canonical, HasSubstr("m = 256\nk = 128\n"));
  EXPECT_EQ(must(output().get_string("tern.kernel_config")), canonical);
  const auto before = bytes_of(kUp);
  // Those beside the output are taken as they are, and not written again.
  std::string other = "# ours\n";
  for (const auto& [m, k] : {std::pair{128, 128}, {64, 128}, {256, 128}, {128, 256}}) {
    other += "[s" + std::to_string(m) + "x" + std::to_string(k) + "]\nm = " + std::to_string(m) +
             "\nk = " + std::to_string(k) + "\nbm = 64\nbk = 64\nbmm = 64\n";
  }
  std::ofstream(tilings_) << other;
  must(run());
  EXPECT_EQ(text_of(tilings_), other);
  EXPECT_NE(bytes_of(kUp), before);
  EXPECT_THAT(std::string(must(output().get_string("tern.kernel_config"))),
              HasSubstr("bmm = 64\n"));
}

// What one type holds beside its matrices, or under a key, another holds in them, or not at all.
TEST_F(SmallTranscode, AndBackAgainIsTheSame) {
  const auto keep = [&](const char* name) {
    fs::rename(output_, directory_ / name);
    return must(format::GgufFile::open(directory_ / name));
  };
  must(run());
  const auto direct = keep("direct.gguf");
  for (const auto type : {kIQ1_BN, kTL1}) {
    options_.ternary = type;
    options_.source = source_;
    EXPECT_EQ(must(run()).scales_beside, type == kIQ1_BN ? 7u : 0u);
    EXPECT_EQ(keep("other.gguf").tensor("blk.0.ffn_up.scale") != nullptr, type == kIQ1_BN);
    options_.source = directory_ / "other.gguf";
    options_.ternary = kI2_S;
    must(transcode(options_));
    const auto back = output();
    EXPECT_TRUE(std::ranges::equal(back.bytes(), direct.bytes()));
  }
}

TEST_F(SmallTranscode, TilingsThatDoNotFitAreRefused) {
  options_.ternary = kTL1;
  const auto with = [&](const char* text, ErrorCode code, const std::string& words) {
    std::ofstream(tilings_) << text;
    expect_refused(code, words);
  };
  with("[a]\nm = 1\n", ErrorCode::kMalformed, tilings_.string() + ": line 1");
  with("[a]\nm = 32\nk = 32\nbm = 32\nbk = 32\nbmm = 32\n", ErrorCode::kUnsupported,
       tilings_.string() + ": no section has m = 128 and k = 128");
  with("[a]\nm = 128\nk = 128\nbm = 32\nbk = 7\nbmm = 32\n", ErrorCode::kUnsupported,
       tilings_.string() + ": tl1: expected tiles (bk)");
}

TEST_F(SmallTranscode, WhatATypeCannotHoldIsRefused) {
  options_.ternary = kTQ1_0;
  expect_refused(ErrorCode::kUnsupported, "tensor 'blk.0.attn_q.weight': tq1_0");
  options_.ternary = kTL2;
  expect_refused(ErrorCode::kUnsupported, "tensor 'blk.0.attn_q.weight': tl2");
}

TEST_F(SmallTranscode, LinearsThatAreNotTernaryAreRefused) {
  const auto refuse = [&](const std::function<void(TensorPart&)>& change, ErrorCode code,
                          const std::string& words) {
    parts_ = test::good_model("bitnet-b1.58");
    change(parts_.tensor(kUp));
    expect_refused(code, words);
  };
  const std::string here = source_.string() + ": tensor 'blk.0.ffn_up.weight': ";
  const std::string others = here + "expected a ternary matrix, or one of f32, f16 or bf16 ";
  const auto q8 = [](TensorPart& part) {
    part.type = kQ8_0;
    part.bytes.resize(256 * 4 * 34);
  };
  refuse(q8, ErrorCode::kUnsupported, others + "that is ternary, found rank 2 of type q8_0");
  const auto cube = [](TensorPart& part) {
    set_floats(part, 1.0f, 1.0f);
    part.shape = {128, 128, 2};
  };
  refuse(cube, ErrorCode::kUnsupported, others + "that is ternary, found rank 3 of type f32");
  refuse([](TensorPart& part) { set_floats(part, 0.0f, 0.0f); }, ErrorCode::kMalformed,
         here + "all weights are zero");
  refuse([](TensorPart& part) { set_floats(part, kInfinity, 1.0f); }, ErrorCode::kMalformed,
         here + "a weight is NaN or infinite");
  refuse([](TensorPart& part) { set_floats(part, 1.0f, 0.5f); }, ErrorCode::kUnsupported,
         here + "expected the weights 0 and +-1.000000 alone");
  const auto no_scale = [](TensorPart& part) {
    std::fill(part.bytes.end() - 32, part.bytes.end(), std::byte{0xff});
  };
  refuse(no_scale, ErrorCode::kMalformed, source_.string() + ": blk.0.ffn_up.weight");
  parts_ = test::good_model("bitnet-b1.58");
  set_floats(parts_.tensor(kUp), 1.0f, 1.0f);
  parts_.add("blk.0.ffn_up.scale", {1});
  expect_refused(ErrorCode::kUnsupported,
                 here + "the weights are floats, and 'blk.0.ffn_up.scale' beside them");
  parts_.drop(kUp);
  expect_refused(ErrorCode::kMalformed, source_.string() + ": blk.0.ffn_up.weight: the tensor is");
}

TEST_F(SmallTranscode, TheInputIsNotWrittenOver) {
  const std::string words = "input and output are the same file";
  for (const char* written : {"output.gguf.part", "output.gguf.journal"}) {
    options_.output = directory_ / "makes the source.gguf";
    must(run());
    fs::create_hard_link(source_, directory_ / written);
    const auto outcome = transcode({.source = source_, .output = output_});
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().to_string(),
              (directory_ / written).string() + ": " + words + "; write to another and rename it");
    fs::remove(directory_ / written);
  }
  options_.output = source_;
  expect_refused(ErrorCode::kUsage, words);
}

TEST_F(SmallTranscode, FromAFolderToAFolderIsRefused) {
  options_.source = directory_.path();
  options_.ternary = std::nullopt;
  expect_refused(ErrorCode::kUnsupported, "from a folder to a folder is not supported");
}

// The same bytes with the time at which they were written: the system knows of it all the same.
TEST_F(SmallTranscode, AFileThatIsWrittenMeanwhileIsRefused) {
  bool touched = false;
  options_.progress = [&](std::uint64_t, std::uint64_t) {
    if (std::exchange(touched, true)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(30));  // several ticks of the clock
    fs::last_write_time(source_, fs::last_write_time(source_));
  };
  expect_refused(ErrorCode::kIo, "the file changed while it was transcoded");
}

}  // namespace
}  // namespace tern::convert
