// The search for the largest logits against all logits, on every tier: random heads and heads made
// to mislead the scan.
#include "backend/cpu/head_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "backend/cpu/cpu_backend.h"
#include "backend/tensors.h"
#include "core/cpu_features.h"
#include "core/float16.h"
#include "format/float_blocks.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using format::TensorType;
using test::must;
using test::normals;
using test::OwnedTensor;

std::vector<const kernels::KernelTable*> runnable_tables() {
  std::vector<const kernels::KernelTable*> tables;
  for (const auto* table : kernels::all_tables()) {
    if ((table->required_features & ~detect_cpu_features()) == 0) tables.push_back(table);
  }
  return tables;
}

// A block of 32 values: a factor, then codes of four bits, those of the first half in the low ones.
void pack_q4_0(const float* values, std::byte* to) {
  const std::uint16_t factor = f32_to_f16(0.5f);
  std::memcpy(to, &factor, sizeof factor);
  const auto code = [&](std::size_t i) {
    return static_cast<unsigned>(std::clamp(std::rint(values[i] * 2.0f) + 8.0f, 0.0f, 15.0f));
  };
  for (std::size_t i = 0; i < 16; ++i) to[2 + i] = std::byte(code(i) | code(i + 16) << 4);
}

// `values` rounded to a type.
OwnedTensor head_of(TensorType type, std::size_t columns, const std::vector<float>& values) {
  const std::size_t rows = values.size() / columns;
  const std::size_t row_bytes = format::row_bytes(type, columns);
  std::vector<std::byte> bytes(rows * row_bytes);
  for (std::size_t r = 0; r < rows; ++r) {
    const float* from = &values[r * columns];
    std::byte* to = &bytes[r * row_bytes];
    if (type == TensorType::kF32) std::memcpy(to, from, row_bytes);
    if (type == TensorType::kQ8_0) format::quantize_row_q8_0(from, columns, to);
    for (std::size_t c = 0; c < columns && type != TensorType::kQ8_0; ++c) {
      const std::uint16_t bits =
          type == TensorType::kF16 ? f32_to_f16(from[c]) : f32_to_bf16(from[c]);
      if (type == TensorType::kF16 || type == TensorType::kBF16) {
        std::memcpy(to + 2 * c, &bits, sizeof bits);
      }
      if (type == TensorType::kQ4_0 && c % 32 == 0) pack_q4_0(from + c, to + c / 32 * 18);
      if (type != TensorType::kQ6_K || c % 256 != 0) continue;
      std::array<std::int8_t, 256> quants{};
      std::array<std::int8_t, 16> scales{};
      scales.fill(20);
      for (std::size_t i = 0; i < quants.size(); ++i) {
        quants[i] = static_cast<std::int8_t>(std::clamp(from[c + i] * 8.0f, -32.0f, 31.0f));
      }
      format::pack_q6_k(f32_to_f16(0x1p-8f), scales.data(), quants.data(), to + c / 256 * 210);
    }
  }
  return test::make_tensor("output.weight", type, {columns, rows}, std::move(bytes));
}

struct Ask {
  std::uint32_t count = 1;
  std::uint32_t tokens = 0;  // 0: all
  std::vector<std::int32_t> always = {};
  std::vector<std::int32_t> masked = {};
};

// A head behind an embedding, whose rows are x: one, or as many as `inputs` says.
class Head {
 public:
  Head(const kernels::KernelTable& table, std::uint32_t threads, const std::vector<float>& x,
       const OwnedTensor& matrix, bool copy = true, std::size_t inputs = 1)
      : backend_(table, threads),
        x_(test::make_floats("token_embd.weight", {x.size() / inputs, inputs}, x)),
        vocab_(matrix.tensor.rows()) {
    plan_.slots = {{static_cast<std::uint32_t>(x.size() / inputs), false}};
    const WeightId embedding = must(backend_.load_matrix(x_.tensor));
    const WeightId head = must(backend_.load_matrix(matrix.tensor));
    if (copy) must(backend_.copy_head(head));
    plan_.ops = {{.code = OpCode::kEmbed, .out = 0, .weight = embedding},
                 {.code = OpCode::kHead, .in = 0, .weight = head}};
    plan_.layers = plan_.heads = plan_.kv_heads = 1;
    plan_.head_dim = 2;
    plan_.vocab = static_cast<std::uint32_t>(vocab_);
    plan_.rope_frequencies = {1.0};
    pool_ = backend_.make_pool(plan_, format::KvType::kF16, 1);
    cache_ = pool_->make_cache();
    workspace_ = must(backend_.make_workspace(
        plan_, static_cast<std::uint32_t>(std::max<std::size_t>(3, inputs))));
  }

