// Attention on plans made by hand: many heads, several sequences, chunks and batches, against the
// formula in doubles; and the same bits for a row by itself as among others.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/workspace.h"
#include "backend/tensors.h"
#include "core/cpu_features.h"
#include "core/float16.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using format::KvType;
using test::must;
using test::normals;

struct Heads {
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t dim;
};

// Queries, keys and values of tokens, and the plan that stores the latter and attends.
class Attention {
 public:
  Attention(CpuBackend& backend, const Heads& heads, std::size_t tokens)
      : backend_(backend),
        heads_(heads),
        q_(normals(tokens * heads.heads * heads.dim, 1)),
        k_(normals(tokens * heads.kv_heads * heads.dim, 2)),
        v_(normals(tokens * heads.kv_heads * heads.dim, 3)) {}

  // To be called once queries are as the test wants them.
  void make_plan() {
    const std::uint32_t width = heads_.heads * heads_.dim, kv_width = heads_.kv_heads * heads_.dim;
    plan_.slots = {{width, false}, {kv_width, false}, {kv_width, false}, {width, false}};
    embed(0, width, q_);
    embed(1, kv_width, k_);
    embed(2, kv_width, v_);
    plan_.ops.push_back({.code = OpCode::kStoreKv, .in = 1, .in2 = 2, .layer = 1});
    plan_.ops.push_back({.code = OpCode::kAttention, .in = 0, .out = 3, .layer = 1});
    plan_.layers = 2;
    plan_.heads = heads_.heads;
    plan_.kv_heads = heads_.kv_heads;
    plan_.head_dim = heads_.dim;
    plan_.rope_frequencies.assign(heads_.dim / 2, 1.0);
  }

  // With the outputs as queries.
  void attend_twice() {
    plan_.slots.push_back(plan_.slots[3]);
    plan_.ops.push_back(plan_.ops.back());
    (plan_.ops.end() - 2)->out = plan_.ops.back().in = 4;
  }

  // The outputs of all rows, one after the other.
  Result<std::vector<float>> run(const std::vector<BatchRow>& rows, bool attend = true) {
    Plan plan = plan_;
    while (!attend && plan.ops.back().code == OpCode::kAttention) plan.ops.pop_back();
    const auto workspace =
        must(backend_.make_workspace(plan, static_cast<std::uint32_t>(rows.size())));
    TERN_TRY(backend_.submit(plan, {rows}, *workspace));
    const auto& memory = static_cast<const CpuWorkspace&>(*workspace);
    const float* const first = memory.slots(rows.size() == 1, 0).row(3, 0);
    return std::vector<float>(first, first + rows.size() * width());
  }

  // Of the sequence whose positions hold the tokens from `first` on.
  std::vector<double> expected(std::size_t first, std::size_t position) const {
    std::vector<double> out(width());
    for (std::size_t head = 0; head < heads_.heads; ++head) {
      const std::size_t kv_head = head / (heads_.heads / heads_.kv_heads);
      const auto at = [&](std::size_t token) {
        return ((first + token) * heads_.kv_heads + kv_head) * heads_.dim;
      };
      const float* q = &q_[(first + position) * width() + head * heads_.dim];
      double sum = 0.0;
      for (std::size_t token = 0; token <= position; ++token) {
        double score = 0.0;
        for (std::size_t d = 0; d < heads_.dim; ++d) score += q[d] * rounded(k_[at(token) + d]);
        const double weight = std::exp(score / std::sqrt(static_cast<double>(heads_.dim)));
        sum += weight;
        for (std::size_t d = 0; d < heads_.dim; ++d) {
          out[head * heads_.dim + d] += weight * rounded(v_[at(token) + d]);
        }
      }
      for (std::size_t d = 0; d < heads_.dim; ++d) out[head * heads_.dim + d] /= sum;
    }
    return out;
  }

  std::size_t width() const { return std::size_t{heads_.heads} * heads_.dim; }

  CpuBackend& backend_;
  Heads heads_;
  std::vector<float> q_, k_, v_;
  std::vector<test::OwnedTensor> tables_;
  Plan plan_;

 private:
  static double rounded(float value) { return f16_to_f32(f32_to_f16(value)); }
  void embed(SlotId slot, std::size_t columns, const std::vector<float>& values) {
    tables_.push_back(
        test::make_floats("token_embd.weight", {columns, values.size() / columns}, values));
    const WeightId weight = must(backend_.load_matrix(tables_.back().tensor));
    plan_.ops.push_back({.code = OpCode::kEmbed, .out = slot, .weight = weight});
  }
};

// A sequence of `tokens` tokens, those of the plan from `first` on.
std::vector<BatchRow> rows_of(std::size_t first, std::uint32_t tokens, KvCache& cache) {
  must(cache.reserve(tokens));
  std::vector<BatchRow> rows;
  for (std::uint32_t i = 0; i < tokens; ++i) {
    rows.push_back({static_cast<std::int32_t>(first + i), i, &cache});
  }
  return rows;
}

