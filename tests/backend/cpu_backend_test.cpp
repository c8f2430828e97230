// The CPU backend on plans made by hand: what it computes, and how it fails.
#include "backend/cpu/cpu_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/kv_cache.h"
#include "backend/cpu/workspace.h"
#include "backend/tensors.h"
#include "core/cpu_features.h"
#include "core/float16.h"
#include "kernels/registry.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace tern::backend {
namespace {

using test::make_floats;
using test::make_ternary;
using test::must;
using test::random_trits;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// `values` for each row in turn, as a matrix of `columns`.
test::OwnedTensor table_of(std::uint64_t columns, const std::vector<float>& values) {
  return make_floats("token_embd.weight", {columns, values.size() / columns}, values);
}

class CpuBackendTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  CpuBackendTest() : backend_(kernels::best_table(detect_cpu_features()), GetParam()) {}

  // Row i of the batch is token i at position first + i of one sequence.
  Result<void> submit(const Plan& plan, std::uint32_t rows, std::uint32_t first = 0) {
    if (!cache_) {
      pool_ = backend_.make_pool(plan, kv_type_, 512);
      cache_ = pool_->make_cache();
    }
    must(cache_->reserve(first + rows));
    workspace_ = must(backend_.make_workspace(plan, rows));
    rows_.clear();
    for (std::uint32_t i = 0; i < rows; ++i) {
      rows_.push_back({static_cast<std::int32_t>(i), first + i, cache_.get()});
    }
    return backend_.submit(plan, {rows_, wanted_}, *workspace_);
  }
  // As the last worker sees them.
  const Slots& slots() {
    return static_cast<CpuWorkspace&>(*workspace_).slots(rows_.size() == 1, GetParam() - 1);
  }
  CpuKvCache& cache() { return static_cast<CpuKvCache&>(*cache_); }

  CpuBackend backend_;
  format::KvType kv_type_ = format::KvType::kF16;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Workspace> workspace_;
  std::vector<BatchRow> rows_;
  std::vector<LogitQuery> wanted_;
};

TEST_P(CpuBackendTest, SaysWhatItIs) {
  EXPECT_EQ(backend_.name(), "cpu");
  EXPECT_EQ(backend_.tier(), kernels::best_table(detect_cpu_features()).name);
  EXPECT_EQ(backend_.threads(), GetParam());
  EXPECT_TRUE(backend_.supports({.code = OpCode::kEmbed}));
  EXPECT_TRUE(backend_.supports({.code = OpCode::kHead}));
  const auto next = static_cast<OpCode>(static_cast<int>(OpCode::kHead) + 1);
  EXPECT_FALSE(backend_.supports({.code = next}));
}

// Rows of `hidden` are embedded and quantised in layer 7; their doubles are quantised in layer 8.
Plan quantize_plan(std::uint32_t hidden, WeightId table) {
  Plan plan;
  plan.slots = {{hidden, false}, {hidden, true}, {hidden, false}, {hidden, true}};
  plan.ops = {{.code = OpCode::kEmbed, .out = 0, .weight = table},
              {.code = OpCode::kEmbed, .out = 2, .weight = table},
              {.code = OpCode::kQuantize, .in = 0, .out = 1, .layer = 7},
              {.code = OpCode::kAdd, .in = 0, .out = 2, .layer = 7},
              {.code = OpCode::kQuantize, .in = 2, .out = 3, .layer = 8}};
  plan.layers = 9;
  plan.heads = plan.kv_heads = 1;
  plan.head_dim = 2;
  plan.rope_frequencies = {1.0};
  return plan;
}

TEST_P(CpuBackendTest, NonFiniteActivationsNameLayerAndPosition) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    std::vector<float> values(5 * 8, 1.0f);
    values[3 * 8 + 5] = bad;
    const auto owned = table_of(8, values);
    const Plan plan = quantize_plan(8, must(backend_.load_matrix(owned.tensor)));
    const auto outcome = submit(plan, 5, 100);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kNumeric);
    EXPECT_EQ(outcome.error().to_string(),
              "layer 7, position 103: an activation is a NaN or an infinity");
  }
}