  Result<std::vector<float>> all(std::int32_t input = 0) {
    const std::vector<BatchRow> rows{{input, 0, cache_.get()}};
    std::vector<float> logits(vocab_);
    const LogitQuery all{0, logits};
    TERN_TRY(backend_.submit(plan_, {rows, {&all, 1}}, *workspace_));
    return logits;
  }
  Result<std::vector<TokenLogit>> top(const Ask& ask) {
    const std::vector<BatchRow> rows{{0, 0, cache_.get()}};
    std::vector<TokenLogit> room(vocab_, {-1, 0.0f});
    std::vector<TopQuery> tops{query(ask, 0, room)};
    TERN_TRY(backend_.submit(plan_, {rows, {}, tops}, *workspace_));
    room.resize(tops[0].found);
    return room;
  }
  TopQuery query(const Ask& ask, std::uint32_t row, std::vector<TokenLogit>& room) const {
    const auto tokens = ask.tokens == 0 ? static_cast<std::uint32_t>(vocab_) : ask.tokens;
    return {row, ask.count, tokens, ask.always, ask.masked, room};
  }

  CpuBackend backend_;
  OwnedTensor x_;
  std::size_t vocab_;
  Plan plan_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Workspace> workspace_;
};

bool listed(const std::vector<std::int32_t>& tokens, std::int32_t token) {
  return std::binary_search(tokens.begin(), tokens.end(), token);
}

// What the search promises, checked against all logits.
void expect_answers(const std::vector<float>& logits, const Ask& ask,
                    const std::vector<TokenLogit>& found) {
  const auto tokens = ask.tokens == 0 ? logits.size() : ask.tokens;
  std::vector<std::int32_t> ranked;
  std::vector<std::int32_t> wanted;
  for (std::int32_t token = 0; token < static_cast<std::int32_t>(tokens); ++token) {
    if (listed(ask.masked, token)) continue;
    (listed(ask.always, token) ? wanted : ranked).push_back(token);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [&](std::int32_t a, std::int32_t b) {
    return logits[static_cast<std::size_t>(a)] > logits[static_cast<std::size_t>(b)];
  });
  ranked.resize(std::min<std::size_t>(ranked.size(), ask.count));
  wanted.insert(wanted.end(), ranked.begin(), ranked.end());
  std::vector<std::int32_t> present;
  for (const TokenLogit& candidate : found) {
    ASSERT_TRUE(present.empty() || present.back() < candidate.token);
    present.push_back(candidate.token);
    ASSERT_LT(candidate.token, static_cast<std::int32_t>(tokens));
    ASSERT_FALSE(listed(ask.masked, candidate.token)) << candidate.token;
    const float logit = logits[static_cast<std::size_t>(candidate.token)];
    ASSERT_EQ(std::memcmp(&logit, &candidate.logit, sizeof logit), 0) << candidate.token;
  }
  for (const std::int32_t token : wanted) ASSERT_TRUE(listed(present, token)) << token;
}

// Every tier and several counts of threads answer alike, and as all logits say. Returns how many
// rows were computed.
std::size_t expect_search(const std::vector<float>& x, const OwnedTensor& matrix, const Ask& ask) {
  std::vector<std::int32_t> tokens;
  for (const auto* table : runnable_tables()) {
    for (const std::uint32_t threads : {1u, 3u}) {
      Head head(*table, threads, x, matrix);
      const auto found = must(head.top(ask));
      expect_answers(must(head.all()), ask, found);
      std::vector<std::int32_t> now;
      for (const TokenLogit& candidate : found) now.push_back(candidate.token);
      if (!tokens.empty()) {
        EXPECT_EQ(now, tokens) << table->name << ", " << threads << " threads";
      }
      tokens = now;
    }
  }
  return tokens.size();
}

