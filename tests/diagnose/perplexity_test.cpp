#include "diagnose/measure/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "backend/cpu/cpu_backend.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::diagnose {
namespace {

using testing::HasSubstr;

class PerplexityTest : public testing::Test {
 protected:
  void load() {
    auto file = format::GgufFile::open(write_tiny_model(directory_.path(), tiny_));
    ASSERT_TRUE(file.ok());
    auto model = model::Model::load(std::move(*file), backend_);
    ASSERT_TRUE(model.ok()) << model.error().to_string();
    model_.emplace(std::move(*model));
  }
  TokenizedText text(std::size_t tokens) const {
    return {test::tiny_tokens(tiny_, tokens), std::vector<std::uint32_t>(tokens, 3)};
  }
  Perplexity measure(const TokenizedText& text, const PerplexityOptions& options) const {
    auto measured = measure_perplexity(*model_, text, options);
    EXPECT_TRUE(measured.ok()) << measured.error().to_string();
    return measured.ok() ? std::move(*measured) : Perplexity{};
  }
  void expect_usage(const TokenizedText& text, const PerplexityOptions& options,
                    const std::string& message) const {
    const auto measured = measure_perplexity(*model_, text, options);
    ASSERT_FALSE(measured.ok()) << message;
    EXPECT_EQ(measured.error().code, ErrorCode::kUsage);
    EXPECT_THAT(measured.error().to_string(), HasSubstr(message));
  }
  // The NLL of tokens[at] after tokens[begin, at), by its definition.
  double nll(const TokenizedText& text, std::size_t begin, std::size_t at) const {
    auto sequence = engine::Sequence::create(*model_);
    EXPECT_TRUE(sequence.ok());
    EXPECT_TRUE(sequence->append(std::span(text.tokens).subspan(begin, at - begin)).ok());
    double sum = 0.0;
    for (const float logit : sequence->logits()) sum += std::exp(static_cast<double>(logit));
    return std::log(sum) -
           static_cast<double>(sequence->logits()[static_cast<std::size_t>(text.tokens[at])]);
  }

  test::TinyModel tiny_{.context = 16};
  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 1};
  std::optional<model::Model> model_;
};

TEST_F(PerplexityTest, IsTheMeanOverWindowsByTheDefinition) {
  load();
  const auto t = text(21);
  // Windows of 8 by 3: [0, 8) scores 1 to 7; [3, 11) 8 to 10; [6, 14); [9, 17); [12, 20); [15, 21).
  double sum = 0.0;
  for (std::size_t at = 1; at < 21; ++at) {
    sum += nll(t, at < 8 ? 0 : 3 * ((at - 8) / 3 + 1), at);
  }
  const auto found = measure(t, {.context = 8, .stride = 3});
  EXPECT_EQ(found.nll.count(), 20u);
  EXPECT_EQ(found.windows, 6u);
  EXPECT_EQ(found.total_windows, 6u);
  EXPECT_EQ(found.bytes, 60u);
  EXPECT_EQ(found.computed, 4 * 7u + 7u + 5u);
  EXPECT_NEAR(found.nll.mean(), sum / 20, 1e-12);
  EXPECT_NEAR(found.perplexity() / std::exp(sum / 20), 1.0, 1e-12);
  EXPECT_NEAR(found.bits_per_byte(), sum / 60 / std::log(2.0), 1e-12);
}

TEST_F(PerplexityTest, DefaultsAreTheWholeContextAndHalfOfIt) {
  load();
  const auto t = text(40);
  const auto found = measure(t, {});
  EXPECT_EQ(found.context, 16u);
  EXPECT_EQ(found.stride, 8u);
  EXPECT_EQ(found.windows, 4u);
  EXPECT_EQ(found.nll.mean(), measure(t, {.context = 16, .stride = 8}).nll.mean());
  EXPECT_NE(found.nll.mean(), measure(t, {.context = 16, .stride = 7}).nll.mean());
}

TEST_F(PerplexityTest, EveryTokenButTheFirstIsScoredOnce) {
  load();
  for (std::size_t count = 3; count < 24; ++count) {
    for (const std::uint32_t stride : {2u, 5u, 6u}) {
      const auto found = measure(text(count), {.context = 7, .stride = stride});
      ASSERT_EQ(found.nll.count(), count - 1) << stride;
    }
  }
}

