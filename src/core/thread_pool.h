// A fixed team of threads that run one function together and meet at barriers.
//
// The caller of run() is worker 0. Waiting spins for 200 microseconds at most and then sleeps on a
// futex; a team with more threads than this process may use cores sleeps at once. Each worker
// computes in the default floating-point environment.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "core/result.h"

namespace tern {

// When a worker came to a barrier, and when it went on.
struct BarrierPass {
  std::chrono::steady_clock::time_point arrived;
  std::chrono::steady_clock::time_point left;
};
// By worker. A run adds to each: its start, its barriers, its end. At the start only worker 0, the
// caller, arrives, and at the end only it leaves; what the others lack there is their other time.
using BarrierLog = std::vector<std::vector<BarrierPass>>;

class ThreadPool {
 public:
  // One member of the team, as seen from inside run().
  class Worker {
   public:
    std::uint32_t index() const { return index_; }
    std::uint32_t count() const { return pool_.size(); }
    // Waits for all workers of the team. What was written before is visible to all after it.
    void barrier() { pool_.barrier(index_); }

   private:
    friend class ThreadPool;
    Worker(ThreadPool& pool, std::uint32_t index) : pool_(pool), index_(index) {}
    ThreadPool& pool_;
    std::uint32_t index_;
  };
  using Task = std::function<void(Worker&)>;

  // 0 counts as 1. Throws std::system_error where the machine gives no more threads; create() says
  // so in an Error instead (kOutOfMemory).
  explicit ThreadPool(std::uint32_t threads);
  static Result<std::unique_ptr<ThreadPool>> create(std::uint32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::uint32_t size() const { return size_; }
  std::chrono::microseconds spin_limit() const { return spin_limit_; }

  // Runs `task` on every worker and returns when all have finished. Not reentrant; one caller at a
  // time.
  void run(const Task& task);

  // From the next run on, each worker notes its barriers there; null: no more. A team of one has
  // none.
  void log_barriers(BarrierLog* log);

 private:
  void barrier(std::uint32_t index);
  void note_now(std::uint32_t index);
  void meet();
  void work(std::uint32_t index);
  void stop();

  std::uint32_t size_;
  std::chrono::microseconds spin_limit_;
  std::vector<std::thread> threads_;
  const Task* task_ = nullptr;
  BarrierLog* log_ = nullptr;
  bool stopping_ = false;
  alignas(64) std::atomic<std::uint32_t> round_{0};       // bumped to start a task
  alignas(64) std::atomic<std::uint32_t> arrived_{0};     // workers waiting at the barrier
  alignas(64) std::atomic<std::uint32_t> generation_{0};  // bumped when a barrier opens
};

// The half-open part of [0, count) that belongs to `worker` of `workers`: contiguous, sizes a
// multiple of `grain` except at the end, ascending in worker order.
struct Slice {
  std::size_t begin;
  std::size_t end;
};
Slice slice_of(std::size_t count, std::size_t grain, std::uint32_t worker, std::uint32_t workers);

}  // namespace tern