TEST(HeadSearch, FindsTheLargestInHeadsOfEveryType) {
  for (const TensorType type : {TensorType::kF32, TensorType::kF16, TensorType::kBF16,
                                TensorType::kQ8_0, TensorType::kQ6_K, TensorType::kQ4_0}) {
    constexpr std::size_t kColumns = 2560, kRows = 403;
    const auto matrix = head_of(type, kColumns, normals(kColumns * kRows, 1));
    for (const std::uint32_t count : {1u, 2u, 40u, 256u}) {
      const std::size_t found = expect_search(normals(kColumns, 2), matrix, {.count = count});
      EXPECT_GE(found, count);
      EXPECT_LE(found, count <= 2 ? 10 : count + 110) << name(type) << ", " << count;
    }
  }
}

TEST(HeadSearch, TakesUnfriendlyShapes) {
  for (const std::size_t columns : {1u, 3u, 100u, 8640u}) {
    for (const std::size_t rows : {1u, 15u, 17u, 100u, 333u}) {
      const auto matrix = head_of(TensorType::kF16, columns, normals(columns * rows, 3));
      for (const std::uint32_t count : {1u, 40u}) {
        expect_search(normals(columns, 4), matrix, {.count = count});
      }
    }
  }
}

TEST(HeadSearch, AlwaysComputesWhatItIsAskedAndNeverWhatIsMasked) {
  constexpr std::size_t kColumns = 128, kRows = 300;
  const auto x = normals(kColumns, 5);
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 6));
  Head head(kernels::scalar_table(), 1, x, matrix);
  const auto logits = must(head.all());
  std::vector<std::int32_t> ranked(kRows);
  std::iota(ranked.begin(), ranked.end(), 0);
  std::sort(ranked.begin(), ranked.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  // The best are spoken for, the worst are wanted: both lists decide.
  Ask ask{.count = 3};
  ask.always = {ranked[0], ranked[1], ranked[kRows - 1]};
  ask.masked = {ranked[2], ranked[3], ranked[kRows - 2]};
  std::sort(ask.always.begin(), ask.always.end());
  std::sort(ask.masked.begin(), ask.masked.end());
  EXPECT_LT(expect_search(x, matrix, ask), 60u);
  ask.masked.push_back(ranked[0]);  // in both lists
  std::sort(ask.masked.begin(), ask.masked.end());
  expect_search(x, matrix, ask);
}

TEST(HeadSearch, LeavesPaddedRowsOut) {
  constexpr std::size_t kColumns = 64, kRows = 100, kTokens = 53;
  auto values = normals(kColumns * kRows, 7);
  const auto x = normals(kColumns, 8);
  for (std::size_t r = kTokens; r < kRows; ++r) {  // padding with the largest logits of all
    for (std::size_t c = 0; c < kColumns; ++c) values[r * kColumns + c] = 10.0f * x[c];
  }
  const auto matrix = head_of(TensorType::kF16, kColumns, values);
  expect_search(x, matrix, {.count = 5, .tokens = kTokens});
  EXPECT_EQ(expect_search(x, matrix, {.count = 80, .tokens = kTokens}),
            kTokens);  // fewer than asked
}

// Tokens that the head does not have are asked for in vain.
TEST(HeadSearch, ListsMayReachBeyondTheHead) {
  constexpr std::size_t kColumns = 64, kRows = 48;
  const auto x = normals(kColumns, 15);
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 16));
  EXPECT_LT(expect_search(x, matrix, {.always = {kRows, kRows + 7}, .masked = {kRows}}), kRows / 2);
}

// Of such rows the copy leaves nothing off: their bounds come from the digits alone.
TEST(HeadSearch, RowsThatTheCopyHoldsExactly) {
  constexpr std::size_t kColumns = 320;
  auto values = normals(kColumns * 70, 17);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i % kColumns == 0 ? 127.0f : std::rint(std::clamp(40 * values[i], -99.0f, 99.0f));
  }
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  EXPECT_LT(expect_search(normals(kColumns, 18), matrix, {.count = 5}), 8u);
}

