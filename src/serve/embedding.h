// Embeddings on their way: the vectors of one request to /v1/embeddings, from the engine to the
// client.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serve/call.h"
#include "serve/embedding_request.h"
#include "serve/served_model.h"

namespace tern::serve {

// Lives as long as the engine works on it. Any thread.
class Embedding : public std::enable_shared_from_this<Embedding> {
 public:
  // Calls what it is given on a thread that may take its time; the engine's may not.
  using Later = std::function<void(std::function<void()>)>;

  Embedding(std::shared_ptr<Call> call, const ServedModel& model, engine::Engine& engine,
            EmbeddingRequest request, Later later);

  // Hands the texts to the engine, some at a time, so that the queue stays open to others; the
  // reply comes by itself.
  void start();

 private:
  void hand_over();  // mutex_ held, as for
  void submit(bool follows);
  void hear(std::size_t index, const engine::Update& update);
  void give_up(const std::exception& thrown);
  void fail(const ApiError& error);
  Result<void> submit_next(bool follows);
  void take(std::size_t index, const engine::Update& update);
  void reply();
  std::string text_of(std::span<const float> vector) const;
  std::uint64_t prompt_tokens() const;
  std::size_t most_bytes() const;

  const std::shared_ptr<Call> call_;
  const ServedModel& model_;
  engine::Engine& engine_;
  const EmbeddingRequest request_;
  const Later later_;
  std::stop_source stop_;
  std::optional<std::stop_callback<std::function<void()>>> on_gone_;

  std::mutex mutex_;
  std::vector<std::vector<float>> vectors_;  // their leading numbers that are asked for
  std::size_t submitted_ = 0;
  std::size_t done_ = 0;
  bool over_ = false;  // nothing of the engine counts any more
};

}  // namespace tern::serve
