// Plans of matrices: how they are kept as bytes, and what the backend makes of them.
#include "backend/cpu/tuning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "backend/tensors.h"
#include "conformance/tiers.h"
#include "core/cpu_features.h"
#include "core/fast_hash.h"
#include "kernels/registry.h"

namespace tern::backend {
namespace {

using kernels::Packing;
using test::must;
using ::testing::HasSubstr;

const kernels::KernelTable& table() { return kernels::best_table(detect_cpu_features()); }

// Into which cache is not kept: it is the machine's.
const bool kSecond = default_plan(table()).read.second_cache;

KeptTuning two_plans() {
  return {{{{640, 2560}, {Packing::kTwoBits, {1, 16384, kSecond}}},
           {{2560, 6912}, {Packing::kTwoBits, {4, 0, kSecond}}}},
          {{77, 6}}};
}

std::string refused(std::span<const std::byte> bytes, std::string_view made_by = "here") {
  const auto read = read_tuning(bytes, made_by, table());
  return read ? "" : read.error().to_string();
}

// Bytes that were changed, with the hash that belongs to them.
std::vector<std::byte> hashed(std::vector<std::byte> bytes) {
  const std::uint64_t hash = fast_hash(std::span(bytes).first(bytes.size() - sizeof hash));
  std::memcpy(bytes.data() + bytes.size() - sizeof hash, &hash, sizeof hash);
  return bytes;
}

TEST(TuningPlans, AreEqualInAllThatTheySay) {
  const MatrixPlan plan{Packing::kTwoBits, {1, 1024, false}, 4};
  EXPECT_EQ(plan, plan);
  for (const MatrixPlan& other : {MatrixPlan{Packing::kFiveTrits, {1, 1024, false}, 4},
                                  MatrixPlan{Packing::kTwoBits, {2, 1024, false}, 4},
                                  MatrixPlan{Packing::kTwoBits, {1, 4096, false}, 4},
                                  MatrixPlan{Packing::kTwoBits, {1, 1024, false}, 8},
                                  MatrixPlan{Packing::kTwoBits, {1, 1024, true}, 4}}) {
    EXPECT_FALSE(plan == other);
  }
}

TEST(TuningPlans, ReadAsTheTierDoesIntoTheCacheThatTheCpuWants) {
  for (const kernels::KernelTable* tier : kernels::all_tables()) {
    const kernels::ReadPattern read = default_plan(*tier).read;
    EXPECT_EQ(read.second_cache, fetches_into_second_cache()) << tier->name;
    EXPECT_EQ(read.streams, tier->read.streams) << tier->name;
    EXPECT_EQ(read.prefetch_bytes, tier->read.prefetch_bytes) << tier->name;
  }
}

TEST(TuningBytes, GiveBackThePlans) {
  const KeptTuning plans = two_plans();
  EXPECT_EQ(must(read_tuning(tuning_bytes(plans, "here"), "here", table())), plans);
  EXPECT_EQ(must(read_tuning(tuning_bytes({}, ""), "", table())), KeptTuning{});
  const std::string text(40, 'x');  // as long as a row and more
  EXPECT_EQ(must(read_tuning(tuning_bytes(plans, text), text, table())), plans);
}

TEST(TuningBytes, AnyDamageIsSeen) {
  const auto bytes = tuning_bytes(two_plans(), "here");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(refused(std::span(bytes).first(size)), "") << size;
  }
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    auto flipped = bytes;
    flipped[at] ^= std::byte{1};
    EXPECT_THAT(refused(flipped), HasSubstr("damaged")) << at;
  }
}

TEST(TuningBytes, OfAnotherMachineAreRefused) {
  const auto bytes = tuning_bytes(two_plans(), "tern 1 on there");
  const std::string message = refused(bytes, "tern 1 on here!");
  EXPECT_THAT(message, HasSubstr("expected one made by tern 1 on here!"));
  EXPECT_THAT(message, HasSubstr("found one made by tern 1 on there"));
}

