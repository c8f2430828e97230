#include "core/read_ahead.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "support/resident.h"

namespace tern {
namespace {

using namespace std::chrono_literals;
using Part = ReadAhead::Part;

constexpr std::size_t kMiB = std::size_t{1} << 20;

// What was asked to be read, and a gate before which each reading waits.
class Reader {
 public:
  bool operator()(Part part) {
    std::unique_lock lock(mutex_);
    asked_.push_back(part);
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    return able_;
  }
  void set_open(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }
  void set_unable() { able_ = false; }
  // Once so many bytes were asked for, and a little later: more would be too many.
  std::vector<Part> asked(std::size_t bytes) {
    std::unique_lock lock(mutex_);
    const auto sum = [&] {
      return std::accumulate(asked_.begin(), asked_.end(), std::size_t{0},
                             [](std::size_t n, const Part& part) { return n + part.size(); });
    };
    EXPECT_TRUE(changed_.wait_for(lock, 20s, [&] { return sum() >= bytes; }));
    changed_.wait_for(lock, 20ms, [&] { return sum() > bytes; });
    EXPECT_EQ(sum(), bytes);
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Part> asked_;
  bool open_ = true;
  bool able_ = true;
};

// Parts that lie in another order than they are worked on.
class ReadAheadTest : public ::testing::Test {
 protected:
  std::unique_ptr<ReadAhead> ahead_by(std::size_t bytes) {
    return std::make_unique<ReadAhead>(parts_, bytes, [this](Part part) { return reader_(part); });
  }
  static void expect_same(const std::vector<Part>& found, const std::vector<Part>& expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].data(), expected[i].data()) << i;
      EXPECT_EQ(found[i].size(), expected[i].size()) << i;
    }
  }

  // Ends the part while its reading waits at the gate, then opens that.
  void expect_to_wait(ReadAhead& ahead, std::size_t part) {
    std::atomic<bool> ended = false;
    std::thread worker([&] {
      ahead.end(part);
      ended = true;
    });
    std::this_thread::sleep_for(20ms);
    EXPECT_FALSE(ended);
    reader_.set_open(true);
    worker.join();
  }

  std::vector<std::byte> memory_ = std::vector<std::byte>(8 * kMiB);
  Part all_{memory_};
  Part first_ = all_.subspan(4 * kMiB, 2 * kMiB + 100);
  Part second_ = all_.subspan(1000, 50);
  Part third_ = all_.subspan(2 * kMiB, kMiB + 7);
  std::vector<Part> parts_{first_, second_, third_};
  Reader reader_;
};

TEST_F(ReadAheadTest, ReadsInTheOrderGivenAndNoByteTwice) {
  const auto ahead = ahead_by(100);
  ahead->begin(0);
  const std::vector<Part> until_third = {first_.first(kMiB), first_.subspan(kMiB, kMiB),
                                         first_.last(100), second_, third_.first(50)};
  expect_same(reader_.asked(first_.size() + 100), until_third);
  ahead->end(0);
  ahead->begin(1);
  std::vector<Part> expected = until_third;
  expected.push_back(third_.subspan(50, 50));
  expect_same(reader_.asked(first_.size() + 50 + 100), expected);
  ahead->end(1);
  ahead->begin(2);
  expected.push_back(third_.subspan(100));
  expect_same(reader_.asked(first_.size() + 50 + third_.size()), expected);
}

TEST_F(ReadAheadTest, LeavesOutWhatWasNotBegun) {
  const auto ahead = ahead_by(0);
  ahead->begin(1);
  expect_same(reader_.asked(50), {second_});
  ahead->end(1);
  ahead->begin(2);
  expect_same(reader_.asked(50 + third_.size()),
              {second_, third_.first(kMiB), third_.subspan(kMiB)});
}

TEST_F(ReadAheadTest, AfterTheEndOfAPartNoneOfItIsRead) {
  reader_.set_open(false);
  const auto ahead = ahead_by(1);
  ahead->begin(0);
  static_cast<void>(reader_.asked(kMiB));
  expect_to_wait(*ahead, 0);
  expect_same(reader_.asked(kMiB + 1), {first_.first(kMiB), second_.first(1)});
}

// The last step of a part, too.
TEST_F(ReadAheadTest, TheEndOfAPartWaitsForWhatIsRead) {
  reader_.set_open(false);
  const auto ahead = ahead_by(0);
  ahead->begin(1);
  static_cast<void>(reader_.asked(second_.size()));
  expect_to_wait(*ahead, 1);
}

TEST_F(ReadAheadTest, TheEndOfAPartDoesNotWaitForOthers) {
  const auto ahead = ahead_by(50);
  ahead->begin(0);
  static_cast<void>(reader_.asked(first_.size() + 50));
  reader_.set_open(false);
  ahead->begin(1);
  static_cast<void>(reader_.asked(first_.size() + 100));
  ahead->end(0);  // while the third is being read
  ahead->end(1);
  reader_.set_open(true);
}

TEST_F(ReadAheadTest, AsksNoMoreWhereNothingCanBeRead) {
  reader_.set_unable();
  const auto ahead = ahead_by(100);
  ahead->begin(0);
  static_cast<void>(reader_.asked(kMiB));
  ahead->begin(1);
  ahead->end(1);
  ahead->begin(2);
  expect_same(reader_.asked(kMiB), {first_.first(kMiB)});
}

TEST_F(ReadAheadTest, EndsWithoutHavingBegunAndWhileItReads) {
  ahead_by(100)->end(2);
  ahead_by(100).reset();
  for (int i = 0; i < 100; ++i) ahead_by(100)->begin(0);
}

TEST(ReadAheadPopulate, BringsPagesIntoMemory) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t bytes = 64 * page;
  void* const found = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(found, MAP_FAILED);
  const Part pages(static_cast<const std::byte*>(found), bytes);
  // Linux from 5.14 on can, and no emulation of it.
  const bool taken = ::madvise(found, page, MADV_POPULATE_READ) == 0;
  const bool able = taken && test::resident_bytes(pages) == page;
  EXPECT_EQ(ReadAhead::populate(pages.subspan(8 * page + 5, 16 * page)), taken);
  EXPECT_EQ(test::resident_bytes(pages.subspan(8 * page, 17 * page)), able ? 17 * page : 0);
  EXPECT_EQ(test::resident_bytes(pages), able ? 18 * page : 0);
  ::munmap(found, bytes);
}

}  // namespace
}  // namespace tern
