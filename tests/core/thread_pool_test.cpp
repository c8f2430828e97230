#include "core/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tern {
namespace {

class Team : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  Team() : pool_(GetParam()) {}
  ThreadPool pool_;
};

TEST_P(Team, RunsEachWorkerExactlyOnce) {
  ASSERT_EQ(pool_.size(), GetParam());
  std::vector<std::atomic<int>> runs(pool_.size());
  pool_.run([&](ThreadPool::Worker& worker) {
    EXPECT_EQ(worker.count(), pool_.size());
    ASSERT_LT(worker.index(), runs.size());
    ++runs[worker.index()];
  });
  for (const auto& count : runs) EXPECT_EQ(count, 1);
}

TEST_P(Team, CallerIsWorkerZeroAndTheOthersAreTheirOwnThreads) {
  std::vector<std::thread::id> ids(pool_.size());
  pool_.run([&](ThreadPool::Worker& worker) { ids[worker.index()] = std::this_thread::get_id(); });
  EXPECT_EQ(ids[0], std::this_thread::get_id());
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

// Each worker writes its own plain integer; after the barrier it must see what all others wrote.
// A barrier that opens early or twice leaves somebody's round behind.
TEST_P(Team, BarrierOrdersManyRounds) {
  constexpr std::uint64_t kRounds = 400;
  std::vector<std::uint64_t> round_of(pool_.size(), 0);
  std::vector<std::uint64_t> errors(pool_.size(), 0);
  pool_.run([&](ThreadPool::Worker& worker) {
    for (std::uint64_t round = 1; round <= kRounds; ++round) {
      round_of[worker.index()] = round;
      worker.barrier();
      for (const std::uint64_t other : round_of) errors[worker.index()] += other != round ? 1 : 0;
      worker.barrier();
    }
  });
  EXPECT_EQ(std::accumulate(errors.begin(), errors.end(), std::uint64_t{0}), 0u);
  EXPECT_EQ(std::count(round_of.begin(), round_of.end(), kRounds), pool_.size());
}

// run() returns after the last worker, and a worker never takes a task twice.
TEST_P(Team, ManyRunsAreComplete) {
  std::vector<std::uint64_t> counts(pool_.size(), 0);
  for (std::uint64_t run = 1; run <= 500; ++run) {
    pool_.run([&](ThreadPool::Worker& worker) { ++counts[worker.index()]; });
    ASSERT_EQ(std::count(counts.begin(), counts.end(), run), pool_.size());
  }
}

// A barrier opens for nobody before the last has come, and the log says so: of each run its start,
// two barriers and its end.
TEST_P(Team, LogsWhenEachWorkerCameToABarrierAndWentOn) {
  BarrierLog log;
  pool_.log_barriers(&log);
  for (int run = 0; run < 3; ++run) {
    pool_.run([](ThreadPool::Worker& worker) {
      worker.barrier();
      if (worker.index() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      worker.barrier();
    });
  }
  pool_.log_barriers(nullptr);
  pool_.run([](ThreadPool::Worker& worker) { worker.barrier(); });
  ASSERT_EQ(log.size(), pool_.size());
  for (const auto& passes : log) ASSERT_EQ(passes.size(), pool_.size() > 1 ? 12u : 0u);
  for (std::size_t i = 0; i < log[0].size(); ++i) {
    const bool starts = i % 4 == 0;
    const bool ends = i % 4 == 3;
    for (const auto& of_worker : log) {
      EXPECT_LE(i > 0 ? of_worker[i - 1].left : of_worker[i].arrived, of_worker[i].arrived);
      EXPECT_LE(of_worker[i].arrived, of_worker[i].left);
      EXPECT_LE(starts ? log[0][i].arrived : of_worker[i].arrived, of_worker[i].left);
      EXPECT_LE(of_worker[i].arrived, ends || starts ? of_worker[i].left : log[0][i].left);
      EXPECT_LE(starts ? log[0][i].arrived : log.back()[i].arrived,
                ends ? log[0][i].left : of_worker[i].left);
    }
    if (i % 4 == 2) {
      EXPECT_GE(log[0][i].arrived - log[0][i - 1].left, std::chrono::milliseconds(1));
    }
  }
}

// Another team inside of a task: each has its own barriers.
TEST_P(Team, TeamsNest) {
  std::atomic<int> inner_runs = 0;
  for (int run = 0; run < 5; ++run) {
    pool_.run([&](ThreadPool::Worker& worker) {
      if (worker.index() == 0) {
        ThreadPool inner(2);
        inner.run([&](ThreadPool::Worker& own) {
          own.barrier();
          ++inner_runs;
        });
      }
      worker.barrier();
      EXPECT_EQ(inner_runs % 2, 0);
      EXPECT_GT(inner_runs, 2 * run);
    });
  }
  EXPECT_EQ(inner_runs, 10);
}

#if defined(__linux__)

// Keeps the calling thread, and the threads that it starts, on so many cores of those it may use.
class OnCores {
 public:
  explicit OnCores(int count) {
    sched_getaffinity(0, sizeof former_, &former_);
    cpu_set_t fewer;
    CPU_ZERO(&fewer);
    for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&fewer) < count; ++cpu) {
      if (CPU_ISSET(cpu, &former_)) CPU_SET(cpu, &fewer);
    }
    sched_setaffinity(0, sizeof fewer, &fewer);
  }
  ~OnCores() { sched_setaffinity(0, sizeof former_, &former_); }

 private:
  cpu_set_t former_;
};