// A sequence whose keys and values are stored, in a pool of its own.
struct Stored {
  Stored(Attention& attention, KvType type, std::uint32_t tokens)
      : pool(attention.backend_.make_pool(attention.plan_, type, KvPool::pages_for(tokens))),
        cache(pool->make_cache()),
        rows(rows_of(0, tokens, *cache)) {
    must(attention.run(rows, false));
  }

  std::unique_ptr<KvPool> pool;
  std::unique_ptr<KvCache> cache;
  std::vector<BatchRow> rows;
};

class CpuAttentionTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  CpuAttentionTest() : backend_(kernels::best_table(detect_cpu_features()), GetParam()) {}

  CpuBackend backend_;
};

void expect_near(const float* found, const std::vector<double>& expected, double tolerance) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(found[i], expected[i], tolerance) << "output " << i;
  }
}

// Query heads that share a KV head fewer than a kernel takes at once, as many rows of them, or
// more.
TEST_P(CpuAttentionTest, OfTwoSequencesInOneBatch) {
  constexpr std::uint32_t kLong = 520, kShort = 5;
  for (const Heads heads : {Heads{6, 2, 10}, Heads{80, 2, 4}, Heads{3, 3, 6}}) {
    Attention attention(backend_, heads, kLong + kShort);
    attention.make_plan();
    for (const KvType type : {KvType::kF16, KvType::kInt8}) {
      const auto pool = backend_.make_pool(attention.plan_, type, 18);
      const auto first = pool->make_cache();
      const auto second = pool->make_cache();
      auto rows = rows_of(0, kLong, *first);
      const auto more = rows_of(kLong, kShort, *second);
      rows.insert(rows.end(), more.begin(), more.end());
      const auto found = must(attention.run(rows));
      const double tolerance = type == KvType::kF16 ? 1e-5 : 0.1;
      for (const std::size_t row : {0u, 1u, 100u, 255u, 256u, 511u, 512u, 519u, 520u, 524u}) {
        const std::size_t begin = row < kLong ? 0 : kLong;
        const float* const outputs = &found[row * attention.width()];
        expect_near(outputs, attention.expected(begin, row - begin), tolerance);
        const auto alone = must(attention.run({rows[row]}));
        ASSERT_TRUE(std::equal(alone.begin(), alone.end(), outputs)) << row;
      }
      // Rows that a worker takes together and of which only the later ones see the second chunk.
      const auto astride = must(attention.run({rows.begin() + 251, rows.begin() + 263}));
      ASSERT_TRUE(
          std::equal(astride.begin(), astride.end(), found.begin() + 251 * attention.width()));
    }
  }
}

// Chunks of one row on all workers: the states of all must meet.
TEST_P(CpuAttentionTest, OfOneRowOverManyChunks) {
  constexpr std::uint32_t kKeys = 34 * 256 + 3;
  Attention attention(backend_, {6, 2, 4}, kKeys);
  attention.make_plan();
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    const Stored stored(attention, type, kKeys);
    const auto& rows = stored.rows;
    const auto first = must(attention.run({rows.back()}));
    expect_near(first.data(), attention.expected(0, kKeys - 1), type == KvType::kF16 ? 1e-5 : 0.02);
    for (int again = 0; again < 20; ++again) ASSERT_EQ(must(attention.run({rows.back()})), first);
  }
}

// Of two workers each keeps nearly as many states as it has room for.
TEST(CpuAttention, OfAsManyChunksAsThereIsRoomFor) {
  constexpr std::uint32_t kKeys = 500 * 256;
  CpuBackend backend(kernels::best_table(detect_cpu_features()), 2);
  Attention attention(backend, {1, 1, 4}, kKeys);
  attention.make_plan();
  const Stored stored(attention, KvType::kF16, kKeys);
  const auto found = must(attention.run({stored.rows.back()}));
  expect_near(found.data(), attention.expected(0, kKeys - 1), 1e-5);
}

// A long sequence between short ones, in a step of few rows: all workers share its keys.
TEST_P(CpuAttentionTest, OfFewRowsOfWhichOneIsLong) {
  constexpr std::uint32_t kShort = 40;
  // Just in a chunk, which the row before does not see; a whole page of it; neither.
  constexpr std::uint32_t kLongs[] = {9 * 256 + 1, 9 * 256 + 32, 9 * 256 + 7};
  for (const std::uint32_t many : kLongs) {
    const Heads heads = many == kLongs[2] ? Heads{6, 2, 10} : Heads{3, 3, 6};
    Attention attention(backend_, heads, many + kShort);
    attention.make_plan();
    for (const KvType type : {KvType::kF16, KvType::kInt8}) {
      const auto pool = backend_.make_pool(attention.plan_, type, KvPool::pages_for(many) + 4);
      const auto long_one = pool->make_cache();
      const auto short_one = pool->make_cache();
      const auto long_rows = rows_of(0, many, *long_one);
      const auto short_rows = rows_of(many, kShort, *short_one);
      must(attention.run(long_rows, false));
      must(attention.run(short_rows, false));
      const std::vector<BatchRow> few{short_rows[20], long_rows[many - 2], long_rows[many - 1]};
      const auto found = must(attention.run(few));
      const double tolerance = type == KvType::kF16 ? 1e-5 : 0.1;
      expect_near(&found[2 * attention.width()], attention.expected(0, many - 1), tolerance);
      for (std::size_t row = 0; row < few.size(); ++row) {
        const auto alone = must(attention.run({few[row]}));
        ASSERT_TRUE(std::equal(alone.begin(), alone.end(), found.begin() + row * attention.width()))
            << row;
      }
    }
  }
}

