#include "diagnose/measure/mac_ceiling.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "core/thread_pool.h"

namespace tern::diagnose {
namespace {

constexpr double kLeastSecondsAPass = 5e-3;  // so that the barriers around it are noise

struct Pass {
  double seconds = 0.0;
  std::uint64_t macs = 0;
};

Pass pass(ThreadPool& pool, MacLoop loop, std::uint64_t steps, Now now) {
  Span span(now);
  std::atomic<std::uint64_t> macs{0};
  pool.run([&](ThreadPool::Worker& worker) {
    worker.barrier();
    span.begin();
    macs += loop(steps);
    span.end();
  });
  return {span.seconds(), macs};
}

}  // namespace

Result<double> measure_mac_ceiling(MacLoop loop, std::uint32_t threads,
                                   std::chrono::milliseconds budget, Now now) {
  TERN_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(threads));
  std::uint64_t steps = 1u << 10;
  double best = 0.0;
  const auto end = now() + budget;
  for (bool more = true; more;) {
    const Pass done = pass(*pool, loop, steps, now);
    if (done.macs == 0) {
      return Error{ErrorCode::kNumeric, "expected multiply-accumulates, found none done",
                   "multiply-accumulate loop"};
    }
    if (done.seconds < kLeastSecondsAPass) {
      steps *= 2;
      continue;
    }
    best = std::max(best, static_cast<double>(done.macs) / done.seconds);
    more = now() < end;
  }
  return best;
}

}  // namespace tern::diagnose
