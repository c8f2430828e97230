// Each kernel of each tier that this CPU can run, on the shapes of BitNet b1.58 2B-4T, by Google
// Benchmark: bench_kernels --benchmark_filter=avx2. Items are multiply-accumulates or values.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/cpu/tuning.h"
#include "core/aligned_buffer.h"
#include "core/cpu_features.h"
#include "core/fp_env.h"
#include "kernels/packing.h"
#include "kernels/registry.h"

namespace {

using tern::kernels::KernelTable;

constexpr std::size_t kHidden = 2560;
constexpr std::size_t kFfn = 6912;
constexpr std::size_t kHeadDim = 128;
constexpr std::size_t kHeadRows = 256;
constexpr std::uint16_t kHalf = 0x3800;      // 0.5 as f16; a normal number as bf16, too
constexpr std::uint8_t kCodes = 0b10010010;  // codes 2, 0, 1, 2

using Operation = std::function<void()>;

void add(const KernelTable& table, const std::string& name, double items, Operation operation) {
  benchmark::RegisterBenchmark(
      (std::string(table.name) + "/" + name).c_str(),
      [items, operation = std::move(operation)](benchmark::State& state) {
        const tern::ScopedFpEnv fp_env;
        for (auto _ : state) {
          operation();
          benchmark::ClobberMemory();
        }
        state.SetItemsProcessed(static_cast<std::int64_t>(items) * state.iterations());
      });
}

// What a loop on registers alone does a second, in CPU time as the benchmarks; the best of two.
double ceiling(std::uint64_t (*loop)(std::uint64_t)) {
  constexpr std::uint64_t kSteps = 100'000;
  double most = 0.0;
  for (int i = 0; i < 2; ++i) {
    const std::clock_t begin = std::clock();
    const auto done = static_cast<double>(loop(kSteps));
    const auto clocks = static_cast<double>(std::max<std::clock_t>(1, std::clock() - begin));
    most = std::max(most, done * CLOCKS_PER_SEC / clocks);
  }
  return most;
}

struct Shape {
  std::size_t rows;
  std::size_t columns;
};
// Of BitNet b1.58 2B-4T: q and o, k and v, gate and up, down.
constexpr std::array<Shape, 4> kShapes{
    {{kHidden, kHidden}, {640, kHidden}, {kFfn, kHidden}, {kHidden, kFfn}}};
constexpr std::array<std::size_t, 9> kTokenCounts{1, 2, 3, 4, 8, 16, 32, 64, 512};

// More than the caches hold: each call reads its matrix from memory, as in a model.
std::span<const std::uint8_t> many_codes() {
  constexpr std::size_t kBytes = std::size_t{96} << 20;
  static tern::AlignedBuffer buffer = [] {
    auto allocated = std::move(tern::AlignedBuffer::allocate(kBytes, "weights").value());
    std::memset(allocated.data(), kCodes, kBytes);
    return allocated;
  }();
  return {buffer.as<std::uint8_t>(), kBytes};
}

// Counters: the share of the ceiling, which is measured around it, and bytes of weights a second.
void ternary_linear(benchmark::State& state, const KernelTable& table,
                    tern::kernels::Packing packing, Shape shape, std::size_t tokens) {
  using namespace tern::kernels;
  const tern::ScopedFpEnv fp_env;
  const auto [rows, columns] = shape;
  const std::size_t stride = padded_columns(columns) | 64;  // as activations lie
  auto values = std::move(tern::AlignedBuffer::allocate(tokens * stride, "activations").value());
  std::memset(values.data(), 3, tokens * stride);
  const std::vector<float> scales(tokens, 0.01f);
  const std::vector<std::int32_t> sums(tokens, 3 * static_cast<std::int32_t>(columns));
  auto outputs =
      std::move(tern::AlignedBuffer::allocate(tokens * rows * sizeof(float), "outputs").value());
  auto* const y = outputs.as<float>();
  const QuantizedRows x{values.as<std::int8_t>(), stride, scales.data(), sums.data()};
  const std::size_t bytes = packed_bytes(rows, columns, packing);
  const std::span<const std::uint8_t> codes = many_codes();
  const ReadPattern read = tokens == 1 ? tern::backend::default_plan(table).read : ReadPattern{};
  double most = ceiling(table.multiply_accumulate_loop);
  std::size_t matrix = 0;
  for (auto _ : state) {
    const TernaryTiles w{&codes[matrix * bytes], tiles_of(columns, packing), 0.02f, packing, read};
    table.ternary_linear(w, rows, x, tokens, y, rows);
    benchmark::ClobberMemory();
    matrix = (matrix + 1) % (codes.size() / bytes);
  }
  most = std::max(most, ceiling(table.multiply_accumulate_loop));
  const auto calls = static_cast<double>(state.iterations());
  const auto work = static_cast<double>(rows * columns * tokens) * calls;
  state.counters["share"] = {work / most, benchmark::Counter::kIsRate};
  state.counters["mac"] = {work, benchmark::Counter::kIsRate};
  state.counters["weights"] = {static_cast<double>(bytes) * calls, benchmark::Counter::kIsRate,
                               benchmark::Counter::kIs1024};
}

void add_ternary(const KernelTable& table, tern::kernels::Packing packing) {
  const std::string name = packing == tern::kernels::Packing::kFiveTrits
                               ? "/ternary_linear_five_trits/"
                               : "/ternary_linear/";
  for (const Shape& shape : kShapes) {
    for (const std::size_t tokens : kTokenCounts) {
      const std::string of = std::to_string(shape.rows) + "x" + std::to_string(shape.columns);
      benchmark::RegisterBenchmark((table.name + name + of + "/" + std::to_string(tokens)).c_str(),
                                   [&table, packing, shape, tokens](benchmark::State& state) {
                                     ternary_linear(state, table, packing, shape, tokens);
                                   });
    }
  }
}

void add_elementwise(const KernelTable& table) {
  const std::vector<float> x(kFfn, 0.75f);
  std::vector<float> y(kFfn, 0.5f);
  const double items = kFfn;
  add(table, "quantize", items, [&table, x, q = std::vector<std::int8_t>(kFfn)]() mutable {
    float d = 0.0f;
    std::int32_t sum = 0;
    benchmark::DoNotOptimize(table.quantize(x.data(), kFfn, kFfn, q.data(), &d, &sum));
  });
  add(table, "rms_norm", items,
      [&table, x, y]() mutable { table.rms_norm(x.data(), x.data(), kFfn, 1e-5f, y.data()); });
  add(table, "rope", kHeadDim, [&table, x, y]() mutable {
    table.rope(x.data(), x.data(), x.data(), kHeadDim / 2, y.data());  // no rotation, but its work
  });
  add(table, "add", items,
      [&table, z = std::vector<float>(kFfn), y]() mutable { table.add(z.data(), kFfn, y.data()); });
  add(table, "relu2_gate", items,
      [&table, x, y]() mutable { table.relu2_gate(x.data(), x.data(), kFfn, y.data()); });
  add(table, "silu_gate", items,
      [&table, x, y]() mutable { table.silu_gate(x.data(), x.data(), kFfn, y.data()); });
  add(table, "store_f16", items, [&table, x, out = std::vector<std::uint16_t>(kFfn)]() mutable {
    benchmark::DoNotOptimize(table.store_f16(x.data(), kFfn, out.data(), 1));
  });
}

constexpr std::size_t kAttentionKeys = 8192;
constexpr std::size_t kKvHeads = 5;

// Of the pages of each head in turn, where their keys lie, in pages: as in a cache, the keys of a
// chunk are one run, its values another behind it, and then comes the chunk of the next head.
std::vector<std::size_t> pages_of_heads() {
  using tern::kernels::kPageKeys;
  using tern::kernels::kPagesPerChunk;
  std::vector<std::size_t> pages;
  for (std::size_t head = 0; head < kKvHeads; ++head) {
    for (std::size_t page = 0; page < kAttentionKeys / kPageKeys; ++page) {
      const std::size_t part = page / kPagesPerChunk * kKvHeads + head;
      pages.push_back(part * 2 * kPagesPerChunk + page % kPagesPerChunk);
    }
  }
  return pages;
}

// `count` queries over all keys of one KV head after the other, chunk by chunk, folds included.
// Counters: multiply-adds a second of scores and values, and their share of the ceiling.
template <typename Page, typename Query, typename Chunk>
void attention(benchmark::State& state, const KernelTable& table, const std::vector<Page>& pages,
               const Query& query, std::size_t count, std::uint64_t (*loop)(std::uint64_t),
               void (*attend)(const Query*, std::size_t, float, const Chunk&,
                              tern::kernels::AttentionState*)) {
  using namespace tern::kernels;
  const tern::ScopedFpEnv fp_env;
  constexpr float kScale = 0.088f;
  const std::vector<Query> queries(count, query);
  std::vector<float> out(2 * count * kHeadDim);
  std::vector<AttentionState> parts(count);
  std::vector<AttentionState> totals(count);
  for (std::size_t i = 0; i < count; ++i) parts[i].out = &out[2 * i * kHeadDim];
  double most = ceiling(loop);
  std::size_t head = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < count; ++i) {
      totals[i] = {-std::numeric_limits<float>::infinity(), 0.0f, parts[i].out + kHeadDim};
    }
    const Page* of_head = &pages[head * kAttentionKeys / kPageKeys];
    for (std::size_t page = 0; page < kAttentionKeys / kPageKeys; page += kPagesPerChunk) {
      attend(queries.data(), count, kScale, {of_head + page, kHeadDim}, parts.data());
      for (std::size_t i = 0; i < count; ++i) {
        table.attention_fold(parts[i], kHeadDim, &totals[i]);
      }
    }
    benchmark::ClobberMemory();
    head = (head + 1) % kKvHeads;
  }
  most = std::max(most, ceiling(loop));
  const double work =
      2.0 * kAttentionKeys * kHeadDim * static_cast<double>(count * state.iterations());
  state.counters["share"] = {work / most, benchmark::Counter::kIsRate};
  state.counters["mac"] = {work, benchmark::Counter::kIsRate};
}