// Every row fails twice, each on its own worker: the first operation and its first row are named.
TEST_P(CpuBackendTest, TheFirstFailureIsNamedWhicheverThreadMeetsIt) {
  const auto owned = table_of(8, std::vector<float>(16 * 8, kNan));
  const Plan plan = quantize_plan(8, must(backend_.load_matrix(owned.tensor)));
  for (int again = 0; again < 20; ++again) {
    const auto outcome = submit(plan, 16, 40);
    ASSERT_FALSE(outcome.ok());
    ASSERT_EQ(outcome.error().context, "layer 7, position 40");
  }
}

// The last row fails in the first operation, all others in a later one.
TEST_P(CpuBackendTest, AnEarlierOperationOutranksAnEarlierRow) {
  constexpr float kLarge = 3e38f;  // finite, and infinite when doubled
  std::vector<float> values(8 * 8, kLarge);
  values[7 * 8] = kNan;
  const auto owned = table_of(8, values);
  const Plan plan = quantize_plan(8, must(backend_.load_matrix(owned.tensor)));
  const auto outcome = submit(plan, 8);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().context, "layer 7, position 7");
}

TEST_P(CpuBackendTest, AFailureDoesNotOutliveItsSubmit) {
  const auto bad = table_of(8, std::vector<float>(2 * 8, kNan));
  const auto good = table_of(8, std::vector<float>(2 * 8, 1.0f));
  EXPECT_FALSE(submit(quantize_plan(8, must(backend_.load_matrix(bad.tensor))), 2).ok());
  EXPECT_TRUE(submit(quantize_plan(8, must(backend_.load_matrix(good.tensor))), 2).ok());
}

TEST_P(CpuBackendTest, FailuresAreThoseOfTheirRowsWhereTheyAreWanted) {
  std::vector<float> values(4 * 8, 1.0f);
  values[1 * 8] = values[3 * 8 + 7] = kNan;
  const auto owned = table_of(8, values);
  const Plan plan = quantize_plan(8, must(backend_.load_matrix(owned.tensor)));
  EXPECT_FALSE(submit(plan, 4, 20).ok());
  std::vector<std::optional<Error>> failures(4);
  must(backend_.submit(plan, {.rows = rows_, .failures = failures}, *workspace_));
  EXPECT_FALSE(failures[0] || failures[2]);
  ASSERT_TRUE(failures[1] && failures[3]);
  EXPECT_EQ(failures[1]->context, "layer 7, position 21");
  EXPECT_EQ(failures[3]->context, "layer 7, position 23");
}

TEST_P(CpuBackendTest, RefusesBatchesThatItHasNoRoomFor) {
  const auto owned = table_of(8, std::vector<float>(2 * 8, 1.0f));
  Plan plan = quantize_plan(8, must(backend_.load_matrix(owned.tensor)));
  plan.vocab = 4;
  must(submit(plan, 2));
  const auto refused = [&](const Batch& batch, const char* message) {
    const auto outcome = backend_.submit(plan, batch, *workspace_);
    ASSERT_FALSE(outcome.ok()) << message;
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
    EXPECT_EQ(outcome.error().to_string(), message);
  };
  const std::string rows = "batch: expected 1 to 2 rows, and room for as many failures or none, ";
  refused({}, (rows + "found 0 and 0").c_str());
  std::vector<BatchRow> more = rows_;
  more.push_back(rows_[1]);
  refused({more}, (rows + "found 3 and 0").c_str());
  std::vector<std::optional<Error>> failures(1);
  refused({.rows = rows_, .failures = failures}, (rows + "found 2 and 1").c_str());
  std::vector<float> logits(4);
  const char* no_logits = "batch: expected logits of rows of the batch, with room for all";
  std::vector<LogitQuery> wanted{{2, logits}};
  refused({rows_, wanted}, no_logits);
  wanted = {{1, std::span(logits).first(3)}};
  refused({rows_, wanted}, no_logits);
}

