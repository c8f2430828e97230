// An engine of a test's own over the embedded model, and a request that holds it up.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "core/cpu_features.h"
#include "engine/engine.h"
#include "kernels/registry.h"
#include "serve/served_model.h"

namespace tern::serve {

class ServedEngineTest : public ::testing::Test {
 protected:
  template <typename T>
  static T must(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().to_string());
    return std::move(*result);
  }

  void SetUp() override {
    auto file = must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf"));
    tokenizer_.emplace(must(text::Tokenizer::from_gguf(file)));
    model_.emplace(must(model::Model::load(std::move(file), backend_)));
    served_.emplace(ServedModel{.id = "tales",
                                .also = {},
                                .model = *model_,
                                .tokenizer = *tokenizer_,
                                .chat_template = std::nullopt,
                                .pooling = arch::Pooling::kMean,
                                .fingerprint = "tern-0123456789ab",
                                .context = 512,
                                .longest_text = 4096});
  }
  // `queue` is the most that may wait.
  void start(std::uint32_t sequences, std::uint32_t queue) {
    engine_ = must(engine::Engine::create(
        *model_, *tokenizer_,
        {.scheduler = {.rows = 32, .beside = 8, .sequences = sequences, .pages = 40},
         .queue = queue},
        telemetry_));
  }
  engine::Request answer(std::uint32_t max_tokens = 2) const {
    engine::Request request;
    request.prompt = tokenizer_->encode("Once");
    request.answer.max_tokens = max_tokens;
    request.answer.ignore_end = true;
    request.on_update = [](const engine::Update&) {};
    return request;
  }
  bool takes_another() { return engine_->submit(answer()).ok(); }
  // From now on the engine stands, until go_on().
  void hold() {
    engine::Request request = answer(1);
    request.on_update = [this](const engine::Update&) { stand(); };
    ASSERT_TRUE(engine_->submit(request).ok());
    stands_.wait();
  }
  // The same by an answer that goes on beside what comes, so that its steps are small, and stands
  // once more behind so many tokens, for longer than what comes may take.
  void hold_twice(int tokens) {
    engine::Request request = answer(50);
    request.on_update = [this, tokens, had = 0](const engine::Update&) mutable {
      if (++had == 1) stand();
      if (had == tokens) std::this_thread::sleep_for(kMostTime + std::chrono::milliseconds(100));
    };
    ASSERT_TRUE(engine_->submit(std::move(request)).ok());
    stands_.wait();
  }
  static constexpr std::chrono::milliseconds kMostTime{1000};
  void stand() {  // the engine's thread, once
    stands_.count_down();
    go_on_.wait();
  }
  void go_on() { go_on_.count_down(); }

  backend::CpuBackend backend_{kernels::best_table(detect_cpu_features()), 1};
  telemetry::Telemetry telemetry_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::Model> model_;
  std::optional<ServedModel> served_;
  std::latch stands_{1};
  std::latch go_on_{1};
  std::unique_ptr<engine::Engine> engine_;  // last: its thread uses the others
};

}  // namespace tern::serve