void attention_f16(benchmark::State& state, const KernelTable& table, std::size_t count) {
  using namespace tern::kernels;
  constexpr std::size_t kPage = kPageKeys * kHeadDim;
  const std::vector<std::uint16_t> halves(2 * kKvHeads * kAttentionKeys * kHeadDim, kHalf);
  std::vector<KeyValuePage> pages;
  for (const std::size_t at : pages_of_heads()) {
    pages.push_back({&halves[at * kPage], &halves[(at + kPagesPerChunk) * kPage]});
  }
  const std::vector<float> q(kHeadDim, 0.1f);
  attention(state, table, pages, AttentionQuery{q.data(), kChunkKeys}, count, table.fma_loop,
            table.attention_chunk);
}

void attention_int8(benchmark::State& state, const KernelTable& table, std::size_t count) {
  using namespace tern::kernels;
  constexpr std::size_t kPage = kPageKeys * kHeadDim;
  const std::vector<std::int8_t> codes(2 * kKvHeads * kAttentionKeys * kHeadDim, 3);
  const std::vector<float> scales(kPageKeys, 0.01f);
  std::vector<Int8Page> pages;
  for (const std::size_t at : pages_of_heads()) {
    pages.push_back(
        {&codes[at * kPage], &codes[(at + kPagesPerChunk) * kPage], scales.data(), scales.data()});
  }
  const std::vector<std::int8_t> q(kHeadDim, 5);
  attention(state, table, pages, Int8Query{q.data(), 0.01f, 5 * kHeadDim, kChunkKeys}, count,
            table.multiply_accumulate_loop, table.attention_chunk_int8);
}

