#include "diagnose/measure/bench.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <random>

#include "core/cpu_features.h"
#include "kernels/registry.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::diagnose {
namespace {

class Bench : public testing::Test {
 protected:
  void SetUp() override {
    path_ = test::write_tiny_model(directory_.path(), shape_).string();
    options_.open = [this] { return format::GgufFile::open(path_); };
    options_.path = path_;
    options_.tier = &kernels::scalar_table();
    options_.tiers = tiers_;
    options_.threads = 2;
    options_.prefills = {8, 5};
    options_.decode = 4;
    options_.depth = 3;
    options_.repetitions = {.count = 3, .clock = [] { return CpuTime{}; }};
    options_.read_buffer = 1u << 20;
    options_.read_budget = std::chrono::milliseconds(10);
  }

  using Outcome = decltype(bench(BenchOptions{}));

  // Other processes may disturb a ceiling so much that what is measured goes beyond it, which
  // bench() says; then again.
  static Outcome undisturbed(const std::function<Outcome()>& run) {
    for (int i = 0; i < 20; ++i) {
      auto outcome = run();
      if (outcome.ok() ||
          outcome.error().message.find("ceiling was disturbed") == std::string::npos) {
        return outcome;
      }
    }
    return run();
  }
  Outcome measured() const {
    return undisturbed([this] { return bench(options_); });
  }