// Rows are embedded and stored as keys and values of layer 1.
Plan store_plan(WeightId keys, WeightId values) {
  Plan plan;
  plan.slots = {{8, false}, {8, false}};
  plan.ops = {{.code = OpCode::kEmbed, .out = 0, .weight = keys},
              {.code = OpCode::kEmbed, .out = 1, .weight = values},
              {.code = OpCode::kStoreKv, .in = 0, .in2 = 1, .layer = 1}};
  plan.layers = 2;
  plan.heads = plan.kv_heads = 2;
  plan.head_dim = 4;
  plan.rope_frequencies = {1.0, 0.1};
  return plan;
}

TEST_P(CpuBackendTest, KeysLieByDimensionAndValuesByPosition) {
  std::vector<float> k(40 * 8), v(40 * 8);
  for (std::size_t i = 0; i < k.size(); ++i) {
    k[i] = static_cast<float>(i);
    v[i] = -static_cast<float>(i) - 0.5f;
  }
  const auto keys = table_of(8, k);
  const auto values = table_of(8, v);
  const Plan plan = store_plan(must(backend_.load_matrix(keys.tensor)),
                               must(backend_.load_matrix(values.tensor)));
  must(submit(plan, 40));
  for (std::size_t position = 0; position < 40; ++position) {
    const std::size_t page = position / 32;
    for (std::uint32_t head = 0; head < 2; ++head) {
      for (std::size_t d = 0; d < 4; ++d) {
        const std::size_t at = position * 8 + head * 4 + d;
        const auto lies = cache().f16_page(page, 1, head);
        ASSERT_EQ(lies.keys[d * 32 + position % 32], f32_to_f16(k[at])) << at;
        ASSERT_EQ(lies.values[position % 32 * 16 + d], f32_to_f16(v[at])) << at;
      }
      EXPECT_EQ(cache().f16_page(page, 0, head).keys[position % 32],
                0);  // the other layer is untouched
      for (std::size_t d = 4; d < 16; ++d) {
        EXPECT_EQ(cache().f16_page(page, 1, head).values[position % 32 * 16 + d], 0);  // padding
      }
    }
  }
}

// The same in int8: four dimensions of a key, and four positions of a value, side by side.
TEST_P(CpuBackendTest, Int8KeysAndValuesLieInQuads) {
  kv_type_ = format::KvType::kInt8;
  std::vector<float> k(40 * 8), v(40 * 8);
  for (std::size_t i = 0; i < k.size(); ++i) {
    k[i] = static_cast<float>(i % 7) - 3.0f;
    v[i] = static_cast<float>(i % 11) - 5.0f;
  }
  const auto keys = table_of(8, k);
  const auto values = table_of(8, v);
  const Plan plan = store_plan(must(backend_.load_matrix(keys.tensor)),
                               must(backend_.load_matrix(values.tensor)));
  must(submit(plan, 40));
  for (std::size_t position = 0; position < 40; ++position) {
    const std::size_t slot = position % 32;
    for (std::uint32_t head = 0; head < 2; ++head) {
      const float* key = &k[position * 8 + head * 4];
      const float* value = &v[position * 8 + head * 4];
      const auto largest = [](const float* x) {
        return std::max({std::abs(x[0]), std::abs(x[1]), std::abs(x[2]), std::abs(x[3])});
      };
      const auto page = cache().int8_page(position / 32, 1, head);
      EXPECT_EQ(page.key_scales[slot], largest(key) / 127.0f);
      EXPECT_EQ(page.value_scales[slot], largest(value) / 127.0f);
      for (std::size_t d = 0; d < 4; ++d) {
        ASSERT_EQ(page.keys[slot * 4 + d], std::rint(key[d] * (127.0f / largest(key))));
        ASSERT_EQ(page.values[(slot / 4 * 16 + d) * 4 + slot % 4],
                  std::rint(value[d] * (127.0f / largest(value))));
      }
      EXPECT_EQ(cache().int8_page(position / 32, 0, head).key_scales[slot], 0.0f);
    }
  }
}