void add_attention_of_keys(const KernelTable& table) {
  for (const std::size_t count : {std::size_t{4}, std::size_t{8}, tern::kernels::kCallQueries}) {
    const std::string of = std::to_string(kAttentionKeys) + "/" + std::to_string(count);
    benchmark::RegisterBenchmark(
        (std::string(table.name) + "/attention/" + of).c_str(),
        [&table, count](benchmark::State& state) { attention_f16(state, table, count); });
    benchmark::RegisterBenchmark(
        (std::string(table.name) + "/attention_int8/" + of).c_str(),
        [&table, count](benchmark::State& state) { attention_int8(state, table, count); });
  }
}

// The fold of a chunk's part, and the output.
void add_attention(const KernelTable& table) {
  using namespace tern::kernels;
  add(table, "attention_fold", kHeadDim,
      [&table, out = std::vector<float>(kHeadDim, 1.0f),
       sum = std::vector<float>(kHeadDim)]() mutable {
        AttentionState part{1.0f, 1.0f, out.data()};
        AttentionState total{-std::numeric_limits<float>::infinity(), 0.0f, sum.data()};
        table.attention_fold(part, kHeadDim, &total);
      });
  add(table, "attention_output", kHeadDim,
      [&table, out = std::vector<float>(kHeadDim, 1.0f),
       y = std::vector<float>(kHeadDim)]() mutable {
        table.attention_output({1.0f, 2.0f, out.data()}, kHeadDim, y.data());
      });
}