  const test::TinyModel shape_{.layers = 1,
                               .hidden = 128,
                               .ffn = 256,
                               .heads = 2,
                               .kv_heads = 1,
                               .head_dim = 64,
                               .vocab = 96,
                               .context = 64};
  const test::TemporaryDirectory directory_;
  const std::array<const kernels::KernelTable*, 1> tiers_{&kernels::scalar_table()};
  std::string path_;
  BenchOptions options_;
};

TEST_F(Bench, NumeratorsAreFormulasOfTheShape) {
  options_.head = model::HeadMode::kExact;
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  ASSERT_TRUE(outcome->has_value());
  const BenchReport& report = **outcome;
  // Query and output 128 x 128, key and value 128 x 64, gate, up and down 128 x 256.
  EXPECT_EQ(report.macs_per_token, 147456u);
  // Those at 2 bits; embedding, which is the head, 96 x 128 in f16; norms in f32: three of 128
  // (before attention, its sub-norm, before the FFN), 256 (its sub-norm) and 128 (the last).
  EXPECT_EQ(report.bytes_per_token, 147456u / 4 + 96 * 128 * 2 + 4 * (4 * 128 + 256));
  // Positions 3 to 6 read 4, 5, 6 and 7 keys and values of 64 f16 each: 5.5 on average.
  EXPECT_EQ(report.kv_bytes_per_token, 5.5 * 2 * 64 * 2);
  EXPECT_EQ(report.kv_bytes, 8u * 2 * 64 * 2);
  EXPECT_EQ(report.exact_rows_per_token, 96.0);
}

TEST_F(Bench, ACertifiedHeadReadsItsCopy) {
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  const BenchReport& report = **outcome;
  EXPECT_TRUE(report.head.certified);
  EXPECT_EQ(report.head.bytes, 96u * 128 * 2);
  // As above, but of the head a byte a weight and three floats a row.
  EXPECT_EQ(report.bytes_per_token, 147456u / 4 + 96 * (128 + 12) + 4 * (4 * 128 + 256));
  EXPECT_GE(report.exact_rows_per_token, 1.0);
  EXPECT_LT(report.exact_rows_per_token, 48.0);
}

// A code a value, and a scale of four bytes for each key and each value.
TEST_F(Bench, Int8KeysAndValuesCountWithTheirScales) {
  options_.kv_type = format::KvType::kInt8;
  options_.prefills = {};
  options_.batches = {1, 3};
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  const BenchReport& report = **outcome;
  EXPECT_EQ(report.kv_type, format::KvType::kInt8);
  EXPECT_EQ(report.kv_bytes_per_token, 5.5 * 2 * 68);
  EXPECT_EQ(report.kv_bytes, 3u * 7 * 2 * 68);
}

// The share of the rate is the median of what its three turns have of their ceilings.
void expect_turns(const std::vector<Turn>& turns, const Rate& rate, double a_token) {
  ASSERT_EQ(turns.size(), 3u);
  std::vector<double> shares, rates;
  for (const Turn& turn : turns) {
    EXPECT_GT(turn.ceiling, 0.0);
    EXPECT_LT(turn.ceiling, 1e14);
    rates.push_back(turn.tokens_per_second);
    shares.push_back(turn.tokens_per_second * a_token / turn.ceiling);
  }
  EXPECT_EQ(quartiles(rates).median, rate.tokens_per_second.value.median);
  EXPECT_DOUBLE_EQ(rate.share, quartiles(shares).median);
}

TEST_F(Bench, MeasuresAllAndSharesAreShares) {
  options_.batches = {2, 3};
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  const BenchReport& report = **outcome;
  ASSERT_TRUE(report.prefills.size() == 2 && report.decode && report.batches.size() == 2);
  for (const Rate& rate : {report.prefills[0].rate, report.prefills[1].rate, *report.decode,
                           report.batches[0].rate, report.batches[1].rate}) {
    EXPECT_EQ(rate.tokens_per_second.value.count, 3u);
    EXPECT_GT(rate.tokens_per_second.value.median, 0.0);
    EXPECT_GT(rate.share, 0.0);
    EXPECT_LE(rate.share, 1.0);
  }
  EXPECT_EQ(report.prefills[1].tokens, 5u);
  expect_turns(report.prefills[1].turns, report.prefills[1].rate, 147456.0);
  const BatchRate& batch = report.batches[1];
  EXPECT_EQ(batch.sequences, 3u);
  const double rate = batch.rate.tokens_per_second.value.median;
  EXPECT_DOUBLE_EQ(batch.seconds_a_token(), 3 / rate);
  const double least = std::max(
      static_cast<double>(report.bytes_per_token) / report.ceilings.read().bytes_per_second,
      3 * 147456.0 / report.ceilings.macs[0].best());
  EXPECT_DOUBLE_EQ(batch.rate.share, rate * least / 3);
  const auto bytes = static_cast<double>(report.bytes_per_token);
  expect_turns(report.decode_turns, *report.decode, bytes);
  EXPECT_DOUBLE_EQ(
      report.share_with_kv.value(),
      report.decode->share * (1 + static_cast<double>(report.kv_bytes_per_token) / bytes));
  EXPECT_GT(report.ceilings.macs[0].before, 0.0);
  EXPECT_GT(report.ceilings.macs[0].after, 0.0);
  EXPECT_GT(report.load.warm.value.median, 0.0);
  ASSERT_TRUE(report.load.cold.has_value());
  EXPECT_GT(report.rss_bytes, 1u << 20);
  EXPECT_EQ(report.tier, "scalar");
}

TEST_F(Bench, WhatIsNotAskedForIsNotMeasured) {
  options_.prefills = {};
  options_.path.clear();
  auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_TRUE((*outcome)->prefills.empty());
  EXPECT_TRUE((*outcome)->batches.empty());
  EXPECT_TRUE((*outcome)->decode.has_value());
  EXPECT_FALSE((*outcome)->load.cold.has_value());
  options_.prefills = {8, 5};
  options_.decode = 0;
  outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_EQ((*outcome)->prefills.size(), 2u);
  EXPECT_FALSE((*outcome)->decode.has_value());
}

TEST_F(Bench, TheLargerOfTwoCeilingsCounts) {
  Ceilings ceilings;
  ceilings.read_before.bytes_per_second = 5.0;
  ceilings.read_after.bytes_per_second = 4.0;
  EXPECT_EQ(ceilings.read().bytes_per_second, 5.0);
  ceilings.read_after.bytes_per_second = 6.0;
  EXPECT_EQ(ceilings.read().bytes_per_second, 6.0);
  EXPECT_EQ((TierCeiling{"x", 2.0, 3.0}.best()), 3.0);
  EXPECT_EQ((TierCeiling{"x", 4.0, 3.0}.best()), 4.0);
}

// Weights that fit into a cache are measured against it where memory is slower.
TEST_F(Bench, TheCeilingOfASmallModelIsThatOfACache) {
  options_.read_buffer = 256u << 20;
  options_.read_budget = std::chrono::milliseconds(0);
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_LT((*outcome)->ceilings.read().buffer_bytes, 1u << 20);
}

TEST_F(Bench, TimeThatWasStolenIsReportedWhereItIsKnown) {
  options_.repetitions.clock = [time = CpuTime{}]() mutable {
    time.total += 1000;
    time.stolen += 1;
    return std::optional(time);
  };
  auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_DOUBLE_EQ((*outcome)->stolen_share.value(), 0.001);
  outcome = undisturbed([this] {
    options_.repetitions.clock = [asked = 0]() mutable {
      return asked++ == 0 ? std::optional<CpuTime>() : std::optional(CpuTime{});
    };
    return bench(options_);
  });
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_FALSE((*outcome)->stolen_share.has_value());
}

// A hypervisor works for a disk that it makes up: where a cold load is never quiet, it counts.
TEST_F(Bench, AColdLoadBearsAllThatAHypervisorTakes) {
  const auto stolen_from = [this](std::string_view disturbed) {
    std::string measured_now;
    options_.progress = [&](std::string_view what, std::uint64_t, std::uint64_t) {
      measured_now = what;
    };
    options_.repetitions.clock = [&, time = CpuTime{}]() mutable {
      time.total += 1000;
      if (measured_now == disturbed) time.stolen += 120;
      return std::optional(time);
    };
    return measured();
  };
  const auto cold = stolen_from("cold load");
  ASSERT_TRUE(cold.ok()) << cold.error().to_string();
  EXPECT_EQ((*cold)->load.cold->disturbance, 0.12);
  EXPECT_EQ((*cold)->load.warm.disturbance, 0.0);
  const auto warm = stolen_from("warm load");
  ASSERT_FALSE(warm.ok());
  EXPECT_EQ(warm.error().to_string().find("warm load: expected 3 repetitions of which the "
                                          "hypervisor takes at most 5%"),
            0u)
      << warm.error().to_string();
}

// Less than memory gives without a hypervisor in the way: decode on either side of it would look
// better than it is.
TEST_F(Bench, AReadingFromWhichTimeWasStolenIsMadeAgain) {
  options_.prefills = {};
  options_.path.clear();
  // That many readings, the first ones, of each of which so much of 1000 jiffies was stolen.
  const auto run = [&](int disturbed, std::uint64_t jiffies = 90) {
    int asked = 0;
    auto outcome = undisturbed([&] {
      asked = 0;
      options_.repetitions.clock = [&asked, disturbed, jiffies, time = CpuTime{}]() mutable {
        const bool ends = ++asked % 2 != 0;  // the first of all begins the run
        const std::uint64_t stolen = ends && asked <= 1 + 2 * disturbed ? jiffies : 0u;
        time.total += 1000;
        time.stolen += asked == 1 ? 0 : stolen;
        return std::optional(time);
      };
      return bench(options_);
    });
    return std::pair(std::move(outcome), asked);
  };
  const auto [quiet, asked] = run(0);
  ASSERT_TRUE(quiet.ok()) << quiet.error().to_string();
  const auto [outcome, asked_more] = run(3);
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  EXPECT_EQ((*outcome)->decode->tokens_per_second.discarded, 0u);
  EXPECT_EQ((*outcome)->decode_turns.size(), 3u);
  EXPECT_EQ(asked_more, asked + 2 * 3);
  EXPECT_EQ((*outcome)->decode->tokens_per_second.disturbance, 0.0);
  const auto borne = run(12, 40).first;  // all attempts of the first one
  ASSERT_TRUE(borne.ok()) << borne.error().to_string();
  EXPECT_EQ((*borne)->decode->tokens_per_second.disturbance, 0.04);
  const auto never = run(1000).first;
  ASSERT_FALSE(never.ok());
  EXPECT_EQ(never.error().code, ErrorCode::kNumeric);
  EXPECT_EQ(never.error().context, "reading beside decode");
}

// A repetition that was begun ends at once, and no ceiling is measured and nothing loaded.
TEST_F(Bench, StopsWhenAsked) {
  options_.batches = {2};
  for (const std::string_view at :
       {"ceilings", "load", "prefill", "decode", "batch of 2", "warm load", "cold load"}) {
    std::stop_source stop;
    options_.stop = stop.get_token();
    bool stopped = false;
    options_.progress = [&](std::string_view step, std::uint64_t done, std::uint64_t) {
      EXPECT_FALSE(stopped && (done != 0 || step == "ceilings" || step == "load"))
          << step << " after " << at;
      if (step != at) return;
      stop.request_stop();
      stopped = true;
    };
    const auto outcome = bench(options_);
    ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
    EXPECT_FALSE(outcome->has_value());
    EXPECT_TRUE(stopped) << at;
  }
}

TEST_F(Bench, ProgressIsOfTheCountThatItSays) {
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> last;
  options_.batches = {2};
  options_.progress = [&](std::string_view step, std::uint64_t done, std::uint64_t total) {
    last[std::string(step)] = {done, total};
  };
  ASSERT_TRUE(measured().ok());
  EXPECT_EQ(last["ceilings"], std::pair(1ul, 2ul));
  for (const char* step : {"prefill", "decode", "batch of 2", "warm load", "cold load"}) {
    EXPECT_EQ(last[step], std::pair(3ul, 4ul)) << step;  // one ahead of three that count
  }
}

TEST_F(Bench, TheWholeContextMayBeMeasuredAndNoMore) {
  options_.prefills = {};
  options_.depth = 60;
  options_.batches = {1};
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().to_string();
  options_.depth = 61;
  EXPECT_FALSE(measured().ok());
}

TEST_F(Bench, MoreSequencesThanThereIsRoomForAreAnError) {
  options_.batches = {std::numeric_limits<std::uint32_t>::max()};
  EXPECT_EQ(bench(options_).error().code, ErrorCode::kOutOfMemory);  // a page each
  options_.decode = 40;
  const auto outcome = bench(options_);  // two pages each are more than a number of pages can say
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
}

// A tokenizer is loaded as by any other run.
TEST_F(Bench, ATokenizerThatIsBrokenIsAnError) {
  test::TinyModel broken = shape_;
  broken.keys = [](test::KeyMap& keys) { keys["tokenizer.ggml.model"] = std::string("none"); };
  options_.path = path_ = test::write_tiny_model(directory_.path(), broken).string();
  EXPECT_FALSE(bench(options_).ok());
}

// Of the sequences of a batch, whose tokens are not all those that were decoded alone.
TEST_F(Bench, NumbersThatFailInABatchAreAnError) {
  options_.prefills = {};
  options_.batches = {2};
  std::mt19937 random(1);
  test::TinyModel broken = shape_;
  broken.tied = false;
  broken.tamper = [&](const std::string& name, std::vector<std::byte>& bytes) {
    if (name == "token_embd.weight") {
      std::memset(&bytes[random() % shape_.vocab * shape_.hidden * 2], 0xff, shape_.hidden * 2);
    }
    return true;
  };
  options_.path = path_ = test::write_tiny_model(directory_.path(), broken).string();
  const auto outcome = measured();
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kNumeric);
  EXPECT_EQ(outcome.error().to_string().find("ceiling"), std::string::npos);
}

