#include "convert/team.h"

namespace tern::convert {

Result<std::unique_ptr<Team>> Team::create(std::uint32_t threads, std::stop_token stop) {
  TERN_ASSIGN(auto pool, ThreadPool::create(threads));
  return std::unique_ptr<Team>(new Team(std::move(pool), std::move(stop)));
}

Result<void> Team::run(std::uint64_t count, const Task& task) {
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  std::uint64_t first = count;
  std::optional<Error> error;
  pool_->run([&](ThreadPool::Worker& worker) {
    while (!failed && !stop_.stop_requested()) {
      const std::uint64_t tile = next++;
      if (tile >= count) return;
      auto outcome = task(tile, scratch_[worker.index()]);
      if (outcome) continue;
      failed = true;
      const std::scoped_lock lock(mutex);
      if (tile < first) {
        first = tile;
        error = std::move(outcome.error());
      }
    }
  });
  if (error) return std::move(*error);
  if (stop_.stop_requested()) return Error{ErrorCode::kIo, "interrupted", ""};
  return {};
}

}  // namespace tern::convert
