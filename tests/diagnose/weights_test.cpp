// What the ternary matrices of a file hold, and in what two files differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <stdexcept>

#include "diagnose/weights/difference.h"
#include "diagnose/weights/survey.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::diagnose {
namespace {

using format::TensorType;
using test::TinyModel;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

class Weights : public ::testing::Test {
 protected:
  // Files of their own, since a test compares two.
  format::GgufFile write(const TinyModel& model) {
    const auto folder = directory_.path() / std::to_string(files_++);
    std::filesystem::create_directory(folder);
    return must(format::GgufFile::open(write_tiny_model(folder, model)));
  }
  FileDifference compared(const TinyModel& a, const TinyModel& b) {
    files_kept_.push_back(write(a));
    files_kept_.push_back(write(b));
    return compare(files_kept_[files_kept_.size() - 2], files_kept_.back());
  }
  // Changes the bytes of one tensor.
  static auto change(const std::string& target, std::function<void(std::vector<std::byte>&)> act) {
    return [=](const std::string& name, std::vector<std::byte>& bytes) {
      if (name == target) act(bytes);
      return true;
    };
  }
  // The scale of an i2_s matrix, which stands 32 bytes before its end.
  static auto scale(float value) {
    return [=](std::vector<std::byte>& bytes) {
      std::memcpy(bytes.data() + bytes.size() - 32, &value, sizeof(value));
    };
  }

  test::TemporaryDirectory directory_;
  int files_ = 0;
  std::deque<format::GgufFile> files_kept_;
};

TEST_F(Weights, ASurveyCountsEveryTrit) {
  const auto file = write({.tamper = change("blk.1.ffn_up.weight", scale(0.1f))});
  const Survey found = must(survey(file, 3));
  ASSERT_THAT(found.matrices, SizeIs(14));
  std::uint64_t values = 0;
  model::TritCounts sum{};
  for (const MatrixSurvey& matrix : found.matrices) {
    values += matrix.tensor->elements();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += matrix.trits[i];
  }
  EXPECT_EQ(found.trits, sum);
  EXPECT_EQ(sum[0] + sum[1] + sum[2], values);
  EXPECT_EQ(found.least_scale, 0.05f);
  EXPECT_EQ(found.median_scale, 0.05f);
  EXPECT_EQ(found.largest_scale, 0.1f);
  EXPECT_TRUE(found.doubts.empty());
}

TEST_F(Weights, ASurveyDoubtsWhatTheProofRefuses) {
  const auto doubt = [&](const TinyModel& model) {
    const auto file = write(model);
    const Survey found = must(survey(file, 2));
    return found.doubts.size() == 1 ? found.doubts[0].to_string() : "no doubt, or several";
  };
  EXPECT_THAT(doubt({.scale = 20.0f}), HasSubstr("they look like the inverse"));
  EXPECT_THAT(doubt({.tamper = change("blk.0.attn_k.weight", scale(20.0f))}),
              HasSubstr("blk.0.attn_k.weight: the scale is 20"));
  EXPECT_THAT(doubt({.tamper = change("blk.0.attn_q.weight",
                                      [](auto& bytes) { bytes[5] = std::byte{0xff}; })}),
              HasSubstr("blk.0.attn_q.weight: code 3 at element 5"));
  EXPECT_THAT(doubt({.tamper = change("blk.0.attn_q.weight",
                                      [](auto& bytes) {
                                        std::fill(bytes.begin(), bytes.end() - 32, std::byte{0x55});
                                      })}),
              HasSubstr("100% of the trits are zero"));
  EXPECT_THAT(doubt({.tamper = change("blk.0.attn_q.weight", scale(-1.0f))}),
              HasSubstr("blk.0.attn_q.weight"));
}

TEST_F(Weights, TheSameModelDoesNotDiffer) {
  EXPECT_TRUE(compared({}, {}).empty());
  EXPECT_EQ(compared({}, {}).compared, 2 * 11 + 2);
}

// 0.05 is not an f16: the other types round it.
TEST_F(Weights, TypesDoNotMatter) {
  const TinyModel i2_s{.hidden = 256, .ffn = 512, .heads = 8, .kv_heads = 8};
  TinyModel other = i2_s;
  for (const TensorType type : {TensorType::kTQ1_0, TensorType::kTQ2_0}) {
    other.ternary_type = type;
    EXPECT_TRUE(compared(i2_s, other).empty());
    EXPECT_TRUE(compared(other, i2_s).empty());
  }
  other.scale = 0.06f;
  const auto difference = compared(i2_s, other);
  ASSERT_THAT(difference.tensors, SizeIs(14));
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kScale);
}

TEST_F(Weights, TheFirstTritThatDiffersIsNamed) {
  const auto difference =
      compared({}, {.tamper = change("blk.1.attn_v.weight", [](auto& bytes) {
                      // Values 128 * 3 + 2 and the like of row 3: -1, 0, +1 turned into each other.
                      for (const std::size_t at : {96u + 2u, 96u + 40u}) {
                        bytes[at] = static_cast<std::byte>(0b01'01'01'00 ^ 0b00'00'00'01);
                      }
                    })});
  ASSERT_THAT(difference.tensors, SizeIs(1));
  const TensorDifference& found = difference.tensors[0];
  EXPECT_EQ(found.name, "blk.1.attn_v.weight");
  EXPECT_EQ(found.fault, TensorFault::kTrits);
  EXPECT_EQ(found.row, 3u);
  EXPECT_EQ(found.column % 32, 2u);
  EXPECT_NE(found.a, found.b);
  EXPECT_GE(found.count, 2u);
}

TEST_F(Weights, ScalesAndTheirDirectionAreCompared) {
  auto difference = compared({}, {.tamper = change("blk.0.attn_q.weight", scale(0.051f))});
  ASSERT_THAT(difference.tensors, SizeIs(1));
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kScale);
  EXPECT_FLOAT_EQ(static_cast<float>(difference.tensors[0].b), 0.051f);
  difference = compared({}, {.tamper = change("blk.0.attn_q.weight", scale(1.0f / 0.05f))});
  ASSERT_THAT(difference.tensors, SizeIs(1));
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kInverse);
}

TEST_F(Weights, FloatsAndShapesAndMissingTensorsAreCompared) {
  auto difference = compared({}, {.tamper = change("token_embd.weight", [](auto& bytes) {
                                    bytes[256 * 4 + 6] ^= std::byte{1};
                                  })});
  ASSERT_THAT(difference.tensors, SizeIs(1));
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kValues);
  EXPECT_EQ(difference.tensors[0].row, 4u);
  EXPECT_EQ(difference.tensors[0].column, 3u);
  EXPECT_EQ(difference.tensors[0].count, 1u);
  difference = compared({.tied = false}, {});
  ASSERT_THAT(difference.tensors, SizeIs(1));
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kOnlyInA);
  difference = compared({}, {.tied = false});
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kOnlyInB);
  difference = compared({.layers = 1, .vocab = 40}, {.layers = 1, .vocab = 41});
  EXPECT_EQ(difference.tensors[0].fault, TensorFault::kShape);
  EXPECT_THAT(difference.keys, ElementsAre("bitnet-b1.58.vocab_size"));
}

TEST_F(Weights, KeysOfOneFileAloneDiffer) {
  const TinyModel more{.keys = [](test::KeyMap& keys) { keys["extra"] = 1u; }};
  EXPECT_THAT(compared({}, more).keys, ElementsAre("extra"));
  EXPECT_THAT(compared(more, {}).keys, ElementsAre("extra"));
}

}  // namespace
}  // namespace tern::diagnose
