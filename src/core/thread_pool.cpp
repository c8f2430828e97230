#include "core/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <system_error>

#include "core/fp_env.h"

namespace tern {
namespace {

constexpr auto kSpinLimit = std::chrono::microseconds(20);

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when `value` differs from `old`.
void await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  const auto deadline = std::chrono::steady_clock::now() + kSpinLimit;
  do {
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(std::uint32_t threads) : size_(std::max(threads, 1u)) {
  threads_.reserve(size_ - 1);
  try {
    for (std::uint32_t i = 1; i < size_; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (const std::system_error&) {
    stop();  // those that did start
    throw;
  }
}

Result<std::unique_ptr<ThreadPool>> ThreadPool::create(std::uint32_t threads) {
  try {
    return std::make_unique<ThreadPool>(threads);
  } catch (const std::system_error& error) {
    return Error{ErrorCode::kOutOfMemory,
                 "cannot start " + std::to_string(threads) + " threads (" + error.what() +
                     "); ask for fewer",
                 "threads"};
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run(const Task& task) {
  const ScopedFpEnv fp_env;
  task_ = &task;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  Worker self(*this, 0);
  task(self);
  barrier();
}

void ThreadPool::work(std::uint32_t index) {
  const ScopedFpEnv fp_env;
  for (std::uint32_t seen = 0;; ++seen) {
    await_change(round_, seen);
    if (stopping_) return;
    Worker self(*this, index);
    (*task_)(self);
    barrier();
  }
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const std::uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size_) {
    await_change(generation_, generation);
    return;
  }
  arrived_.store(0, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
}

Slice slice_of(std::size_t count, std::size_t grain, std::uint32_t worker, std::uint32_t workers) {
  const std::size_t grains = (count + grain - 1) / grain;
  const std::size_t begin = grains * worker / workers * grain;
  const std::size_t end = grains * (worker + 1) / workers * grain;
  return {std::min(begin, count), std::min(end, count)};
}

}  // namespace tern