TEST(HeadSearch, WithoutACopyEveryRowIsComputed) {
  constexpr std::size_t kColumns = 96, kRows = 77;
  const auto x = normals(kColumns, 9);
  const auto matrix = head_of(TensorType::kQ8_0, kColumns, normals(kColumns * kRows, 10));
  for (const auto* table : runnable_tables()) {
    Head head(*table, 2, x, matrix, false);
    const Ask ask{.count = 2, .masked = {4, 50}};
    const auto found = must(head.top(ask));
    expect_answers(must(head.all()), ask, found);
    EXPECT_EQ(found.size(), kRows - 2);
  }
}

TEST(HeadSearch, EqualRowsAreAllFound) {
  constexpr std::size_t kColumns = 200, kRows = 90;
  const auto row = normals(kColumns, 11);
  std::vector<float> values;
  for (std::size_t r = 0; r < kRows; ++r) values.insert(values.end(), row.begin(), row.end());
  const auto matrix = head_of(TensorType::kF16, kColumns, values);
  EXPECT_EQ(expect_search(normals(kColumns, 12), matrix, {.count = 1}), kRows);
}

// Rows that differ by less than the scan can see: it ranks them wrongly, the search does not.
TEST(HeadSearch, NearTiesThatTheScanRanksWronglyAreFound) {
  constexpr std::size_t kColumns = 320, kRows = 64;
  const auto x = normals(kColumns, 13);
  std::size_t misled = 0;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const auto row = normals(kColumns, 100 + seed);
    const auto noise = normals(kColumns * kRows, 200 + seed);
    std::vector<float> values(kColumns * kRows);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = row[i % kColumns] + 1e-3f * noise[i];
    const auto matrix = head_of(TensorType::kF32, kColumns, values);
    expect_search(x, matrix, {.count = 1});
    Head head(kernels::scalar_table(), 1, x, matrix);
    const auto logits = must(head.all());
    ThreadPool pool(1);
    Arena arena;
    const HeadCopy copy =
        must(make_head_copy(kernels::scalar_table(), matrix.tensor, arena, pool, nullptr));
    std::vector<std::int8_t> digits(2 * kColumns);
    const ScanQuery query =
        make_scan_query(x.data(), kColumns, digits.data(), kernels::kDigitBytes);
    std::vector<float> scanned(kRows);
    float* const to = scanned.data();
    kernels::scalar_table().scan_rows(copy.tiles, kRows, {digits.data(), &query.digits, 1}, &to);
    const auto best = [](const std::vector<float>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    misled += best(logits) != best(scanned) ? 1 : 0;
  }
  EXPECT_GT(misled, 5u);  // else this test would not need the bounds
}

// The scan sees the best row too low by all that its bound allows, and the next one as it is. So
// neither bound may be a fifth smaller.
TEST(HeadSearch, TheBestRowIsFoundWhereTheScanIsWorst) {
  constexpr std::size_t kColumns = 2560;
  const auto best = normals(kColumns, 14);
  const auto rounded = [](const std::vector<float>& v, std::size_t i) {
    const auto [least, most] = std::minmax_element(v.begin(), v.end());
    const float largest = std::max(-*least, *most);
    return largest / 127.0f * std::rint(v[i] * (127.0f / largest));
  };
  std::vector<float> x(kColumns);  // along what the rounding of the best row leaves
  double logit = 0.0, lost = 0.0;
  for (std::size_t i = 0; i < kColumns; ++i) {
    x[i] = best[i] - rounded(best, i);
    logit += static_cast<double>(best[i]) * x[i];
    lost += static_cast<double>(x[i]) * x[i];
  }
  std::vector<float> values = best;
  double product = 0.0;
  for (std::size_t i = 0; i < kColumns; ++i) {  // a row along x that int8 holds
    values.push_back(rounded(x, i));
    product += static_cast<double>(values.back()) * x[i];
  }
  const auto factor = static_cast<float>((logit - 0.2 * lost) / product);
  for (std::size_t i = kColumns; i < values.size(); ++i) values[i] *= factor;
  expect_search(x, head_of(TensorType::kF32, kColumns, values), {.count = 1});
}