TEST_F(Bench, ALengthBeyondTheContextIsAnError) {
  options_.prefills = {65};
  options_.progress = [](std::string_view step, std::uint64_t, std::uint64_t) {
    ADD_FAILURE() << "begun: " << step;
  };
  const auto outcome = bench(options_);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
}

TEST_F(Bench, RefusesOptionsThatMeasureNothing) {
  BenchOptions options = options_;
  options.tiers = {};
  EXPECT_EQ(bench(options).error().code, ErrorCode::kUsage);
  options = options_;
  options.depth = 0;
  EXPECT_EQ(bench(options).error().code, ErrorCode::kUsage);
  options = options_;
  options.prefills = {8, 0};
  EXPECT_EQ(bench(options).error().code, ErrorCode::kUsage);
  options = options_;
  options.batches = {0};
  EXPECT_EQ(bench(options).error().code, ErrorCode::kUsage);
  options.batches = {2};
  options.decode = 0;
  EXPECT_EQ(bench(options).error().code, ErrorCode::kUsage);
  options = options_;
  options.repetitions.count = 0;
  EXPECT_EQ(bench(options).error().code, ErrorCode::kUsage);
}

TEST_F(Bench, ADisturbedMachineIsAnError) {
  // A reading of the clock begins the run and two are around each ceiling; from the sixth on each
  // repetition of a prompt begins with one, has those of its ceiling, and ends with one.
  const auto refused = [&](const std::function<bool(int)>& disturbed, std::string_view what) {
    int asked = 0;
    CpuTime time;
    options_.repetitions.clock = [&]() {
      time.total += 1000;
      time.stolen += disturbed(++asked) ? 500 : 0;
      return std::optional(time);
    };
    const auto outcome = bench(options_);
    ASSERT_FALSE(outcome.ok());
    EXPECT_EQ(outcome.error().code, ErrorCode::kNumeric);
    EXPECT_EQ(outcome.error().context, what);
  };
  refused([](int) { return true; }, "multiplying beside prefill");
  refused([](int asked) { return asked >= 9 && asked % 4 == 1; }, "prefill");
}