// More threads than cores, of which there are so many.
class CrowdedTeam : public ::testing::TestWithParam<int> {};

// Of the whole process, all threads together.
double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(ThreadPoolSpin, OnlyATeamThatCanRunAllAtOnceSpins) {
  using std::chrono::microseconds;
  const OnCores one_core(1);
  EXPECT_EQ(ThreadPool(1).spin_limit(), microseconds(200));
  EXPECT_EQ(ThreadPool(2).spin_limit(), microseconds(0));
}

// Barriers never burn: all wait while one sleeps, and use no core for it. Spinning would cost 200
// milliseconds for each core. Two threads on two cores are not crowded, and may spin a little.
TEST_P(CrowdedTeam, WaitingCostsNoCpuTime) {
  const OnCores cores(GetParam());
  for (const std::uint32_t threads : {2u, 8u}) {
    ThreadPool pool(threads);
    const double before = cpu_seconds();
    pool.run([&](ThreadPool::Worker& worker) {
      for (int round = 0; round < 10; ++round) {
        if (worker.index() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        worker.barrier();
      }
    });
    EXPECT_LT(cpu_seconds() - before, 0.1) << threads;
  }
}

// Four times as many threads as cores meet at 1,000 barriers: some microseconds each of CPU. Who
// spins until its time on the core is over takes milliseconds.
TEST_P(CrowdedTeam, ManyBarriersAreCheap) {
  const OnCores cores(GetParam());
  ThreadPool pool(static_cast<std::uint32_t>(4 * GetParam()));
  const double before = cpu_seconds();
  pool.run([&](ThreadPool::Worker& worker) {
    for (int round = 0; round < 1000; ++round) worker.barrier();
  });
  EXPECT_LT(cpu_seconds() - before, 0.5);
}

INSTANTIATE_TEST_SUITE_P(Cores, CrowdedTeam, ::testing::Values(1, 2));

#endif

// Waiting workers sleep: a team is idle between its runs and may be so for long.
TEST_P(Team, WakesAfterSleeping) {
  std::atomic<std::uint32_t> runs = 0;
  for (int run = 0; run < 3; ++run) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // far beyond the spinning
    pool_.run([&](ThreadPool::Worker& worker) {
      if (worker.index() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      worker.barrier();
      ++runs;
    });
  }
  EXPECT_EQ(runs, 3 * pool_.size());
}

#if defined(__x86_64__)

constexpr unsigned kFlushToZeroAndDenormalsAreZero = 0x8040;
constexpr unsigned kRoundUp = 0x4000;
constexpr unsigned kExceptionFlags = 0x3f;  // sticky results, no setting

// A host that has set flush-to-zero before it made the team and before it runs a task.
TEST_P(Team, ComputesInTheDefaultFpEnvironment) {
  const unsigned former = _mm_getcsr();
  _mm_setcsr(former | kFlushToZeroAndDenormalsAreZero | kRoundUp);
  std::vector<float> halves(GetParam());
  std::vector<unsigned> settings(GetParam());
  {
    ThreadPool pool(GetParam());  // its threads inherit the creator's settings
    pool.run([&](ThreadPool::Worker& worker) {
      settings[worker.index()] = _mm_getcsr() & ~kExceptionFlags;
      volatile float smallest_normal = std::numeric_limits<float>::min();
      halves[worker.index()] = smallest_normal * 0.5f;
    });
  }
  const unsigned after = _mm_getcsr();
  _mm_setcsr(former);
  for (const unsigned setting : settings) EXPECT_EQ(setting, 0x1f80u);
  for (const float half : halves) EXPECT_EQ(half, std::ldexp(1.0f, -127));
  EXPECT_EQ(after & kFlushToZeroAndDenormalsAreZero, kFlushToZeroAndDenormalsAreZero);
  EXPECT_EQ(after & 0x6000u, kRoundUp);
}

#endif

INSTANTIATE_TEST_SUITE_P(Threads, Team, ::testing::Values(1, 2, 3, 8));

TEST(ThreadPool, ZeroThreadsAreOne) { EXPECT_EQ(ThreadPool(0).size(), 1u); }

TEST(SliceOf, CoversEachItemOnceInOrderOfWorkers) {
  for (const std::size_t count : {0u, 1u, 2u, 15u, 16u, 17u, 100u, 6912u}) {
    for (const std::size_t grain : {1u, 2u, 16u, 128u}) {
      for (const std::uint32_t workers : {1u, 2u, 3u, 8u, 64u}) {
        std::size_t next = 0;
        for (std::uint32_t worker = 0; worker < workers; ++worker) {
          const Slice slice = slice_of(count, grain, worker, workers);
          ASSERT_EQ(slice.begin, next);
          ASSERT_LE(slice.begin, slice.end);
          if (slice.end != count) {
            ASSERT_EQ(slice.end % grain, 0u);
          }
          next = slice.end;
        }
        ASSERT_EQ(next, count) << count << " by " << grain << " for " << workers;
      }
    }
  }
}

// No worker has more than a grain above the others.
TEST(SliceOf, IsEven) {
  for (const std::uint32_t workers : {2u, 3u, 7u}) {
    std::size_t least = 1000;
    std::size_t most = 0;
    for (std::uint32_t worker = 0; worker < workers; ++worker) {
      const Slice slice = slice_of(1000, 10, worker, workers);
      least = std::min(least, slice.end - slice.begin);
      most = std::max(most, slice.end - slice.begin);
    }
    EXPECT_LE(most - least, 10u);
  }
}

TEST(SliceOf, MoreWorkersThanGrains) {
  int busy = 0;
  for (std::uint32_t worker = 0; worker < 8; ++worker) {
    const Slice slice = slice_of(33, 16, worker, 8);
    busy += slice.end > slice.begin ? 1 : 0;
  }
  EXPECT_EQ(busy, 3);                         // 16, 16 and 1
  EXPECT_EQ(slice_of(32, 16, 0, 3).end, 0u);  // two grains for three
}

// In a child whose address space is nearly used up: an Error, and the threads that did start are
// stopped. Sanitizers take terabytes of address space for themselves.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(ThreadPoolCreate, MoreThreadsThanTheMachineGivesIsAnError) {
  const auto child = [] {
    const rlimit limit{1u << 30, 1u << 30};
    setrlimit(RLIMIT_AS, &limit);
    const auto pool = ThreadPool::create(4096);
    const bool refused = !pool.ok() && pool.error().code == ErrorCode::kOutOfMemory &&
                         pool.error().message.find("4096 threads") != std::string::npos;
    std::_Exit(refused && ThreadPool::create(2).ok() ? 0 : 1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace tern