TEST_P(CpuBackendTest, Int8RefusesKeysAndValuesThatAreNoNumbers) {
  kv_type_ = format::KvType::kInt8;
  for (const bool in_keys : {true, false}) {
    for (const float bad : {kInfinity, -kInfinity, kNan}) {
      std::vector<float> one(3 * 8, 1.0f);
      std::vector<float> other = one;
      other[1 * 8 + 6] = bad;
      const auto keys = table_of(8, in_keys ? other : one);
      const auto values = table_of(8, in_keys ? one : other);
      const Plan plan = store_plan(must(backend_.load_matrix(keys.tensor)),
                                   must(backend_.load_matrix(values.tensor)));
      const auto outcome = submit(plan, 3);
      ASSERT_FALSE(outcome.ok());
      EXPECT_EQ(outcome.error().code, ErrorCode::kNumeric);
      EXPECT_EQ(outcome.error().to_string(),
                "layer 1, position 1: a key or value is a NaN or an infinity");
    }
  }
}

TEST_P(CpuBackendTest, KeysAndValuesBeyondF16AreRefused) {
  for (const bool in_keys : {true, false}) {
    for (const float bad : {65520.0f, -1e6f, kNan}) {
      std::vector<float> one(3 * 8, 1.0f);
      std::vector<float> other = one;
      other[1 * 8 + 6] = bad;
      const auto keys = table_of(8, in_keys ? other : one);
      const auto values = table_of(8, in_keys ? one : other);
      const Plan plan = store_plan(must(backend_.load_matrix(keys.tensor)),
                                   must(backend_.load_matrix(values.tensor)));
      const auto outcome = submit(plan, 3);
      ASSERT_FALSE(outcome.ok());
      EXPECT_EQ(outcome.error().code, ErrorCode::kNumeric);
      EXPECT_EQ(outcome.error().to_string(),
                "layer 1, position 1: a key or value does not fit into f16, the type of the KV "
                "cache");
    }
  }
}

// Two query heads share a KV head; keys are all alike, so attention is the mean of the values up to
// the row's own position, and never sees a later one.
struct MeanPlan {
  test::OwnedTensor queries, keys, values;
  Plan plan;
};

MeanPlan mean_plan(CpuBackend& backend, std::uint32_t rows, const std::vector<float>& q) {
  std::vector<float> v(rows * 2);
  for (std::uint32_t i = 0; i < rows; ++i) v[2 * i] = v[2 * i + 1] = static_cast<float>(i);
  MeanPlan made{
      table_of(4, q), table_of(2, std::vector<float>(rows * 2, 0.0f)), table_of(2, v), {}};
  Plan& plan = made.plan;
  plan.slots = {{4, false}, {2, false}, {2, false}, {4, false}};
  const auto embed = [&](SlotId slot, const test::OwnedTensor& table) {
    plan.ops.push_back(
        {.code = OpCode::kEmbed, .out = slot, .weight = must(backend.load_matrix(table.tensor))});
  };
  embed(0, made.queries);
  embed(1, made.keys);
  embed(2, made.values);
  plan.ops.push_back({.code = OpCode::kStoreKv, .in = 1, .in2 = 2, .layer = 0});
  plan.ops.push_back({.code = OpCode::kAttention, .in = 0, .out = 3, .layer = 0});
  plan.layers = plan.kv_heads = 1;
  plan.heads = 2;
  plan.head_dim = 2;
  plan.rope_frequencies = {1.0};
  return made;
}

TEST_P(CpuBackendTest, AttentionSeesThePositionsUpToItsOwn) {
  constexpr std::uint32_t kRows = 300;  // more than one chunk of keys
  const MeanPlan mean = mean_plan(backend_, kRows, std::vector<float>(kRows * 4, 1.0f));
  for (const auto type : {format::KvType::kF16, format::KvType::kInt8}) {
    kv_type_ = type;
    cache_.reset();
    must(submit(mean.plan, kRows));
    for (std::uint32_t row = 0; row < kRows; ++row) {
      for (std::size_t i = 0; i < 4; ++i) {
        ASSERT_NEAR(slots().row(3, row)[i], row / 2.0, 1e-4 * kRows) << row;
      }
    }
  }
}