// A ceiling that says too little is none, unless products are looked up and not multiplied.
TEST_F(Bench, LookUpTablesMayPassTheMultiplyAccumulates) {
  kernels::KernelTable tier = kernels::scalar_table();
  tier.multiply_accumulate_loop = [](std::uint64_t steps) {
    return kernels::scalar_table().multiply_accumulate_loop(steps) / steps;
  };
  const std::array<const kernels::KernelTable*, 1> tiers{&tier};
  options_.tier = &tier;
  options_.tiers = tiers;
  const auto refused = [this](std::string_view what) {
    const auto above = bench(options_);
    ASSERT_FALSE(above.ok());
    EXPECT_EQ(above.error().code, ErrorCode::kNumeric);
    EXPECT_EQ(above.error().context, what);
  };
  refused("prefill");
  tier.lut_tokens = 6;  // prompts have 8 tokens and 5
  refused("prefill");
  tier.lut_tokens = 3;
  options_.batches = {2};
  refused("batch");
  options_.batches = {3};
  const auto outcome = measured();
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_GT((*outcome)->prefills[1].rate.share, 1.0);
  EXPECT_GT((*outcome)->batches[0].rate.share, 1.0);
}

TEST(Share, IsTheMedianOfItsTurns) {
  const std::vector<Turn> turns{{3.0, 40.0}, {2.0, 20.0}, {1.0, 5.0}};
  EXPECT_DOUBLE_EQ(share_in_turns(turns, 5.0), 0.5);
  EXPECT_DOUBLE_EQ(share_in_turns(turns, 20.0), 2.0);
  EXPECT_DOUBLE_EQ(ceiling_of(turns).median, 20.0);
}

TEST(ShareOf, AboveOneIsAnError) {
  EXPECT_EQ(*share_of("decode", 3.0, 4.0), 0.75);
  EXPECT_EQ(*share_of("decode", 4.0, 4.0), 1.0);
  for (const double ceiling : {3.99, 0.0}) {
    const auto share = share_of("decode", 4.0, ceiling);
    ASSERT_FALSE(share.ok());
    EXPECT_EQ(share.error().code, ErrorCode::kNumeric);
    EXPECT_EQ(share.error().context, "decode");
  }
  EXPECT_FALSE(share_of("decode", 0.0, 0.0).ok());
}

}  // namespace
}  // namespace tern::diagnose
