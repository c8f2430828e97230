#include "diagnose/measure/bench_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <string>

namespace tern::diagnose {
namespace {

using testing::HasSubstr;
using testing::Not;

BenchReport report() {
  BenchReport r;
  r.model = "a model";
  r.architecture = "bitnet-b1.58";
  r.source = "a.gguf";
  r.tier = "fast";
  r.threads = 2;
  r.tuning = "loaded";
  r.repetitions = 7;
  r.prefill_chunk = 256;
  r.decode_tokens = 128;
  r.depth = 16;
  r.macs_per_token = 2'000'000'000;
  r.bytes_per_token = 1'000'000'000;
  r.head = {true, 657'000'000, 330'000'000, ""};
  r.exact_rows_per_token = 45.25;
  r.kv_bytes_per_token = 5'000'000;
  r.kv_bytes = 40'000'000;
  r.kv_type = format::KvType::kInt8;
  r.share_with_kv = 0.804;
  r.prefills = {{512, {{{90.0, 100.0, 110.0, 7}, 1}, 0.5}, {{90.0, 3.9e11}, {100.0, 3.8e11}}},
                {64, {{{70.0, 80.0, 90.0, 7}, 0}, 0.4}, {{80.0, 3.7e11}}}};
  r.batches = {{16, {{{150.0, 160.0, 170.0, 7}, 0}, 0.6}}};
  r.decode = Rate{{{19.0, 20.0, 21.0, 7}, 0}, 0.8};
  r.decode_turns = {{19.0, 23e9}, {20.0, 25e9}, {21.0, 26e9}};
  r.load.warm = {{0.4, 0.5, 0.6, 7}, 0};
  r.load.cold = {{1.4, 1.5, 1.6, 7}, 14, {}, 0.021};
  r.load.cold_resident_share = 0.25;
  r.rss_bytes = 1'300'000'000;
  r.rss_excludes_probe = true;
  r.stolen_share = 0.001;
  r.ceilings.read_before = {24e9, 2ull << 30, 2, false};
  r.ceilings.read_after = {25e9, 2ull << 30, 4, true};
  r.ceilings.macs = {{"slow", 1e11, 1e11}, {"fast", 4e11, 3e11}};
  return r;
}

// Every key with its value: a change here breaks who reads the JSON.
TEST(BenchReport, JsonHasTheKeysThatStay) {
  EXPECT_EQ(boost::json::parse(to_json(report())), boost::json::parse(R"({
    "model": "a model", "architecture": "bitnet-b1.58", "source": "a.gguf",
    "tier": "fast", "threads": 2, "kv": "int8", "tuning": "loaded",
    "prefill": {"tokens": 512, "chunk": 256, "tokens_per_s": 100.0, "lower_quartile": 90.0,
                "upper_quartile": 110.0, "repetitions": 7, "discarded": 1, "stolen_share": 0.0,
       "share": 0.5,
                "shares": {"slow": 2.0, "fast": 0.5}, "macs_per_token": 2000000000,
       "mac_per_s": 3.85e11},
    "prefills": [
      {"tokens": 512, "chunk": 256, "tokens_per_s": 100.0, "lower_quartile": 90.0,
       "upper_quartile": 110.0, "repetitions": 7, "discarded": 1, "stolen_share": 0.0,
       "share": 0.5,
       "shares": {"slow": 2.0, "fast": 0.5}, "macs_per_token": 2000000000,
       "mac_per_s": 3.85e11},
      {"tokens": 64, "chunk": 64, "tokens_per_s": 80.0, "lower_quartile": 70.0,
       "upper_quartile": 90.0, "repetitions": 7, "discarded": 0, "stolen_share": 0.0,
       "share": 0.4,
       "shares": {"slow": 1.6, "fast": 0.4}, "macs_per_token": 2000000000,
       "mac_per_s": 3.7e11}],
    "batches": [
      {"sequences": 16, "tokens_per_s": 160.0, "lower_quartile": 150.0, "upper_quartile": 170.0,
       "repetitions": 7, "discarded": 0, "stolen_share": 0.0, "share": 0.6,
       "token_s": 0.1, "times_one": 8.0}],
    "decode": {"tokens": 128, "depth": 16, "tokens_per_s": 20.0, "lower_quartile": 19.0,
               "upper_quartile": 21.0, "repetitions": 7, "discarded": 0, "stolen_share": 0.0,
               "share": 0.8,
               "bytes_per_token": 1000000000, "read_bytes_per_s": 25e9,
               "kv_bytes_per_token": 5000000, "share_with_kv": 0.804},
    "head": {"mode": "certified", "bytes": 657000000, "copy_bytes": 330000000,
             "exact_rows_per_token": 45.25},
    "load_s": 0.5,
    "load": {"warm": {"s": 0.5, "lower_quartile": 0.4, "upper_quartile": 0.6, "repetitions": 7,
                      "discarded": 0, "stolen_share": 0.0},
             "cold": {"s": 1.5, "lower_quartile": 1.4, "upper_quartile": 1.6, "repetitions": 7,
                      "discarded": 14, "stolen_share": 0.021, "resident_share": 0.25}},
    "rss_bytes": 1300000000, "rss_excludes_probe": true, "kv_bytes": 40000000,
    "stolen_share": 0.001,
    "ceilings": {"read_bytes_per_s": 25e9, "read_before_bytes_per_s": 24e9,
                 "read_after_bytes_per_s": 25e9, "read_streams": 4, "read_prefetch": true,
                 "read_buffer_bytes": 2147483648, "mac_per_s": 4e11,
                 "mac": {"slow": 1e11, "fast": 4e11}}
  })"));
}

TEST(BenchReport, JsonSaysNullForWhatWasNotMeasured) {
  BenchReport r = report();
  r.prefills.clear();
  r.decode.reset();
  r.load.cold.reset();
  r.stolen_share.reset();
  const auto found = boost::json::parse(to_json(r)).as_object();
  EXPECT_TRUE(found.at("prefill").is_null());
  EXPECT_TRUE(found.at("prefills").as_array().empty());
  EXPECT_TRUE(found.at("batches").as_array().at(0).as_object().at("times_one").is_null());
  EXPECT_TRUE(found.at("decode").is_null());
  EXPECT_TRUE(found.at("head").at("exact_rows_per_token").is_null());
  EXPECT_TRUE(found.at("load").as_object().at("cold").is_null());
  EXPECT_TRUE(found.at("stolen_share").is_null());
}

TEST(BenchReport, TextShowsEachFigureBesideItsCeiling) {
  EXPECT_EQ(
      to_text(report()),
      "model    a model, bitnet-b1.58, a.gguf\n"
      "run      fast, 2 threads, keys and values in int8, tuning loaded, median [quartiles] of "
      "7\n"
      "prefill  512 tokens: 100 tok/s [90, 110, 1 disturbed discarded], 50.0% of fast's int8 "
      "multiply-accumulates, 200.0% of slow's, at 385.00 G/s [382.50, 387.50] beside it\n"
      "prefill  64 tokens: 80 tok/s [70, 90], 40.0% of fast's int8 multiply-accumulates, "
      "160.0% of slow's, at 370.00 G/s [370.00, 370.00] beside it\n"
      "decode   128 tokens behind 16: 20 tok/s [19, 21], 80.0% of reading 1000.0 MB a token, "
      "80.4% with its 5.0 MB of keys and values, at 25.00 GB/s [24.00, 25.50] beside it\n"
      "batch    16 sequences: 160 tok/s [150, 170], 100 ms a token of each, 60.0% of the "
      "limit, 8.00 times one\n"
      "head     certified, a copy of 330.0 MB; 45.2 rows a token computed exactly\n"
      "load     warm 0.5 s [0.4, 0.6], cold 1.5 s [1.4, 1.6, 14 disturbed discarded, up to "
      "2.1% stolen from the rest], of which the kernel kept up to 25.0% cached\n"
      "memory   1300.0 MB at most, 40.0 MB of keys and values among them\n"
      "stolen   0.10% of the machine's time\n"
      "read     25.00 GB/s (24.00 before, 25.00 after; 4 streams a thread, prefetched, 2048 "
      "MiB)\n"
      "int8     100.0 G multiply-accumulates/s with slow\n"
      "int8     400.0 G multiply-accumulates/s with fast\n");
}

TEST(BenchReport, TextOwnsUpToWhatItCouldNotDo) {
  BenchReport r = report();
  r.prefills.clear();
  r.decode.reset();
  r.load.cold.reset();
  r.rss_excludes_probe = false;
  r.stolen_share.reset();
  r.head = {false, 657'000'000, 0, "no room"};
  const std::string text = to_text(r);
  EXPECT_THAT(text, HasSubstr("prefill  not measured\n"));
  EXPECT_THAT(text, HasSubstr("decode   not measured\n"));
  EXPECT_THAT(text, HasSubstr("head     exact, all rows for each token: no room\n"));
  EXPECT_THAT(text, HasSubstr("cold not measured: the model is no file\n"));
  EXPECT_THAT(text, HasSubstr("the probe's buffer counts"));
  EXPECT_THAT(text, HasSubstr("stolen   unknown"));
  r = report();
  r.load.cold_resident_share = 0.0;
  EXPECT_THAT(to_text(r), Not(HasSubstr("kept")));
}

}  // namespace
}  // namespace tern::diagnose