// One row whose chunks are divided among the workers.
TEST_P(CpuBackendTest, AttentionOfOneRowOverManyChunks) {
  constexpr std::uint32_t kKeys = 34 * 256 + 3;
  const MeanPlan mean = mean_plan(backend_, kKeys, std::vector<float>(kKeys * 4, 1.0f));
  for (const auto type : {format::KvType::kF16, format::KvType::kInt8}) {
    kv_type_ = type;
    cache_.reset();
    must(submit(mean.plan, kKeys));
    std::vector<float> expected(slots().row(3, kKeys - 1), slots().row(3, kKeys - 1) + 4);
    rows_ = {{static_cast<std::int32_t>(kKeys - 1), kKeys - 1, cache_.get()}};
    must(backend_.submit(mean.plan, {rows_}, *workspace_));
    EXPECT_NEAR(expected[0], (kKeys - 1) / 2.0, 1e-4 * kKeys);
    EXPECT_EQ(std::vector<float>(slots().row(3, 0), slots().row(3, 0) + 4), expected);
  }
}

// f16 lets a query that is no number pass, to be refused later; int8 cannot.
TEST_P(CpuBackendTest, Int8RefusesQueriesThatAreNoNumbers) {
  kv_type_ = format::KvType::kInt8;
  for (const std::uint32_t rows : {1u, 3u, 300u}) {
    std::vector<float> q(rows * 4, 1.0f);
    q[(rows - 1) * 4 + 2] = kNan;
    const MeanPlan mean = mean_plan(backend_, rows, q);
    const auto outcome = submit(mean.plan, rows);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().to_string(), "layer 0, position " + std::to_string(rows - 1) +
                                               ": an activation is a NaN or an infinity");
  }
}

// Integers small enough that every step is exact; logits of some rows, in the order asked for.
TEST_P(CpuBackendTest, TernaryLinearAndHead) {
  constexpr std::size_t kColumns = 200, kRows = 208, kVocab = 19;  // a slice for each worker
  const auto trits = random_trits(kColumns * kRows, 9);
  const auto weight = make_ternary("w", trits, kColumns, 0.5f);
  std::vector<float> x(3 * kColumns);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(static_cast<int>(i * 37 % 255) - 127);
  }
  for (std::size_t row = 0; row < 3; ++row) x[row * kColumns] = 127.0f;  // codes are x itself
  std::vector<float> head(kVocab * kRows);
  for (std::size_t i = 0; i < head.size(); ++i) head[i] = static_cast<float>(i % 5) - 2.0f;
  const auto table = table_of(kColumns, x);
  const auto head_table = table_of(kRows, head);
  Plan plan;
  plan.slots = {{kColumns, false}, {kColumns, true}, {kRows, false}};
  plan.ops = {
      {.code = OpCode::kEmbed, .out = 0, .weight = must(backend_.load_matrix(table.tensor))},
      {.code = OpCode::kQuantize, .in = 0, .out = 1},
      {.code = OpCode::kTernaryLinear,
       .in = 1,
       .out = 2,
       .weight = must(backend_.load_ternary(weight.tensor))},
      {.code = OpCode::kHead, .in = 2, .weight = must(backend_.load_matrix(head_table.tensor))}};
  plan.layers = plan.heads = plan.kv_heads = 1;
  plan.head_dim = 2;
  plan.vocab = kVocab;
  plan.rope_frequencies = {1.0};
  std::vector<float> logits(2 * kVocab, kNan);
  wanted_ = {{2, std::span(logits).first(kVocab)}, {0, std::span(logits).last(kVocab)}};
  must(submit(plan, 3));
  for (std::size_t i = 0; i < 2; ++i) {
    const std::size_t row = wanted_[i].row;
    std::vector<double> y(kRows);
    for (std::size_t r = 0; r < kRows; ++r) {
      int acc = 0;
      for (std::size_t c = 0; c < kColumns; ++c) {
        acc += trits[r * kColumns + c] * static_cast<int>(x[row * kColumns + c]);
      }
      y[r] = 0.5 * acc;
      ASSERT_EQ(slots().row(2, row)[r], y[r]);
    }
    for (std::size_t token = 0; token < kVocab; ++token) {
      double logit = 0.0;  // exact: small multiples of one half
      for (std::size_t r = 0; r < kRows; ++r) logit += y[r] * head[token * kRows + r];
      ASSERT_EQ(wanted_[i].logits[token], logit) << row << ", " << token;
    }
  }
}

