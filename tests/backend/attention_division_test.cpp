// Which worker computes what of attention: everything once, in equal shares.
#include "backend/cpu/attention_division.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

namespace tern::backend {
namespace {

constexpr std::size_t kMuchRoom = 1u << 20;

struct NoCache final : KvCache {
  Result<void> reserve(std::uint32_t) override { return {}; }
  std::uint32_t pages() const override { return 0; }
  Result<void> fill(std::uint32_t) override { return {}; }
};

// A step in which sequence i gets a token behind keys[i] - 1 others, for any number of rows.
class Step {
 public:
  explicit Step(const std::vector<std::uint32_t>& keys, std::uint32_t rows_each = 1) {
    for (const std::uint32_t count : keys) {
      caches_.push_back(std::make_unique<NoCache>());
      for (std::uint32_t r = rows_each; r > 0; --r) {
        rows_.push_back({0, count - r, caches_.back().get()});
      }
    }
  }
  const std::vector<BatchRow>& rows() const { return rows_; }

 private:
  std::vector<std::unique_ptr<NoCache>> caches_;
  std::vector<BatchRow> rows_;
};

Plan plan_of(std::uint32_t heads, std::uint32_t kv_heads) {
  Plan plan;
  plan.heads = heads;
  plan.kv_heads = kv_heads;
  return plan;
}

std::uint64_t keys_of(const AttentionSection& section) {
  const AttentionUnit& unit = section.unit;
  std::uint64_t keys = 0;
  for (std::size_t call = section.begin; call < section.end; ++call) {
    const std::size_t before = call / unit.calls_a_chunk() * kernels::kChunkKeys;
    keys += unit.call_queries() * std::min(kernels::kChunkKeys, unit.keys - before);
  }
  return keys;
}

// How many keys, counted for each query, each worker takes. Every chunk that a query sees is taken
// once, in its order, and units that workers share are listed.
std::vector<std::uint64_t> shares(const Plan& plan, const Step& step, std::uint32_t workers,
                                  std::size_t kept = kMuchRoom) {
  AttentionDivision division;
  division.divide(plan, step.rows(), workers, kept);
  std::vector<std::uint64_t> taken(workers);
  std::vector<std::size_t> chunks(step.rows().size() * plan.heads);  // of each query, done so far
  std::size_t shared = 0;
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    for (const AttentionSection& section : division.sections(worker)) {
      EXPECT_EQ(section.worker, worker);
      EXPECT_LT(section.begin, section.end);
      const AttentionUnit& unit = section.unit;
      EXPECT_LE(unit.call_queries(), kernels::kCallQueries);
      const std::size_t spanned =
          (section.end - 1) / unit.calls_a_chunk() - section.begin / unit.calls_a_chunk() + 1;
      if (section.begin > 0) {
        EXPECT_LE(unit.queries() * spanned, kept);
        ++shared;
      }
      taken[worker] += keys_of(section);
      for (std::size_t call = section.begin; call < section.end; ++call) {
        const std::uint32_t head =
            unit.first_head +
            static_cast<std::uint32_t>(call % unit.calls_a_chunk()) * unit.call_heads;
        const std::uint32_t sharing = plan.heads / plan.kv_heads;
        EXPECT_EQ(head / sharing, (head + unit.call_heads - 1) / sharing);
        for (std::size_t row = unit.rows.begin; row < unit.rows.end; ++row) {
          for (std::uint32_t i = 0; i < unit.call_heads; ++i) {
            std::size_t& done = chunks[row * plan.heads + head + i];
            EXPECT_EQ(done, call / unit.calls_a_chunk()) << "row " << row << ", head " << head + i;
            ++done;
          }
        }
      }
    }
  }
  std::size_t listed = 0;
  std::set<std::uint32_t> open;
  std::set<std::uint32_t> keeping;  // workers with states of a section that is not folded at once
  for (std::size_t unit = 0; unit < division.shared_units(); ++unit) {
    for (const AttentionSection& section : division.shared(unit)) {
      // What others take of it would be kept where its worker keeps what is its own.
      const bool closed = section.begin == 0 && keeping.count(section.worker) > 0;
      EXPECT_EQ(section.open == AttentionSection::kClosed, closed);
      if (section.begin > 0) keeping.insert(section.worker);
      if (closed) continue;
      EXPECT_TRUE(open.insert(section.open).second);
      EXPECT_LT(section.open, 2 * workers);
      const auto last = division.open_calls(section).take_last();
      EXPECT_EQ(last ? last->end : section.begin + 1, section.end);
      EXPECT_EQ(division.open_calls(section).take_first(), section.begin);
    }
    EXPECT_GT(division.shared(unit).size(), 1u);
    EXPECT_EQ(division.shared(unit).front().begin, 0u);
    EXPECT_EQ(division.shared(unit).back().end, division.shared(unit)[0].unit.calls());
    listed += division.shared(unit).size() - 1;
  }
  EXPECT_EQ(listed, shared);
  for (std::size_t row = 0; row < step.rows().size(); ++row) {
    for (std::uint32_t head = 0; head < plan.heads; ++head) {
      const std::size_t seen = step.rows()[row].position / kernels::kChunkKeys + 1;
      EXPECT_GE(chunks[row * plan.heads + head], seen) << row << ", " << head;
    }
  }
  return taken;
}

// No worker has more than an even share and a chunk of a unit at either end.
void expect_even(const std::vector<std::uint64_t>& taken, std::uint64_t queries) {
  std::uint64_t total = 0;
  for (const std::uint64_t keys : taken) total += keys;
  for (const std::uint64_t keys : taken) {
    EXPECT_LE(keys, total / taken.size() + 2 * queries * kernels::kChunkKeys);
  }
}

TEST(AttentionDivision, OneLongRowIsSharedByAll) {
  for (const std::uint32_t workers : {1u, 2u, 3u, 5u, 7u, 16u}) {
    expect_even(shares(plan_of(20, 5), Step({32768}), workers), 4);
    expect_even(shares(plan_of(80, 2), Step({5000}), workers), 32);
  }
}

TEST(AttentionDivision, OneLongSequenceAmongFewIsSharedByAll) {
  for (const std::uint32_t workers : {2u, 3u, 8u}) {
    expect_even(shares(plan_of(20, 5), Step({40, 32768, 300}), workers), 4);
    expect_even(shares(plan_of(6, 6), Step({40, 32768, 300}, 3), workers), 3);
  }
}

TEST(AttentionDivision, ManyRowsOfManySequences) {
  for (const std::uint32_t workers : {1u, 2u, 8u}) {
    expect_even(shares(plan_of(20, 5), Step({900, 700, 800, 1200, 500, 600, 300, 256}, 8), workers),
                32);
  }
}

// A single chunk is divided by its query heads.
TEST(AttentionDivision, OneShortRowIsDividedByHeads) {
  EXPECT_EQ(shares(plan_of(20, 5), Step({100}), 2), (std::vector<std::uint64_t>{1000, 1000}));
  EXPECT_EQ(shares(plan_of(6, 2), Step({9}), 3), (std::vector<std::uint64_t>{18, 18, 18}));
  EXPECT_EQ(shares(plan_of(2, 1), Step({1}), 5).size(), 5u);
}

TEST(AttentionDivision, EqualUnitsAreNotCut) {
  EXPECT_EQ(shares(plan_of(20, 5), Step({300, 300}), 2), (std::vector<std::uint64_t>{6000, 6000}));
}

// The lists have room for the most units and cuts there can be.
TEST(AttentionDivision, DividesWithoutNewMemory) {
  const Plan plan = plan_of(66, 1);
  const Step step({32768});
  AttentionDivision division(plan, 1, 3);
  division.divide(plan, Step({1}).rows(), 3, kMuchRoom);
  const AttentionSection* place = division.sections(0).data();
  division.divide(plan, step.rows(), 3, kMuchRoom);
  EXPECT_EQ(division.sections(0).data(), place);
  const OpenCalls* open = &division.open_calls(division.shared(0)[0]);
  division.divide(plan, step.rows(), 3, kMuchRoom);
  EXPECT_EQ(&division.open_calls(division.shared(0)[0]), open);
}

// Three calls a row, and one, and a share more for each worker.
TEST(AttentionDivision, BytesAreThoseOfTheLists) {
  const auto bytes = [](std::size_t units) {
    return units * sizeof(AttentionUnit) + (units + 3) * sizeof(AttentionSection) +
           4 * sizeof(std::size_t) + 3 * sizeof(Slice) + 6 * sizeof(OpenCalls);
  };
  EXPECT_EQ(AttentionDivision::bytes(plan_of(66, 1), 2, 3), bytes(2 * 3 + 3));
  EXPECT_EQ(AttentionDivision::bytes(plan_of(64, 2), 2, 3), bytes(2 * 2 + 3));
}

// Eight rows of four heads are what a call takes: five runs of rows, each with five units.
TEST(AttentionDivision, RowsOfASequenceShareCalls) {
  const Step step({900}, 40);
  AttentionDivision division;
  division.divide(plan_of(20, 5), step.rows(), 1, kMuchRoom);
  EXPECT_EQ(division.sections(0).size(), 25u);
  EXPECT_EQ(shares(plan_of(20, 5), step, 1).size(), 1u);
}

// Where the states of a part of a unit have no room, a unit stays whole.
TEST(AttentionDivision, WithoutRoomUnitsStayWhole) {
  constexpr std::size_t kRoom = 320;
  EXPECT_EQ(shares(plan_of(20, 5), Step({32768}), 2, kRoom),
            (std::vector<std::uint64_t>{20 * 32768, 0}));
  expect_even(shares(plan_of(20, 5), Step({4096}), 2, kRoom), 4);
  // Whose half has no room, with what rounding adds; and one that just has room.
  EXPECT_EQ(shares(plan_of(20, 5), Step({8448}), 2, kRoom),
            (std::vector<std::uint64_t>{20 * 8448, 0}));
  EXPECT_EQ(shares(plan_of(20, 5), Step({4096, 4096, 4096}), 2, kRoom),
            (std::vector<std::uint64_t>{30 * 4096, 30 * 4096}));
  // Just as many heads share keys and values as a call takes.
  EXPECT_EQ(shares(plan_of(64, 2), Step({32768}), 2, kRoom),
            (std::vector<std::uint64_t>{64 * 32768, 0}));
  // Rows of more heads than a call takes have a unit each call.
  EXPECT_EQ(shares(plan_of(66, 1), Step({32768}), 2, kRoom),
            (std::vector<std::uint64_t>{32 * 32768, 34 * 32768}));
  // Who has half of the second has all of it, and none of the third.
  EXPECT_EQ(shares(plan_of(96, 1), Step({32768}), 2, kRoom),
            (std::vector<std::uint64_t>{64 * 32768, 32 * 32768}));
}

}  // namespace
}  // namespace tern::backend
