// A scheduler of a test's own, over the embedded model.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/generate.h"
#include "engine/heard.h"
#include "engine/scheduler.h"
#include "kernels/registry.h"

namespace tern::engine {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class SchedulerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf"));
    tokenizer_.emplace(must(text::Tokenizer::from_gguf(file)));
    model_.emplace(must(model::Model::load(std::move(file), backend_)));
  }
  std::unique_ptr<Scheduler> scheduler(const SchedulerOptions& options) {
    return must(Scheduler::create(*model_, *tokenizer_, options, telemetry_));
  }
  Request request(std::string_view prompt, std::uint32_t max_tokens, float temperature = 0.0f) {
    Request r;
    r.prompt = tokenizer_->encode(prompt);
    r.answer.sampling.temperature = temperature;
    r.answer.sampling.seed = 7;
    r.answer.max_tokens = max_tokens;
    r.answer.ignore_end = true;
    return r;
  }
  // One of so many tokens, whatever they say.
  Request sized(std::size_t tokens, int priority = 0) {
    Request r = request("Once", 1);
    r.prompt.assign(tokens, 5);
    r.priority = priority;
    return r;
  }
  // Adds a request whose owner is `heard`.
  void add(Scheduler& scheduler, Request request, Heard& heard) {
    request.on_update = [&heard](const Update& update) { heard.hear(update); };
    scheduler.add(must(scheduler.prepare(std::move(request))));
  }
  Generation alone(const Request& request) {
    auto sequence = must(Sequence::create(*model_));
    GenerateRequest r;
    r.prompt = request.prompt;
    r.answer = request.answer;
    return must(generate(sequence, *tokenizer_, r, unread_));
  }
  // Requests of mixed lengths and ways to sample.
  std::vector<Request> mixed() {
    const std::string tale =
        "Once upon a time there was a king who had three daughters, and the youngest of them was "
        "so fair that the sun himself, who had seen so much, wondered whenever he shone on her. ";
    std::vector<Request> all;
    for (std::size_t i = 0; i < 10; ++i) {
      const std::string prompt =
          (i % 3 == 0 ? tale + tale : tale).substr(i * 7, i % 3 == 1 ? 9 : 999);
      all.push_back(request(prompt, i % 3 == 1 ? 90 : 5 + static_cast<std::uint32_t>(i * 11 % 60),
                            i % 2 == 0 ? 0.0f : 1.0f));
      all.back().answer.sampling.seed = i;
      if (i % 4 == 3) all.back().answer.sampling.top_k = 0;
      if (i % 5 == 4) all.back().answer.sampling.repeat_penalty = 1.3f;
    }
    all[3].answer.stops = {alone(all[3]).text.substr(12, 4)};
    return all;
  }
  std::uint64_t count(const std::string& name) {
    const auto counters = telemetry_.counters();
    return counters.contains(name) ? counters.at(name) : 0;
  }
  void expect_solo_answers(const SchedulerOptions& options, std::size_t a_step = 3) {
    const std::vector<Request> requests = mixed();
    std::vector<Heard> heard(requests.size());
    const auto all = scheduler(options);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      add(*all, requests[i], heard[i]);
      for (std::size_t step = 0; step < a_step; ++step) all->step();
    }
    for (int step = 0; step < 5000 && !all->idle(); ++step) all->step();
    ASSERT_TRUE(all->idle());
    EXPECT_EQ(all->pool().free_pages(), options.pages);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      const Generation solo = alone(requests[i]);
      EXPECT_EQ(heard[i].tokens, solo.tokens);
      EXPECT_EQ(heard[i].text, solo.text);
      EXPECT_EQ(heard[i].end, solo.end);
      EXPECT_EQ(heard[i].after_the_end, 0);
    }
  }

  backend::CpuBackend backend_{kernels::best_table(detect_cpu_features()), 1};
  telemetry::Telemetry telemetry_;
  telemetry::Telemetry unread_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::Model> model_;
};

}  // namespace tern::engine
