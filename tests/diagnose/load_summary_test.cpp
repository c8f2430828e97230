// The figures of requests whose times are known.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "diagnose/load/picture.h"
#include "diagnose/load/report.h"
#include "diagnose/load/summary.h"

namespace tern::diagnose {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::vector<double> upto(std::size_t count) {
  std::vector<double> values;
  for (std::size_t i = 1; i <= count; ++i) values.push_back(static_cast<double>(i));
  return values;
}

// Nearest rank: the k-th of n with the least k that is share * n or more.
TEST(Percentile, IsTheSmallestValueThatTheShareDoesNotExceed) {
  EXPECT_EQ(percentile(upto(100), 0.5), 50.0);
  EXPECT_EQ(percentile(upto(100), 0.95), 95.0);
  EXPECT_EQ(percentile(upto(100), 0.99), 99.0);
  EXPECT_EQ(percentile(upto(101), 0.5), 51.0);
  EXPECT_EQ(percentile(upto(101), 0.99), 100.0);
  EXPECT_EQ(percentile(upto(5), 0.5), 3.0);
  EXPECT_EQ(percentile(upto(4), 0.5), 2.0);
  EXPECT_EQ(percentile(upto(4), 0.75), 3.0);
  EXPECT_EQ(percentile(upto(4), 0.76), 4.0);
  EXPECT_EQ(percentile(upto(1), 0.01), 1.0);
  EXPECT_EQ(percentile(upto(3), 1.0), 3.0);
}

TEST(Spread, OfValuesInAnyOrder) {
  const Spread found = spread({4, 1, 3, 2});
  EXPECT_EQ(found.count, 4u);
  EXPECT_EQ(found.mean, 2.5);
  EXPECT_EQ(found.p50, 2.0);
  EXPECT_EQ(found.p95, 4.0);
  EXPECT_EQ(found.p99, 4.0);
  EXPECT_EQ(found.most, 4.0);
  EXPECT_EQ(spread({}).count, 0u);
}

RequestOutcome request(std::uint64_t index, double intended, double sent,
                       std::vector<double> pieces, double ended) {
  RequestOutcome made;
  made.index = index;
  made.intended = intended;
  made.sent = sent;
  made.pieces = std::move(pieces);
  made.ended = ended;
  made.prompt_tokens = 10;
  made.output_tokens = made.pieces.size();
  return made;
}

RequestOutcome failed(std::uint64_t index, double intended, const char* kind, const char* message) {
  RequestOutcome made = request(index, intended, intended, {}, intended + 0.5);
  made.failure = kind;
  made.message = message;
  return made;
}

LoadOutcome outcome() {
  LoadOutcome made;
  made.model = "a <model>";
  made.unit = "tokens";
  made.requests = {request(0, 0.0, 0.0, {5.0}, 6.0),  // of the warm-up
                   request(2, 2.0, 2.5, {3.0, 3.125, 3.5}, 4.0),
                   request(1, 1.0, 1.0, {1.25, 1.5}, 1.75),
                   failed(3, 3.0, "http_429", "come again"),
                   failed(4, 3.5, "http_429", "again"),
                   failed(5, 4.0, "closed", "cut")};
  return made;
}

TEST(Summary, WaitsCountFromWhenARequestWasToBeSent) {
  const LoadSummary found = summarise(outcome(), 1, {});
  EXPECT_EQ(found.answered, 2u);
  EXPECT_EQ(found.failed, 3u);
  EXPECT_EQ(found.seconds, 3.5);  // from 1 to 4.5
  EXPECT_EQ(found.prompt_tokens, 20u);
  EXPECT_EQ(found.output_tokens, 5u);
  EXPECT_EQ(found.first_token.p50, 0.25);
  EXPECT_EQ(found.first_token.most, 1.0);  // not 0.5, which it waited since it was sent
  EXPECT_EQ(found.between_tokens.count, 3u);
  EXPECT_EQ(found.between_tokens.p50, 0.25);
  EXPECT_EQ(found.between_tokens.mean, 0.25);
  EXPECT_EQ(found.answer.most, 2.0);
  EXPECT_EQ(found.answer.p50, 0.75);
  EXPECT_EQ(found.late.most, 0.5);
  EXPECT_FALSE(found.goodput);
  EXPECT_EQ(summarise(outcome(), 0, {}).answered, 3u);
}

TEST(Summary, FailuresAreCountedByKind) {
  const auto failures = summarise(outcome(), 1, {}).failures;
  ASSERT_EQ(failures.size(), 2u);
  EXPECT_EQ(failures.at("http_429").count, 2u);
  EXPECT_EQ(failures.at("http_429").example, "come again");
  EXPECT_EQ(failures.at("closed").count, 1u);
}

TEST(Summary, GoodputIsOfThoseThatKeepAllLimits) {
  const auto share = [](const Slo& slo) { return summarise(outcome(), 1, slo).goodput->share; };
  EXPECT_EQ(share({1.0, std::nullopt}), 2.0 / 5);  // at most: the limit itself is kept
  EXPECT_EQ(share({0.99, std::nullopt}), 1.0 / 5);
  EXPECT_EQ(share({std::nullopt, 0.25}), 2.0 / 5);
  EXPECT_EQ(share({std::nullopt, 0.24}), 0.0);
  EXPECT_EQ(share({0.5, 0.25}), 1.0 / 5);
  EXPECT_EQ(summarise(outcome(), 1, {1.0, 1.0}).goodput->requests_per_s, 2.0 / 3.5);
}

TEST(Summary, OfNothingIsNothing) {
  const LoadSummary found = summarise({}, 0, {1.0, 1.0});
  EXPECT_EQ(found.answered + found.failed, 0u);
  EXPECT_EQ(found.seconds, 0.0);
  EXPECT_FALSE(found.goodput);
}

LoadReport report(const Slo& slo) {
  LoadOptions options;
  options.target.url = "http://here";
  options.clients = 3;
  return make_report(options, outcome(), 1, slo);
}

TEST(LoadReport, HasItsFiguresInBothForms) {
  const std::string text = to_text(report({0.3, std::nullopt}));
  EXPECT_THAT(text, HasSubstr("a <model> at http://here: closed loop, 3 clients, seed 1\n"));
  EXPECT_THAT(text, HasSubstr("5 requests in 3.5 s, 3 of them failed; 1 before them to warm up"));
  EXPECT_THAT(text, HasSubstr("0.5714 requests/s, 1.429 tokens/s out, 5.714 in\n"));
  EXPECT_THAT(text,
              HasSubstr("goodput 0.2857 requests/s, 20.0% of all: first token within 300 ms"));
  EXPECT_THAT(text, HasSubstr("2 http_429: come again\n"));
  const auto parsed = boost::json::parse(to_json(report({0.3, std::nullopt}))).get_object();
  EXPECT_EQ(parsed.at("load").at("loop"), "closed");
  EXPECT_EQ(parsed.at("load").at("clients"), 3);
  EXPECT_TRUE(parsed.at("load").at("rate").is_null());
  EXPECT_EQ(parsed.at("requests").at("failed"), 3);
  EXPECT_EQ(parsed.at("tokens").at("output"), 5);
  EXPECT_EQ(parsed.at("first_token_s").at("most").as_double(), 1.0);
  EXPECT_EQ(parsed.at("goodput").at("share").as_double(), 0.2);
  EXPECT_EQ(parsed.at("failures").at(1).at("kind"), "http_429");
  EXPECT_TRUE(boost::json::parse(to_json(report({}))).at("goodput").is_null());
}

TEST(LoadPicture, IsSvgOfFiniteNumbersWhateverHappened) {
  for (const LoadOutcome& made : {outcome(), LoadOutcome{}}) {
    const std::string svg = draw_load(made, report({0.3, 0.2}));
    EXPECT_TRUE(svg.starts_with("<svg "));
    EXPECT_TRUE(svg.ends_with("</svg>\n"));
    EXPECT_THAT(svg, HasSubstr("a &lt;model&gt;"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
  }
  EXPECT_THAT(draw_load(outcome(), report({0.3, 0.2})), HasSubstr("stroke-dasharray"));
  EXPECT_THAT(draw_load(outcome(), report({})), Not(HasSubstr("stroke-dasharray")));
}

}  // namespace
}  // namespace tern::diagnose
