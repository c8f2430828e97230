#include "core/thread_pool.h"

#include <algorithm>
#include <string>
#include <system_error>

#include "core/fp_env.h"
#include "core/machine.h"

namespace tern {
namespace {

using Clock = std::chrono::steady_clock;

// Waking a sleeper takes tens of microseconds: longer than most waits of a token, and than what the
// caller does between two of them.
constexpr std::chrono::microseconds kSpinLimit{200};

// A team that cannot run all at once does not spin: it would keep the one from its core for which
// it waits.
std::chrono::microseconds spin_limit_of(std::uint32_t threads) {
  return threads <= usable_cores() ? kSpinLimit : std::chrono::microseconds{0};
}

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Returns when `value` differs from `old`.
void await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old,
                  std::chrono::microseconds spin_limit) {
  const auto deadline = Clock::now() + spin_limit;
  while (Clock::now() < deadline) {
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      relax();
    }
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(std::uint32_t threads)
    : size_(std::max(threads, 1u)), spin_limit_(spin_limit_of(size_)) {
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
  const auto arrived = log_ != nullptr ? Clock::now() : Clock::time_point{};
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  if (log_ != nullptr) (*log_)[0].push_back({arrived, Clock::now()});
  Worker self(*this, 0);
  task(self);
  barrier(0);
}

void ThreadPool::log_barriers(BarrierLog* log) {
  if (log != nullptr) log->resize(size_);
  log_ = size_ > 1 ? log : nullptr;
}

void ThreadPool::work(std::uint32_t index) {
  const ScopedFpEnv fp_env;
  for (std::uint32_t seen = 0;; ++seen) {
    await_change(round_, seen, spin_limit_);
    if (stopping_) return;
    note_now(index);
    Worker self(*this, index);
    (*task_)(self);
    note_now(index);  // the log is the caller's once all have met
    meet();
  }
}

void ThreadPool::note_now(std::uint32_t index) {
  if (log_ == nullptr) return;
  const auto now = Clock::now();
  (*log_)[index].push_back({now, now});
}

void ThreadPool::barrier(std::uint32_t index) {
  if (log_ == nullptr) return meet();
  const auto arrived = Clock::now();
  meet();
  (*log_)[index].push_back({arrived, Clock::now()});
}

void ThreadPool::meet() {
  if (size_ == 1) return;
  const std::uint32_t generation = generation_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < size_) {
    await_change(generation_, generation, spin_limit_);
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