// Magnitudes of every kind, in rows, in columns and in x.
TEST(HeadSearch, AdversarialMagnitudes) {
  constexpr std::size_t kColumns = 192, kRows = 130;
  const std::vector<std::function<float(std::size_t, std::size_t)>> shapes{
      [](std::size_t r, std::size_t) { return std::ldexp(1.0f, static_cast<int>(r % 60) - 30); },
      [](std::size_t r, std::size_t c) { return c == r % kColumns ? 1e6f : 1.0f; },
      [](std::size_t, std::size_t c) { return c % 2 == 0 ? 1e4f : 1e-4f; },
      [](std::size_t r, std::size_t) { return r % 3 == 0 ? 0.0f : 1e-40f; },    // denormals
      [](std::size_t r, std::size_t) { return r % 2 == 0 ? 1e-30f : 1e-33f; },  // rounded to zeros
      [](std::size_t r, std::size_t) { return r % 5 == 0 ? 1e17f : 1.0f; },     // beyond the bounds
  };
  const std::vector<std::function<float(std::size_t)>> inputs{
      [](std::size_t) { return 1.0f; },
      [](std::size_t c) { return c == 7 ? 1e5f : 1e-3f; },
      [](std::size_t c) { return c % 2 == 0 ? 1e3f : -1e3f; },
      [](std::size_t) { return 1e-42f; },
      [](std::size_t) { return 0.0f; },
      [](std::size_t) { return 1e19f; },
  };
  std::uint32_t seed = 20;
  for (const auto& shape : shapes) {
    for (const auto& input : inputs) {
      auto values = normals(kColumns * kRows, ++seed);
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] *= shape(i / kColumns, i % kColumns);
      auto x = normals(kColumns, ++seed);
      for (std::size_t c = 0; c < kColumns; ++c) x[c] *= input(c);
      const auto matrix = head_of(TensorType::kF32, kColumns, values);
      for (const std::uint32_t count : {1u, 7u}) expect_search(x, matrix, {.count = count});
    }
  }
}

// Large products of both signs that cancel: what is left is rounding, which the bound must cover.
TEST(HeadSearch, Cancellation) {
  constexpr std::size_t kColumns = 512, kRows = 100;
  auto values = normals(kColumns * kRows, 31);
  auto x = normals(kColumns, 32);
  for (std::size_t c = 0; c < kColumns; ++c)
    x[c] = (c % 2 == 0 ? 1.0f : -1.0f) * (1.0f + 1e-6f * x[c]);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = 1000.0f * (1.0f + static_cast<float>(i % kColumns / 2)) + 1e-4f * values[i];
  }
  const auto matrix = head_of(TensorType::kF32, kColumns, values);
  for (const std::uint32_t count : {1u, 40u}) expect_search(x, matrix, {.count = count});
}

// Each query has its own row, its own tokens and its own lists, whatever the others ask.
TEST(HeadSearch, SeveralRowsOfABatchAreAnsweredBesideWholeRows) {
  constexpr std::size_t kColumns = 64, kRows = 1000;
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 41));
  const auto inputs = normals(3 * kColumns, 42);
  for (const std::uint32_t threads : {1u, 2u, 5u}) {
    Head head(*runnable_tables().back(), threads, inputs, matrix, true, 3);
    std::vector<std::vector<float>> logits;
    for (std::int32_t input = 0; input < 3; ++input) logits.push_back(must(head.all(input)));
    const std::vector<BatchRow> rows{
        {0, 0, head.cache_.get()}, {1, 1, head.cache_.get()}, {2, 2, head.cache_.get()}};
    for (int turn = 0; turn < 20; ++turn) {
      std::vector<float> whole(kRows);
      std::vector<TokenLogit> first(kRows), second(kRows), third(kRows);
      const Ask one{.count = 1}, five{.count = 5, .tokens = 500, .always = {3}};
      const Ask three{.count = 3, .tokens = 200, .masked = {0, 7}};
      std::vector<TopQuery> tops{head.query(one, 2, first), head.query(five, 0, second),
                                 head.query(three, 1, third)};
      const LogitQuery all{1, whole};
      must(head.backend_.submit(head.plan_, {rows, {&all, 1}, tops}, *head.workspace_));
      EXPECT_EQ(whole, logits[1]);
      first.resize(tops[0].found);
      second.resize(tops[1].found);
      third.resize(tops[2].found);
      expect_answers(logits[2], one, first);
      expect_answers(logits[0], five, second);
      expect_answers(logits[1], three, third);
    }
  }
}