void add_head(const KernelTable& table) {
  const std::vector<float> x(kHidden, 0.25f);
  const std::vector<float> wide(kHeadRows * kHidden, 0.5f);
  const std::vector<std::uint16_t> narrow(kHeadRows * kHidden, kHalf);
  std::vector<float> y(kHeadRows);
  const double items = kHeadRows * kHidden;
  add(table, "dot_rows_f32", items, [&table, x, wide, y]() mutable {
    table.dot_rows_f32(x.data(), wide.data(), kHidden, kHeadRows, y.data());
  });
  add(table, "dot_rows_f16", items, [&table, x, narrow, y]() mutable {
    table.dot_rows_f16(x.data(), narrow.data(), kHidden, kHeadRows, y.data());
  });
  add(table, "dot_rows_bf16", items, [&table, x, narrow, y]() mutable {
    table.dot_rows_bf16(x.data(), narrow.data(), kHidden, kHeadRows, y.data());
  });
  add(table, "dot_rows_q8_0", items,
      [&table, x, blocks = std::vector<std::uint8_t>(kHeadRows * kHidden / 32 * 34), y]() mutable {
        table.dot_rows_q8_0(x.data(), blocks.data(), kHidden, kHeadRows, y.data());
      });
  add(table, "dot_rows_q6_k", items,
      [&table, x, blocks = std::vector<std::uint8_t>(kHeadRows * kHidden / 256 * 210),
       y]() mutable {
        table.dot_rows_q6_k(x.data(), blocks.data(), kHidden, kHeadRows, y.data());
      });
  const std::vector<std::uint8_t> codes(kHeadRows * kHidden, 130);
  for (const std::size_t queries : {1, 2, 4, 7, 16}) {
    const std::string name = "scan_high/" + std::to_string(queries);
    add(table, name, static_cast<double>(queries) * items,
        [&table, codes, queries, scales = y,
         digits = std::vector<std::int8_t>(2 * queries * kHidden, 1),
         values = std::vector<float>(queries * kHeadRows)]() mutable {
          const std::vector<tern::kernels::DigitScale> of(queries, {1.0f, kHidden, kHidden});
          std::vector<float*> to;
          for (std::size_t q = 0; q < queries; ++q) to.push_back(&values[q * kHeadRows]);
          table.scan_high({codes.data(), kHidden / tern::kernels::kScanColumns, scales.data()},
                          kHeadRows, {digits.data(), of.data(), queries}, to.data());
        });
  }
  add(table, "scan_rows", items,
      [&table, codes, scales = y, digits = std::vector<std::int8_t>(2 * kHidden, 1),
       values = y]() mutable {
        const tern::kernels::DigitScale of{1.0f, kHidden, kHidden};
        table.scan_rows({codes.data(), kHidden / tern::kernels::kScanColumns, scales.data()},
                        kHeadRows, {digits.data(), &of, 1}, values.data());
      });
}

void add_all(const KernelTable& table) {
  constexpr std::uint64_t kSteps = 10'000;
  add(table, "multiply_accumulate_loop",
      static_cast<double>(table.multiply_accumulate_loop(kSteps)),
      [&table] { benchmark::DoNotOptimize(table.multiply_accumulate_loop(kSteps)); });
  add(table, "fma_loop", static_cast<double>(table.fma_loop(kSteps)),
      [&table] { benchmark::DoNotOptimize(table.fma_loop(kSteps)); });
  add_ternary(table, tern::kernels::Packing::kTwoBits);
  if (table.five_trits) add_ternary(table, tern::kernels::Packing::kFiveTrits);
  add_elementwise(table);
  add_attention_of_keys(table);
  add_attention(table);
  add_head(table);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const std::uint32_t features = tern::detect_cpu_features();
  for (const KernelTable* table : tern::kernels::all_tables()) {
    const std::uint32_t missing = table->required_features & ~features;
    if (missing == 0) {
      add_all(*table);
    } else {
      std::fprintf(stderr, "%s skipped: this CPU lacks %s\n", table->name,
                   tern::describe_cpu_features(missing).c_str());
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