// Rows in the middle of a group, of several tokens.
TEST_P(CpuBackendTest, TernaryRowsAreTheScalarArithmetic) {
  constexpr std::size_t kColumns = 160, kFirst = 29, kRows = 6, kTokens = 3;
  const auto trits = random_trits(kColumns * 48, 4);
  const auto owned = make_ternary("w", trits, kColumns, 0.75f);
  const WeightId id = must(backend_.load_ternary(owned.tensor));
  std::vector<float> x(kTokens * kColumns);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i)) * 3.0f;
  std::vector<float> y(kTokens * kRows, kNan);
  must(backend_.ternary_rows(id, kFirst, kTokens, x, y));
  for (std::size_t t = 0; t < kTokens; ++t) {
    const float* own = &x[t * kColumns];
    float m = 0.0f;
    for (std::size_t c = 0; c < kColumns; ++c) m = std::max(m, std::fabs(own[c]));
    for (std::size_t r = 0; r < kRows; ++r) {
      int acc = 0;
      for (std::size_t c = 0; c < kColumns; ++c) {
        acc +=
            trits[(kFirst + r) * kColumns + c] * static_cast<int>(std::rint(own[c] * (127.0f / m)));
      }
      EXPECT_EQ(y[t * kRows + r], static_cast<float>(acc) * (0.75f * (m / 127.0f)))
          << t << ", " << r;
    }
  }
}

TEST_P(CpuBackendTest, TernaryRowsRefuseNonFiniteInput) {
  const auto owned = make_ternary("w", random_trits(128, 4), 128, 1.0f);
  const WeightId id = must(backend_.load_ternary(owned.tensor));
  std::vector<float> x(128, 1.0f);
  x[127] = kNan;
  std::vector<float> y(1);
  const auto outcome = backend_.ternary_rows(id, 0, 1, x, y);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kNumeric);
  EXPECT_EQ(outcome.error().to_string(), "ternary_rows: the input has a NaN or an infinity");
}

// Refusals of make_*_weight come through, and leave no weight behind.
TEST_P(CpuBackendTest, LoadingRefusesWhatItCannotCompute) {
  const auto floats = make_floats("f", {4, 2}, std::vector<float>(8));
  const auto ternary = make_ternary("t", random_trits(128, 4), 128, 1.0f);
  EXPECT_FALSE(backend_.load_ternary(floats.tensor).ok());
  EXPECT_FALSE(backend_.load_matrix(ternary.tensor).ok());
  EXPECT_FALSE(backend_.load_vector(floats.tensor).ok());
  EXPECT_EQ(must(backend_.load_matrix(floats.tensor)), 0u);
  EXPECT_EQ(must(backend_.load_ternary(ternary.tensor)), 1u);
}

#if defined(__x86_64__)
// A host with flush-to-zero gets the same bits: 2^-130 doubled is kept by submit().
TEST_P(CpuBackendTest, ComputesInTheDefaultFpEnvironment) {
  const float denormal = std::ldexp(1.0f, -130);
  const auto owned = table_of(8, std::vector<float>(4 * 8, denormal));
  const Plan plan = quantize_plan(8, must(backend_.load_matrix(owned.tensor)));
  const unsigned former = _mm_getcsr();
  _mm_setcsr(former | 0x8040u);
  const auto outcome = submit(plan, 4);
  _mm_setcsr(former);
  must(outcome);
  for (std::size_t row = 0; row < 4; ++row) {
    EXPECT_EQ(slots().row(2, row)[3], std::ldexp(1.0f, -129));
  }
}
#endif

INSTANTIATE_TEST_SUITE_P(Threads, CpuBackendTest, ::testing::Values(1, 2, 3, 8));

}  // namespace
}  // namespace tern::backend