// What a program with other ideas could have written, with a hash that is right.
TEST(TuningBytes, WhatTheTierCannotIsRefused) {
  const auto bytes = tuning_bytes(two_plans(), "here");
  const auto with = [&](std::size_t offset, std::uint32_t value) {
    auto changed = bytes;
    std::memcpy(changed.data() + offset, &value, sizeof value);
    return refused(hashed(changed));
  };
  constexpr std::size_t kFirstRow = 32 + 4;
  constexpr std::size_t kTeam = kFirstRow + 2 * 32;
  EXPECT_EQ(with(kFirstRow + 20, 2), "");  // another number of streams
  EXPECT_THAT(with(0, 1), HasSubstr("expected version 3, found 1"));
  EXPECT_THAT(with(8, 5), HasSubstr("size"));       // bytes of the text
  EXPECT_THAT(with(8, 3), HasSubstr("size"));       // a byte that is no row
  EXPECT_THAT(with(8, 4 + 32), HasSubstr("size"));  // as if a row were text
  EXPECT_THAT(with(8, 1u << 30), HasSubstr("size"));
  EXPECT_THAT(with(16, 3), HasSubstr("size"));  // rows
  EXPECT_THAT(with(24, 2), HasSubstr("size"));  // teams
  EXPECT_THAT(with(24, 0), HasSubstr("size"));
  EXPECT_EQ(with(kTeam + 8, 1024), "");
  EXPECT_THAT(with(kTeam + 8, 0), HasSubstr("threads, found 0"));
  EXPECT_THAT(with(kTeam + 8, 1025), HasSubstr("threads, found 1025"));
  EXPECT_THAT(with(kFirstRow + 16, 2), HasSubstr("packing 2"));
  EXPECT_THAT(with(kFirstRow + 16, 256), HasSubstr("packing 256"));  // its last byte is a packing
  for (const std::uint32_t streams : {0u, 3u, 8u}) {
    EXPECT_THAT(with(kFirstRow + 20, streams), HasSubstr("streams")) << streams;
  }
  EXPECT_EQ(with(kFirstRow + 24, 1u << 20), "");
  EXPECT_THAT(with(kFirstRow + 24, (1u << 20) + 1), HasSubstr("bytes of prefetch"));
}

// A tier as this machine's best one, with tile registers or without.
kernels::KernelTable with_tile_tokens(std::uint32_t own) {
  kernels::KernelTable tier = table();
  tier.tile_tokens = own;
  return tier;
}

TEST(TuningBytes, TileRegistersAreForTiersThatHaveThemAndFromNumbersThatAreMeasured) {
  const auto read = [](std::uint32_t tile_tokens, std::uint32_t own) {
    const KeptTuning plans{{{{16, 128}, {Packing::kTwoBits, {1, 0, kSecond}, tile_tokens}}}, {}};
    const auto found = read_tuning(tuning_bytes(plans, "here"), "here", with_tile_tokens(own));
    if (found) {
      EXPECT_EQ(*found, plans);
    }
    return found ? "" : found.error().to_string();
  };
  for (const std::uint32_t from : {0u, 2u, 4u, 8u, 16u, 32u, 64u}) {
    EXPECT_EQ(read(from, 8), "") << from;
    EXPECT_EQ(read(from, 0).empty(), from == 0) << from;
  }
  for (const std::uint32_t from : {1u, 3u, 24u, 65u, 128u, 1u << 31}) {
    EXPECT_THAT(read(from, 8), HasSubstr("registers from " + std::to_string(from) + " rows on"));
  }
}

// Numbers whose differences wrap around to what the rows would need, and less than a head.
TEST(TuningBytes, NothingBeyondTheEndIsRead) {
  auto bytes = tuning_bytes(two_plans(), "here");
  const std::uint64_t sizes[] = {4 + 2 * 32 + 32, (std::uint64_t{1} << 59) - 1};  // text, rows
  std::memcpy(bytes.data() + 8, sizes, sizeof sizes);
  EXPECT_THAT(refused(hashed(bytes)), HasSubstr("size"));
  EXPECT_THAT(refused(hashed(std::vector<std::byte>(24))), HasSubstr("cut short"));
}

TEST(TuningBytes, FiveTritsAreForTiersThatHaveThem) {
  const KeptTuning plans{{{{16, 128}, {Packing::kFiveTrits, {1, 0, false}}}}, {}};
  const auto bytes = tuning_bytes(plans, "here");
  for (const kernels::KernelTable* tier : kernels::all_tables()) {
    EXPECT_EQ(read_tuning(bytes, "here", *tier).ok(), tier->five_trits) << tier->name;
  }
}

// The backend with the best tier, or the first that has the packing.
const kernels::KernelTable* tier_with_both_packings() {
  return table().five_trits ? &table() : &kernels::scalar_table();
}

TEST(TuningOfABackend, AShapeIsPackedAndReadAsItsPlanSays) {
  const kernels::KernelTable& tier = *tier_with_both_packings();
  const Packing other = tier.packing == Packing::kTwoBits ? Packing::kFiveTrits : Packing::kTwoBits;
  const auto planned = test::make_ternary("planned", test::random_trits(48 * 256, 1), 256, 0.5f);
  const auto own = test::make_ternary("own", test::random_trits(48 * 256, 1), 128, 0.5f);
  CpuBackend plain(tier, 2);
  CpuBackend tuned(tier, 2);
  tuned.use_tuning({{{48, 256}, {other, {1, 0, false}}}});
  EXPECT_EQ(tuned.weight_bytes(planned.tensor), kernels::packed_bytes(48, 256, other));
  EXPECT_NE(tuned.weight_bytes(planned.tensor), plain.weight_bytes(planned.tensor));
  EXPECT_EQ(tuned.weight_bytes(own.tensor), plain.weight_bytes(own.tensor));

  std::vector<float> x(256);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) - 8.0f;
  std::vector<float> expected(48);
  std::vector<float> found(48);
  must(plain.ternary_rows(must(plain.load_ternary(planned.tensor)), 0, 1, x, expected));
  must(tuned.ternary_rows(must(tuned.load_ternary(planned.tensor)), 0, 1, x, found));
  EXPECT_EQ(expected, found);
}

