// Nothing grows with use: what sequences leave behind, and what one takes as it becomes longer.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/generate.h"
#include "kernels/registry.h"
#include "models/embedded_model.h"
#include "support/live_heap.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern {
namespace {

// A sanitizer has a heap of its own, where nobody counts; its leak check stands in.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

std::size_t entries(const char* directory) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(directory), {}));
}

// What this process holds at one moment.
struct Holdings {
  std::size_t heap_bytes;
  std::size_t resident_bytes;
  std::size_t descriptors;
  std::size_t threads;

  static Holdings now() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;
    return {test::live_heap_bytes(), pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)),
            entries("/proc/self/fd"), entries("/proc/self/task")};
  }
};

// Twenty sequences of 512 tokens, four kinds in turn, each until its context is full, after two of
// each kind.
TEST(Memory, TenThousandTokensLeaveNothingBehind) {
  constexpr std::size_t kMostResident = 4u << 20;
  auto file = must(format::GgufFile::parse(models::embedded_model(), "embedded model"));
  const auto tokenizer = must(text::Tokenizer::from_gguf(file));
  backend::CpuBackend backend(kernels::best_table(detect_cpu_features()), 2);
  const auto model = must(model::Model::load(std::move(file), backend));
  telemetry::Telemetry telemetry;
  std::size_t tokens = 0;
  const auto one_sequence = [&](std::size_t number) {
    auto sequence = must(engine::Sequence::create(model));
    engine::GenerateRequest request;
    std::string prompt = "Once upon a time";
    for (std::size_t i = 0; i < number % 4; ++i) prompt += " there was a bird";
    request.prompt = tokenizer.encode(prompt);
    request.answer.sampling.temperature = number % 4 == 0 ? 0.0f : 0.9f;
    request.answer.sampling.seed = number % 4;
    request.answer.stops = {"no such text"};
    request.answer.ignore_end = true;
    request.on_text = [](std::string_view) {};
    const auto generation = must(engine::generate(sequence, tokenizer, request, telemetry));
    EXPECT_EQ(generation.end, engine::EndReason::kContextFull);
    tokens += request.prompt.size() + generation.tokens.size();
  };
  for (std::size_t number = 0; number < 8; ++number) one_sequence(number);
  tokens = 0;
  const Holdings before = Holdings::now();
  for (std::size_t number = 0; number < 20; ++number) one_sequence(number);
  const Holdings after = Holdings::now();
  EXPECT_GE(tokens, 10000u);
  EXPECT_EQ(after.heap_bytes, before.heap_bytes);
  EXPECT_LE(after.resident_bytes, before.resident_bytes + kMostResident);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.threads, before.threads);
}

// Token by token to 10,000: keys and values, four bytes for each token's id, and nothing else.
// A sequence on pages that another has left: what grows is its token ids and its list of pages.
TEST(Memory, ALongSequenceGrowsByItsCacheAlone) {
  constexpr std::uint32_t kTokens = 10000;
  constexpr std::uint32_t kWarmUp = 2000;
  test::TinyModel tiny;
  tiny.layers = 1;
  tiny.ffn = 128;
  tiny.context = kTokens;
  test::TemporaryDirectory directory;
  backend::CpuBackend backend(kernels::best_table(detect_cpu_features()), 2);
  const auto model = must(model::Model::load(
      must(format::GgufFile::open(write_tiny_model(directory.path(), tiny))), backend));
  const std::uint32_t pages = backend::KvPool::pages_for(kTokens);
  const auto stepper = must(engine::Stepper::create(model, {.rows = 1, .pages = pages}));
  const auto tokens = test::tiny_tokens(tiny, kTokens);
  const auto append = [&](engine::Sequence& sequence, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t i = from; i < to; ++i) must(sequence.append({&tokens[i], 1}));
  };
  {
    auto first = must(engine::Sequence::create(*stepper));
    ASSERT_TRUE(first.pretend(tokens).ok());
  }
  auto sequence = must(engine::Sequence::create(*stepper));
  append(sequence, 0, kWarmUp);
  const Holdings before = Holdings::now();
  append(sequence, kWarmUp, kTokens);
  const Holdings after = Holdings::now();
  const std::uint64_t ids = 2 * kTokens * sizeof(text::TokenId);  // a vector doubles
  EXPECT_LE(after.heap_bytes, before.heap_bytes + ids);
  EXPECT_EQ(after.descriptors, before.descriptors);
  EXPECT_EQ(after.threads, before.threads);
}

#endif

}  // namespace
}  // namespace tern
