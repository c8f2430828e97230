// A head behind an embedding, on a backend of its own, and what the search in it promises.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/tensors.h"
#include "core/cpu_features.h"
#include "core/float16.h"
#include "format/float_blocks.h"
#include "kernels/registry.h"

namespace tern::backend {

using format::TensorType;
using test::must;
using test::normals;
using test::OwnedTensor;

inline constexpr std::array kHeadTypes{TensorType::kF32,  TensorType::kF16,  TensorType::kBF16,
                                       TensorType::kQ8_0, TensorType::kQ6_K, TensorType::kQ4_0};

inline std::vector<const kernels::KernelTable*> runnable_tables() {
  std::vector<const kernels::KernelTable*> tables;
  for (const auto* table : kernels::all_tables()) {
    if ((table->required_features & ~detect_cpu_features()) == 0) tables.push_back(table);
  }
  return tables;
}

// A block of 32 values: a factor, then codes of four bits, those of the first half in the low ones.
inline void pack_q4_0(const float* values, std::byte* to) {
  const std::uint16_t factor = f32_to_f16(0.5f);
  std::memcpy(to, &factor, sizeof factor);
  const auto code = [&](std::size_t i) {
    return static_cast<unsigned>(std::clamp(std::rint(values[i] * 2.0f) + 8.0f, 0.0f, 15.0f));
  };
  for (std::size_t i = 0; i < 16; ++i) to[2 + i] = std::byte(code(i) | code(i + 16) << 4);
}

// `values` rounded to a type.
inline OwnedTensor head_of(TensorType type, std::size_t columns, const std::vector<float>& values) {
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
  std::optional<GumbelDraw> draw = {};
};

// A head behind an embedding, whose rows are x: one, or as many as `inputs` says. The matrix has to
// outlive it.
class Head {
 public:
  Head(const kernels::KernelTable& table, std::uint32_t threads, const std::vector<float>& x,
       OwnedTensor&& matrix, bool copy = true, std::size_t inputs = 1) = delete;
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
  Result<std::vector<TokenLogit>> top(const Ask& ask, std::int32_t input = 0) {
    TERN_ASSIGN(auto found, tops({ask}, input));
    return std::move(found[0]);
  }
  // Of as many inputs from `first` on as there are asks, in one batch.
  Result<std::vector<std::vector<TokenLogit>>> tops(const std::vector<Ask>& asks,
                                                    std::int32_t first = 0) {
    std::vector<BatchRow> rows;
    std::vector<std::vector<TokenLogit>> rooms(asks.size(), std::vector<TokenLogit>(vocab_));
    std::vector<TopQuery> tops;
    for (std::uint32_t i = 0; i < asks.size(); ++i) {
      rows.push_back({first + static_cast<std::int32_t>(i), i % 32, cache_.get()});
      tops.push_back(query(asks[i], i, rooms[i]));
    }
    TERN_TRY(backend_.submit(plan_, {rows, {}, tops}, *workspace_));
    for (std::size_t i = 0; i < asks.size(); ++i) rooms[i].resize(tops[i].found);
    return rooms;
  }
  TopQuery query(const Ask& ask, std::uint32_t row, std::vector<TokenLogit>& room) const {
    const auto tokens = ask.tokens == 0 ? static_cast<std::uint32_t>(vocab_) : ask.tokens;
    return {row, ask.count, tokens, ask.always, ask.masked, ask.draw, room};
  }

  CpuBackend backend_;
  OwnedTensor x_;
  std::size_t vocab_;
  Plan plan_;
  std::unique_ptr<KvPool> pool_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Workspace> workspace_;
};

inline bool listed(const std::vector<std::int32_t>& tokens, std::int32_t token) {
  return std::binary_search(tokens.begin(), tokens.end(), token);
}

// What the search promises, checked against all logits.
inline void expect_answers(const std::vector<float>& logits, const Ask& ask,
                           const std::vector<TokenLogit>& found) {
  const auto tokens = ask.tokens == 0 ? logits.size() : ask.tokens;
  std::vector<std::int32_t> ranked;
  std::vector<std::int32_t> wanted;
  for (std::int32_t token = 0; token < static_cast<std::int32_t>(tokens); ++token) {
    if (listed(ask.masked, token)) continue;
    (listed(ask.always, token) ? wanted : ranked).push_back(token);
  }
  const auto value = [&](std::int32_t token) {
    const float logit = logits[static_cast<std::size_t>(token)];
    return ask.draw ? ask.draw->perturbed(logit, token) : logit;
  };
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](std::int32_t a, std::int32_t b) { return value(a) > value(b); });
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
inline std::size_t expect_search(const std::vector<float>& x, const OwnedTensor& matrix,
                                 const Ask& ask) {
  std::vector<std::int32_t> tokens;
  for (const auto* table : runnable_tables()) {
    for (const std::uint32_t threads : {1u, 3u}) {
      Head head(*table, threads, x, matrix);
      const auto found = must(head.top(ask));
      expect_answers(must(head.all()), ask, found);
      std::vector<std::int32_t> now;
      now.reserve(found.size());
      for (const TokenLogit& candidate : found) now.push_back(candidate.token);
      if (!tokens.empty()) {
        EXPECT_EQ(now, tokens) << table->name << ", " << threads << " threads";
      }
      tokens = now;
    }
  }
  return tokens.size();
}

// Each row of a batch has the candidates that it has alone, whose scan takes both digits at once.
inline void expect_batch(Head& head, const std::vector<Ask>& asks, const std::string& what) {
  const auto found = must(head.tops(asks));
  for (std::size_t i = 0; i < asks.size(); ++i) {
    const auto input = static_cast<std::int32_t>(i);
    expect_answers(must(head.all(input)), asks[i], found[i]);
    const auto alone = must(head.top(asks[i], input));
    ASSERT_EQ(found[i].size(), alone.size()) << what << ", row " << i;
    for (std::size_t c = 0; c < alone.size(); ++c) {
      ASSERT_EQ(found[i][c].token, alone[c].token) << what << ", row " << i;
    }
  }
}

}  // namespace tern::backend
