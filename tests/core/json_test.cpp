#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <ctime>
#include <string>
#include <unordered_set>
#include <vector>

#include "support/colliding_names.h"

namespace tern {
namespace {

using ::testing::HasSubstr;

std::string outcome(std::string_view text, const JsonLimits& limits = {}) {
  const auto parsed = parse_json(text, limits);
  return parsed.ok() ? boost::json::serialize(*parsed) : parsed.error().to_string();
}

TEST(Json, KeepsWhatItReads) {
  EXPECT_EQ(outcome(" {\"a\":[1,-2,true,null,\"x\"],\"b\":{\"a\":18446744073709551615}} \n"),
            R"({"a":[1,-2,true,null,"x"],"b":{"a":18446744073709551615}})");
}

TEST(Json, RefusesANameTwiceInOneObjectAlone) {
  EXPECT_THAT(outcome(R"({"a":1,"b":{"c":1,"c":2}})"), HasSubstr("'c' stands twice"));
  EXPECT_THAT(outcome(R"({"a":1,"\u0061":2})"), HasSubstr("'a' stands twice"));
  EXPECT_EQ(outcome(R"([{"a":1},{"a":{"a":2}}])"), R"([{"a":1},{"a":{"a":2}}])");
}

// An infinity is no JSON, and could not be written again.
TEST(Json, RefusesNumbersBeyondADouble) {
  for (const char* text : {"1e400", "[-1e400]", "{\"a\":24e0777}"}) {
    EXPECT_THAT(outcome(text), HasSubstr("a number is beyond what a double holds (at offset "));
  }
  EXPECT_EQ(outcome("[1e308,-1e308,1e-400]").substr(0, 6), "[1E308");
}

TEST(Json, ShowsTheBeginningOfALongName) {
  const std::string name(80, 'x');
  const auto twice = [](const std::string& n) { return "{\"" + n + "\":1,\"" + n + "\":2}"; };
  EXPECT_THAT(outcome(twice(name)), HasSubstr("the name '" + name + "' stands"));
  EXPECT_THAT(outcome(twice(name + "y")), HasSubstr("the name '" + name + "...' stands"));
  const std::string e = "\u00e9";  // two bytes, of which none is shown alone
  EXPECT_THAT(outcome(twice(std::string(78, 'x') + e)), HasSubstr(e + "' stands"));
  EXPECT_THAT(outcome(twice(std::string(79, 'x') + e)), HasSubstr("xx...' stands"));
}

TEST(Json, RefusesWhatIsNoJson) {
  EXPECT_THAT(outcome(""), HasSubstr("expected JSON"));
  EXPECT_THAT(outcome("{\"a\""), HasSubstr("expected JSON"));
  EXPECT_THAT(outcome("{\"a\":tru}"), HasSubstr("at offset"));
  EXPECT_THAT(outcome("1 2"), HasSubstr("expected nothing behind the JSON"));
  EXPECT_THAT(outcome("\"\xff\""), HasSubstr("expected JSON"));
}

TEST(Json, KeepsToItsLimits) {
  EXPECT_EQ(outcome("[[1]]", {.depth = 2}), "[[1]]");
  EXPECT_THAT(outcome("[[[1]]]", {.depth = 2}), HasSubstr("deeper than 2 levels"));
  EXPECT_EQ(outcome("1234", {.bytes = 4}), "1234");
  EXPECT_THAT(outcome("12345", {.bytes = 4}), HasSubstr("at most 4 bytes"));
}

double seconds_for(const std::vector<std::string>& names) {
  boost::json::object object;
  for (const std::string& name : names) object[name] = 0;
  const std::string text = boost::json::serialize(object);
  const std::clock_t start = std::clock();
  EXPECT_TRUE(parse_json(text).ok());
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// Who sends a text can choose its names: with a table of hashes these took a hundred times as long.
TEST(Json, TakesAsLongForNamesOfOneHashAsForOthers) {
  constexpr std::size_t kNames = 60'000;
  std::unordered_set<std::size_t> table;
  for (std::size_t i = 0; i < kNames; ++i) table.insert(i);
  test::CollidingNames colliding(table.bucket_count());
  test::CollidingNames others(1);
  std::vector<std::string> chosen;
  std::vector<std::string> ordinary;
  for (std::size_t i = 0; i < kNames; ++i) {
    chosen.push_back(colliding.next());
    ordinary.push_back(others.next());
  }
  EXPECT_LT(seconds_for(chosen), 10.0 * seconds_for(ordinary) + 0.1);
}

}  // namespace
}  // namespace tern