TEST_F(PerplexityTest, UniformLogitsGiveTheSizeOfTheVocabulary) {
  tiny_.tied = false;
  tiny_.tamper = [](const std::string& name, std::vector<std::byte>& bytes) {
    if (name == "output.weight") std::fill(bytes.begin(), bytes.end(), std::byte{0});
    return true;
  };
  load();
  const auto found = measure(text(30), {});
  EXPECT_NEAR(found.perplexity(), 96.0, 1e-9);
  EXPECT_NEAR(found.lower().value(), 96.0, 1e-9);
  EXPECT_NEAR(found.upper().value(), 96.0, 1e-9);
  EXPECT_NEAR(found.bits_per_byte(), std::log2(96.0) / 3, 1e-12);
}

TEST_F(PerplexityTest, RefusesSizesOutOfRangeAndShortTexts) {
  load();
  expect_usage(text(9), {.context = 17}, "context: expected 2 to 16, found 17");
  expect_usage(text(9), {.context = 1}, "context: expected 2 to 16, found 1");
  expect_usage(text(9), {.context = 8, .stride = 8}, "stride: expected 1 to 7, found 8");
  expect_usage(text(9), {.stride = 16}, "stride: expected 1 to 15, found 16");
  for (const std::size_t count : {0, 1, 2}) {
    expect_usage(text(count), {}, "expected at least 3 tokens");
  }
  EXPECT_EQ(measure(text(3), {.context = 2}).nll.count(), 2u);
}

TEST_F(PerplexityTest, ScoresAsManyWindowsAsAskedFor) {
  load();
  const auto t = text(40);
  std::vector<std::uint64_t> counts;
  const auto found = measure(t, {.windows = 2, .on_window = [&](const Perplexity& so_far) {
                                   counts.push_back(so_far.nll.count());
                                   EXPECT_EQ(so_far.total_windows, 2u);
                                 }});
  EXPECT_THAT(counts, testing::ElementsAre(15, 23));
  EXPECT_EQ(found.nll.count(), 23u);
  EXPECT_EQ(measure(t, {.windows = 9}).windows, 4u);
}

TEST_F(PerplexityTest, StopsBetweenWindows) {
  load();
  std::stop_source stop;
  const auto found = measure(
      text(40), {.stop = stop.get_token(), .on_window = [&](const auto&) { stop.request_stop(); }});
  EXPECT_TRUE(found.cancelled);
  EXPECT_EQ(found.windows, 1u);
  EXPECT_EQ(found.total_windows, 4u);
  EXPECT_EQ(found.nll.count(), 15u);
}

TEST(NegativeLogLikelihood, OfKnownLogits) {
  const std::vector<float> logits{0.0f, std::log(3.0f), -1000.0f, 0.0f};
  EXPECT_NEAR(negative_log_likelihood(logits, 1), std::log(5.0 / 3.0), 1e-7);
  EXPECT_NEAR(negative_log_likelihood(logits, 0), std::log(5.0), 1e-7);
  EXPECT_NEAR(negative_log_likelihood(logits, 2), 1000.0 + std::log(5.0), 1e-6);
  const std::vector<float> large{1e30f, 1e30f};
  EXPECT_NEAR(negative_log_likelihood(large, 0), std::log(2.0), 1e-12);
}

TEST(RunningMean, AndItsErrorOnKnownNumbers) {
  RunningMean mean;
  EXPECT_EQ(mean.standard_error(), std::nullopt);
  mean.add(2);
  EXPECT_EQ(mean.standard_error(), std::nullopt);
  mean.add(4);
  EXPECT_DOUBLE_EQ(mean.standard_error().value(), 1.0);  // squares of 1 and 1, over 1, over 2
  for (const double value : {4, 4, 5, 5, 7, 9}) mean.add(value);
  EXPECT_EQ(mean.count(), 8u);
  EXPECT_DOUBLE_EQ(mean.mean(), 5.0);
  EXPECT_NEAR(mean.standard_error().value(), std::sqrt(32.0 / 7.0 / 8.0),
              1e-15);  // sum of squares 32

  Perplexity result;
  result.nll = mean;
  const double half = 1.959963984540054 * std::sqrt(4.0 / 7.0);
  EXPECT_NEAR(result.lower().value(), std::exp(5.0 - half), 1e-9);
  EXPECT_NEAR(result.upper().value(), std::exp(5.0 + half), 1e-9);
}

}  // namespace
}  // namespace tern::diagnose
