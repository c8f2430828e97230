#include "telemetry/prometheus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tern::telemetry {
namespace {

using ::testing::ElementsAre;

constexpr double kBounds[] = {0.1, 1.0};

TEST(Histogram, CountsWhatIsAtMostEachBound) {
  Histogram histogram(kBounds);
  for (const double value : {0.05, 0.1, 0.5, 1.5, 7.0}) histogram.observe(value);
  const auto found = histogram.snapshot();
  EXPECT_THAT(found.counts, ElementsAre(2u, 1u, 2u));
  EXPECT_DOUBLE_EQ(found.sum, 9.15);
}

TEST(Histogram, OfOneNameIsOne) {
  Telemetry telemetry;
  Histogram& histogram = telemetry.histogram("a", kBounds);
  EXPECT_EQ(&histogram, &telemetry.histogram("a", kBounds));
  histogram.observe(0.5);
  EXPECT_THAT(telemetry.histograms().at("a").counts, ElementsAre(0u, 1u, 0u));
}

TEST(Prometheus, WritesCountersHistogramsAndGauges) {
  Telemetry telemetry;
  telemetry.counter("engine.generated_tokens").add(7);
  Histogram& histogram = telemetry.histogram("http.first_token_seconds", kBounds);
  for (const double value : {0.05, 0.5, 0.6, 7.0}) histogram.observe(value);
  const std::vector<Gauge> gauges{{"engine.kv_use", "The share in use.", 0.25},
                                  {"build_info", "What answers.", 1.0, {{"model", "a\"b\\c\n"}}}};
  const Help help[] = {{"http.first_token_seconds", "The first token."},
                       {"engine.generated", "Of another name."}};
  EXPECT_EQ(prometheus_text(telemetry, gauges, help),
            "# TYPE tern_engine_generated_tokens_total counter\n"
            "tern_engine_generated_tokens_total 7\n"
            "# HELP tern_http_first_token_seconds The first token.\n"
            "# TYPE tern_http_first_token_seconds histogram\n"
            "tern_http_first_token_seconds_bucket{le=\"0.1\"} 1\n"
            "tern_http_first_token_seconds_bucket{le=\"1\"} 3\n"
            "tern_http_first_token_seconds_bucket{le=\"+Inf\"} 4\n"
            "tern_http_first_token_seconds_sum 8.15\n"
            "tern_http_first_token_seconds_count 4\n"
            "# HELP tern_engine_kv_use The share in use.\n"
            "# TYPE tern_engine_kv_use gauge\n"
            "tern_engine_kv_use 0.25\n"
            "# HELP tern_build_info What answers.\n"
            "# TYPE tern_build_info gauge\n"
            "tern_build_info{model=\"a\\\"b\\\\c\\n\"} 1\n");
}

TEST(Prometheus, NamesThatAllProgramsShareStandAsTheyAre) {
  const Telemetry telemetry;
  const std::vector<Gauge> gauges{
      {"process.start_time_seconds", "Ours.", 1},
      {"process.start_time_seconds", "Everybody's.", 2, {}, false, true},
      {"process.cpu_seconds", "Time.", 3, {}, true, true}};
  EXPECT_EQ(prometheus_text(telemetry, gauges),
            "# HELP tern_process_start_time_seconds Ours.\n"
            "# TYPE tern_process_start_time_seconds gauge\n"
            "tern_process_start_time_seconds 1\n"
            "# HELP process_start_time_seconds Everybody's.\n"
            "# TYPE process_start_time_seconds gauge\n"
            "process_start_time_seconds 2\n"
            "# HELP process_cpu_seconds_total Time.\n"
            "# TYPE process_cpu_seconds_total counter\n"
            "process_cpu_seconds_total 3\n");
}

TEST(Prometheus, SamplesOfOneNameStandTogether) {
  const Telemetry telemetry;
  const std::vector<Gauge> gauges{{"key.requests", "Of a key.", 3, {{"key", "a"}}, true},
                                  {"key.requests", "Of a key.", 4, {{"key", "b"}}, true}};
  EXPECT_EQ(prometheus_text(telemetry, gauges),
            "# HELP tern_key_requests_total Of a key.\n"
            "# TYPE tern_key_requests_total counter\n"
            "tern_key_requests_total{key=\"a\"} 3\n"
            "tern_key_requests_total{key=\"b\"} 4\n");
}

}  // namespace
}  // namespace tern::telemetry
