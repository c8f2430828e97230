// Threads that share the tiles of a tensor: who is free takes the next.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "core/result.h"
#include "core/thread_pool.h"

namespace tern::convert {

// What a thread needs for a tile; it keeps its memory from tile to tile.
struct Scratch {
  std::vector<std::byte> in;
  std::vector<std::int8_t> trits;
  std::vector<float> values;
  std::vector<std::byte> out;
};

class Team {
 public:
  using Task = std::function<Result<void>(std::uint64_t tile, Scratch& scratch)>;

  static Result<std::unique_ptr<Team>> create(std::uint32_t threads, std::stop_token stop);

  // Runs `task` for tiles 0 to count-1. Of the errors, that of the first tile; no tile begins after
  // one. An end that was asked for is an error, too.
  Result<void> run(std::uint64_t count, const Task& task);

 private:
  Team(std::unique_ptr<ThreadPool> pool, std::stop_token stop)
      : pool_(std::move(pool)), stop_(std::move(stop)), scratch_(pool_->size()) {}

  std::unique_ptr<ThreadPool> pool_;
  std::stop_token stop_;
  std::vector<Scratch> scratch_;
};

}  // namespace tern::convert
