// Which worker multiplies which rows: each row once, whoever takes it.
#include "backend/cpu/linear_division.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace tern::backend {
namespace {

// Operations without a matrix between those that have one, of so many rows.
Plan plan_of(const std::vector<std::uint32_t>& rows) {
  Plan plan;
  for (const std::uint32_t count : rows) {
    const auto slot = static_cast<SlotId>(plan.slots.size());
    plan.slots.push_back({.width = count, .quantized = false});
    plan.ops.push_back({.code = OpCode::kNorm, .out = slot});
    plan.ops.push_back({.code = OpCode::kTernaryLinear, .out = slot});
  }
  return plan;
}

// How often each row of each matrix was taken, where worker 0 takes none before `late` says so.
std::vector<std::vector<int>> taken(LinearDivision& division,
                                    const std::vector<std::uint32_t>& rows, ThreadPool& pool,
                                    bool late) {
  std::vector<std::vector<int>> times;
  for (const std::uint32_t count : rows) times.emplace_back(count);
  std::mutex mutex;
  std::atomic<std::uint32_t> done{0};
  pool.run([&](ThreadPool::Worker& worker) {
    while (late && worker.index() == 0 && done + 1 < worker.count()) std::this_thread::yield();
    for (std::size_t matrix = 0; matrix < rows.size(); ++matrix) {
      division.for_rows(2 * matrix + 1, worker, [&](const Slice& slice) {
        EXPECT_EQ(slice.begin % LinearDivision::kGrain, 0u);
        const std::scoped_lock lock(mutex);
        for (std::size_t row = slice.begin; row < slice.end; ++row) ++times[matrix].at(row);
      });
    }
    ++done;
  });
  return times;
}

TEST(LinearDivision, TakesEachRowOnceInEachRun) {
  const std::vector<std::uint32_t> rows{1, 63, 64, 65, 640, 2560, 6912, 6913};
  for (const std::uint32_t workers : {1u, 2u, 3u, 7u}) {
    const auto pool = ThreadPool::create(workers);
    ASSERT_TRUE(pool);
    LinearDivision division(plan_of(rows), workers);
    for (const bool late : {false, true}) {
      division.open();
      const auto times = taken(division, rows, **pool, late);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_EQ(times[i], std::vector<int>(rows[i], 1)) << rows[i] << " rows, " << workers;
      }
    }
    for (const auto& matrix : taken(division, rows, **pool, false)) {
      EXPECT_EQ(matrix, std::vector<int>(matrix.size(), 0));  // until they are opened again
    }
  }
}

// A worker that does not come leaves one piece of each matrix, and no more.
TEST(LinearDivision, WorkersWhoAreDoneTakeWhatALateOneHasLeft) {
  const std::vector<std::uint32_t> rows{6912};
  const auto pool = ThreadPool::create(2);
  ASSERT_TRUE(pool);
  LinearDivision division(plan_of(rows), 2);
  division.open();
  std::size_t left = 0;
  std::atomic<bool> done{false};
  (*pool)->run([&](ThreadPool::Worker& worker) {
    while (worker.index() == 0 && !done) std::this_thread::yield();
    division.for_rows(1, worker, [&](const Slice& slice) {
      if (worker.index() == 0) left += slice.end - slice.begin;
    });
    if (worker.index() == 1) done = true;
  });
  EXPECT_EQ(left, LinearDivision::kPieceRows);
}

TEST(LinearDivision, BytesAreThoseOfItsPiecesAndOfAllOperations) {
  static_assert(sizeof(OpenCalls) == 64);
  EXPECT_EQ(LinearDivision::bytes(plan_of({64, 65, 6912}), 5), 6 * 4 + 3 * (8 + 5 * 64));
  EXPECT_EQ(LinearDivision::bytes(plan_of({}), 5), 0u);
}

}  // namespace
}  // namespace tern::backend
