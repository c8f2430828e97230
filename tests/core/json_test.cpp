#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

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

TEST(Json, ShowsTheBeginningOfALongName) {
  const std::string name(80, 'x');
  const auto twice = [](const std::string& n) { return "{\"" + n + "\":1,\"" + n + "\":2}"; };
  EXPECT_THAT(outcome(twice(name)), HasSubstr("the name '" + name + "' stands"));
  EXPECT_THAT(outcome(twice(name + "y")), HasSubstr("the name '" + name + "...' stands"));
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

}  // namespace
}  // namespace tern