// More queries than share a scan, one of which cannot be bounded: each is answered as it is alone.
TEST(HeadSearch, ManyRowsOfABatchAreAnsweredAsEachIsAlone) {
  constexpr std::size_t kColumns = 64, kRows = 700, kQueries = 2 * CpuWorkspace::kHeadQueries + 3;
  const auto matrix = head_of(TensorType::kF16, kColumns, normals(kColumns * kRows, 43));
  auto inputs = normals(kQueries * kColumns, 44);
  inputs[5 * kColumns] = 1e30f;
  for (const std::uint32_t threads : {1u, 3u}) {
    Head head(*runnable_tables().back(), threads, inputs, matrix, true, kQueries);
    std::vector<BatchRow> rows;
    std::vector<std::vector<TokenLogit>> rooms(kQueries, std::vector<TokenLogit>(kRows));
    std::vector<TopQuery> tops;
    std::vector<Ask> asks(kQueries);
    for (std::uint32_t i = 0; i < kQueries; ++i) {
      rows.push_back({static_cast<std::int32_t>(i), i % 32, head.cache_.get()});
      asks[i].count = i % 7 + 1;
      tops.push_back(head.query(asks[i], i, rooms[i]));
    }
    must(head.backend_.submit(head.plan_, {rows, {}, tops}, *head.workspace_));
    for (std::uint32_t i = 0; i < kQueries; ++i) {
      EXPECT_EQ(tops[i].found == kRows, i == 5) << i;
      rooms[i].resize(tops[i].found);
      expect_answers(must(head.all(static_cast<std::int32_t>(i))), asks[i], rooms[i]);
    }
  }
}

TEST(HeadSearch, RefusesQueriesThatItHasNoRoomFor) {
  const auto matrix = head_of(TensorType::kF32, 8, normals(8 * 300, 62));
  Head head(kernels::scalar_table(), 1, normals(8, 61), matrix);
  for (const Ask& ask : {Ask{.count = 0}, Ask{.count = 257}, Ask{.tokens = 301},
                         Ask{.always = {900, 3}}, Ask{.masked = {900, 3}}}) {
    const auto outcome = head.top(ask);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
  }
  EXPECT_TRUE(head.top({.count = 256}).ok());

  const std::vector<BatchRow> rows{{0, 0, head.cache_.get()}};
  std::vector<TokenLogit> room(300);
  std::vector<TopQuery> beyond{head.query({}, 1, room)};
  std::vector<TopQuery> many(4, head.query({}, 0, room));  // of a workspace for three rows
  for (std::vector<TopQuery>* tops : {&beyond, &many}) {
    const auto outcome = head.backend_.submit(head.plan_, {rows, {}, *tops}, *head.workspace_);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
  }
}

// What is no number is the error that it is for all logits, wherever it stands.
TEST(HeadSearch, RefusesWhatIsNoNumber) {
  constexpr std::size_t kColumns = 40, kRows = 60;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  const auto good_x = normals(kColumns, 51);
  const auto good = normals(kColumns * kRows, 52);
  for (const float bad : {nan, infinity, -infinity, 3e38f}) {
    auto x = good_x;
    x[17] = bad;
    auto values = good;
    values[33 * kColumns + 5] = bad;
    if (bad == 3e38f) x[5] = x[17] = 10.0f;  // a finite weight and an infinite logit
    for (const auto* table : runnable_tables()) {
      const auto bad_head = head_of(TensorType::kF32, kColumns, values);
      const auto outcome = Head(*table, 2, bad == 3e38f ? x : good_x, bad_head).top({});
      ASSERT_FALSE(outcome.ok()) << bad;
      EXPECT_EQ(outcome.error().to_string(),
                "layer 0, position 0: a logit is a NaN or an infinity");
      if (bad == 3e38f) continue;
      const auto good_head = head_of(TensorType::kF32, kColumns, good);
      EXPECT_FALSE(Head(*table, 2, x, good_head).top({}).ok()) << bad;
    }
  }
}

}  // namespace
}  // namespace tern::backend