// Else the cache would give weights in another packing than the kernels are told.
TEST(TuningOfABackend, APackingOfItsOwnIsPartOfTheLayout) {
  const kernels::KernelTable& tier = *tier_with_both_packings();
  CpuBackend backend(tier, 1);
  const std::string layout = backend.layout();
  backend.use_tuning({{{48, 256}, {tier.packing, {1, 0, false}}}});
  EXPECT_EQ(backend.layout(), layout);
  const Packing other = tier.packing == Packing::kTwoBits ? Packing::kFiveTrits : Packing::kTwoBits;
  backend.use_tuning({{{48, 256}, {other, {1, 0, false}}}});
  EXPECT_EQ(backend.layout(), layout + " 48x256:" + std::string(name(other)));
}

// A tier that notes how it was told to read.
std::uint32_t noted_streams = 0;
std::uint32_t noted_tile_tokens = 0;
bool noted_second_cache = false;
void note_reading(const kernels::TernaryTiles& w, std::size_t, const kernels::QuantizedRows&,
                  std::size_t, float*, std::size_t) {
  noted_streams = w.read.streams;
  noted_tile_tokens = w.tile_tokens;
  noted_second_cache = w.read.second_cache;
}

TEST(TuningOfABackend, ThePatternReachesTheKernel) {
  kernels::KernelTable noting = with_tile_tokens(8);
  noting.ternary_linear = note_reading;
  CpuBackend backend(noting, 1);
  backend.use_tuning({{{48, 256}, {Packing::kTwoBits, {kernels::kMostStreams, 1024, true}, 4}}});
  const auto matrix = test::make_ternary("planned", test::random_trits(48 * 256, 1), 256, 0.5f);
  const WeightId id = must(backend.load_ternary(matrix.tensor));
  std::vector<float> x(2 * 256, 1.0f);
  std::vector<float> y(2 * 16);
  must(backend.ternary_rows(id, 16, 1, std::span(x).first(256), std::span(y).first(16)));
  EXPECT_EQ(noted_streams, kernels::kMostStreams);
  EXPECT_TRUE(noted_second_cache);
  must(backend.ternary_rows(id, 16, 2, x, y));
  EXPECT_EQ(noted_streams, 0u);  // the tier's own: the plan is of one row
  EXPECT_EQ(noted_tile_tokens, 4u);
}

#if defined(__x86_64__)
TEST(TuningOfABackendWithAmx, TakesTileRegistersFromThePlansNumberOfRowsOn) {
  const kernels::KernelTable& tier = kernels::kAmxEmulatedTable;
  const auto missing = tier.required_features & ~detect_cpu_features();
  if (missing != 0) GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
  const auto matrix = test::make_ternary("planned", test::random_trits(48 * 256, 1), 256, 0.5f);
  std::vector<float> x(40 * 256);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 23) - 11.0f;
  CpuBackend definition(kernels::scalar_table(), 1);
  const WeightId defined = must(definition.load_ternary(matrix.tensor));
  for (const std::uint32_t from : {0u, 2u, 4u, 8u, 16u, 32u, 64u}) {
    CpuBackend tuned(tier, 1);
    tuned.use_tuning({{{48, 256}, {Packing::kFiveTrits, {1, 0, false}, from}}});
    const WeightId id = must(tuned.load_ternary(matrix.tensor));
    for (const std::size_t rows : {1u, 2u, 3u, 4u, 7u, 8u, 15u, 16u, 31u, 32u, 40u}) {
      const auto values = std::span(x).first(rows * 256);
      std::vector<float> expected(rows * 48);
      std::vector<float> found(rows * 48);
      must(definition.ternary_rows(defined, 0, rows, values, expected));
      const std::uint64_t before = kernels::emulated_configurations();
      must(tuned.ternary_rows(id, 0, rows, values, found));
      EXPECT_EQ(found, expected) << rows << " rows, from " << from;
      EXPECT_EQ(kernels::emulated_configurations() > before,
                rows >= (from != 0 ? from : tier.tile_tokens))
          << rows << " rows, from " << from;
    }
  }
}
#endif

}  // namespace
}  // namespace tern::backend