// Two rows that are taken together, and of which the later one sees a chunk more, in the middle of
// what two workers share.
TEST_P(CpuAttentionTest, OfRowsOfWhichSomeSeeAChunkMore) {
  constexpr std::uint32_t kKeys = 9 * 256 + 3;
  Attention attention(backend_, {3, 3, 6}, kKeys);
  // Scores below 0, so that the state of no key would count.
  for (float& q : attention.q_) q = -std::abs(q);
  for (float& k : attention.k_) k = std::abs(k);
  attention.make_plan();
  for (const KvType type : {KvType::kF16, KvType::kInt8}) {
    const Stored stored(attention, type, kKeys);
    const auto& rows = stored.rows;
    const std::vector<BatchRow> last(rows.end() - 6, rows.end());
    const auto found = must(attention.run(last));
    for (std::size_t row = 0; row < last.size(); ++row) {
      const auto alone = must(attention.run({last[row]}));
      ASSERT_TRUE(std::equal(alone.begin(), alone.end(), found.begin() + row * attention.width()))
          << row;
    }
  }
}

// Threads that are slow, and calls that they make none the less.
std::atomic<bool> first_is_slow, others_are_slow;
std::thread::id first_thread;
std::atomic<int> slow_calls;

void be_slow() {
  const bool first = std::this_thread::get_id() == first_thread;
  if (!(first ? first_is_slow : others_are_slow)) return;
  ++slow_calls;
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

void slow_attention(const kernels::AttentionQuery* queries, std::size_t count, float scale,
                    const kernels::KeyValueChunk& kv, kernels::AttentionState* parts) {
  be_slow();
  kernels::best_table(detect_cpu_features()).attention_chunk(queries, count, scale, kv, parts);
}

void slow_attention_int8(const kernels::Int8Query* queries, std::size_t count, float scale,
                         const kernels::Int8Chunk& kv, kernels::AttentionState* parts) {
  be_slow();
  kernels::best_table(detect_cpu_features()).attention_chunk_int8(queries, count, scale, kv, parts);
}

// Whoever is done takes calls of a worker who is late, and the bits stay.
TEST(CpuAttention, OfWorkersWhoAreLate) {
  constexpr std::uint32_t kKeys = 20 * 256 + 3;
  constexpr int kCalls = 2 * 21 * 2;  // twice, of the two KV heads
  first_thread = std::this_thread::get_id();
  kernels::KernelTable table = kernels::best_table(detect_cpu_features());
  table.attention_chunk = slow_attention;
  table.attention_chunk_int8 = slow_attention_int8;
  for (const std::uint32_t threads : {2u, 3u}) {
    CpuBackend backend(table, threads);
    Attention attention(backend, {6, 2, 4}, kKeys);
    attention.make_plan();
    attention.attend_twice();
    for (const KvType type : {KvType::kF16, KvType::kInt8}) {
      first_is_slow = others_are_slow = false;
      const Stored stored(attention, type, kKeys);
      const std::vector<BatchRow> last{stored.rows.back()};
      const auto expected = must(attention.run(last));
      for (const bool first : {true, false}) {
        first_is_slow = first;
        others_are_slow = !first;
        slow_calls = 0;
        EXPECT_EQ(must(attention.run(last)), expected);
        const int slow = first ? 1 : static_cast<int>(threads) - 1;
        const int share = slow * kCalls / static_cast<int>(threads);
        EXPECT_GE(slow_calls, slow);
        EXPECT_LE(slow_calls, share / 2) << threads << " threads, the first is slow: " << first;
      }
    }
  }
}

TEST_P(CpuAttentionTest, NamesTheFirstRowWhoseQueryIsNoNumber) {
  Attention attention(backend_, {3, 3, 6}, 8);
  for (const std::size_t row : {2u, 3u, 4u}) {
    attention.q_[row * attention.width() + 7] = std::numeric_limits<float>::infinity();
  }
  attention.make_plan();
  const auto pool = backend_.make_pool(attention.plan_, KvType::kInt8, 1);
  const auto cache = pool->make_cache();
  const auto outcome = attention.run(rows_of(0, 8, *cache));
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().to_string(),
            "layer 1, position 2: an activation is a NaN or an infinity");
}

INSTANTIATE_TEST_SUITE_P(Threads, CpuAttentionTest, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace tern::backend
