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

// Multiply-accumulates a second of this tier's instructions alone, in CPU time as the benchmarks.
double ceiling(const KernelTable& table) {
  constexpr std::uint64_t kSteps = 100'000;
  const std::clock_t begin = std::clock();
  const std::uint64_t done = table.multiply_accumulate_loop(kSteps);
  return static_cast<double>(done) * CLOCKS_PER_SEC / static_cast<double>(std::clock() - begin);
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
    auto allocated = std::move(tern::AlignedBuffer::allocate_unwritten(kBytes, "weights").value());
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
  const std::size_t stride = padded_columns(columns);
  const std::vector<std::int8_t> values(tokens * stride, 3);
  const std::vector<float> scales(tokens, 0.01f);
  const std::vector<std::int32_t> sums(tokens, 3 * static_cast<std::int32_t>(columns));
  std::vector<float> y(tokens * rows);
  const QuantizedRows x{values.data(), stride, scales.data(), sums.data()};
  const std::size_t bytes = packed_bytes(rows, columns, packing);
  const std::span<const std::uint8_t> codes = many_codes();
  double most = std::max(ceiling(table), ceiling(table));
  std::size_t matrix = 0;
  for (auto _ : state) {
    const TernaryTiles w{&codes[matrix * bytes], tiles_of(columns, packing), 0.02f, packing};
    table.ternary_linear(w, rows, x, tokens, y.data(), rows);
    benchmark::ClobberMemory();
    matrix = (matrix + 1) % (codes.size() / bytes);
  }
  most = std::max({most, ceiling(table), ceiling(table)});
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

// The query heads that share a KV head over a full chunk of keys.
void add_attention_chunk(const KernelTable& table) {
  using namespace tern::kernels;
  constexpr std::size_t kQueries = 4;
  const double items = 2.0 * kChunkKeys * kHeadDim * kQueries;
  const auto parts_of = [](std::vector<float>& out) {
    std::array<AttentionState, kQueries> parts{};
    for (std::size_t i = 0; i < kQueries; ++i) parts[i].out = &out[i * kHeadDim];
    return parts;
  };
  add(table, "attention_chunk", items,
      [&table, parts_of, page = std::vector<std::uint16_t>(kPageKeys * kHeadDim, kHalf),
       q = std::vector<float>(kHeadDim, 0.1f),
       out = std::vector<float>(kQueries * kHeadDim)]() mutable {
        std::array<KeyValuePage, kPagesPerChunk> pages{};
        pages.fill({page.data(), page.data()});
        std::array<AttentionQuery, kQueries> queries{};
        queries.fill({q.data(), kChunkKeys});
        auto parts = parts_of(out);
        table.attention_chunk(queries.data(), kQueries, 0.088f, {pages.data(), kHeadDim},
                              parts.data());
      });
  add(table, "attention_chunk_int8", items,
      [&table, parts_of, page = std::vector<std::int8_t>(kPageKeys * kHeadDim, 3),
       scales = std::vector<float>(kPageKeys, 0.01f), codes = std::vector<std::int8_t>(kHeadDim, 5),
       out = std::vector<float>(kQueries * kHeadDim)]() mutable {
        std::array<Int8Page, kPagesPerChunk> pages{};
        pages.fill({page.data(), page.data(), scales.data(), scales.data()});
        std::array<Int8Query, kQueries> queries{};
        queries.fill({codes.data(), 0.01f, 5 * kHeadDim, kChunkKeys});
        auto parts = parts_of(out);
        table.attention_chunk_int8(queries.data(), kQueries, 0.088f, {pages.data(), kHeadDim},
                                   parts.data());
      });
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
  for (const std::size_t queries : {std::size_t{1}, std::size_t{16}}) {
    const std::string name = queries == 1 ? "scan_rows" : "scan_rows_of_16";
    add(table, name.c_str(), static_cast<double>(queries) * items,
        [&table, codes, queries, scales = y,
         digits = std::vector<std::int8_t>(2 * queries * kHidden, 1),
         values = std::vector<float>(queries * kHeadRows)]() mutable {
          const std::vector<tern::kernels::DigitScale> of(queries, {1.0f, kHidden, kHidden});
          std::vector<float*> to;
          for (std::size_t q = 0; q < queries; ++q) to.push_back(&values[q * kHeadRows]);
          table.scan_rows({codes.data(), kHidden / tern::kernels::kScanColumns, scales.data()},
                          kHeadRows, {digits.data(), of.data(), queries}, to.data());
        });
  }
}

void add_all(const KernelTable& table) {
  constexpr std::uint64_t kSteps = 10'000;
  add(table, "multiply_accumulate_loop",
      static_cast<double>(table.multiply_accumulate_loop(kSteps)),
      [&table] { benchmark::DoNotOptimize(table.multiply_accumulate_loop(kSteps)); });
  add_ternary(table, tern::kernels::Packing::kTwoBits);
  if (table.five_trits) add_ternary(table, tern::kernels::Packing::kFiveTrits);
  add_elementwise(table);
  add_attention_chunk(table);
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
