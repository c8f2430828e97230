#include "telemetry/telemetry.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <limits>
#include <sstream>
#include <thread>

namespace tern::telemetry {
namespace {

namespace json = boost::json;

TEST(Counter, StartsAtZeroAndAdds) {
  Counter counter;
  EXPECT_EQ(counter.value(), 0u);
  counter.add();
  counter.add(41);
  EXPECT_EQ(counter.value(), 42u);
}

TEST(Counters, AreOneEachNameAndStayInPlace) {
  Telemetry telemetry;
  Counter& tokens = telemetry.counter("tokens");
  for (int i = 0; i < 100; ++i) telemetry.counter("other" + std::to_string(i));
  EXPECT_EQ(&telemetry.counter("tokens"), &tokens);
  tokens.add(3);
  telemetry.counter("tokens").add(4);
  EXPECT_EQ(telemetry.counters().at("tokens"), 7u);
  EXPECT_EQ(telemetry.counters().at("other0"), 0u);
  EXPECT_EQ(telemetry.counters().size(), 101u);
  EXPECT_EQ(telemetry.counters().begin()->first, "other0");  // in order of name
}

TEST(Counters, CountFromManyThreads) {
  Telemetry telemetry;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) telemetry.counter("shared").add();
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(telemetry.counters().at("shared"), 8000u);
}

// Counts without a lock of its own: a receive() that overlaps another would lose some.
class PlainSink final : public EventSink {
 public:
  explicit PlainSink(std::vector<std::string>& names) : names_(names) {}
  void receive(const Event& event) override { names_.emplace_back(event.name); }

 private:
  std::vector<std::string>& names_;
};

TEST(Events, ReachEverySinkInOrder) {
  std::vector<std::string> first, second;
  Telemetry telemetry;
  telemetry.emit({"nobody listens", {}});
  telemetry.add_sink(std::make_unique<PlainSink>(first));
  telemetry.emit({"a", {}});
  telemetry.add_sink(std::make_unique<PlainSink>(second));
  telemetry.emit({"b", {}});
  EXPECT_EQ(first, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(second, (std::vector<std::string>{"b"}));
}

TEST(Events, AreHandedOverOneAtATime) {
  std::vector<std::string> names;
  Telemetry telemetry;
  telemetry.add_sink(std::make_unique<PlainSink>(names));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) telemetry.emit({"event", {}});
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(names.size(), 2000u);
}

std::vector<json::object> lines_of(const std::string& text) {
  std::vector<json::object> objects;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    objects.push_back(json::parse(line).as_object());
  }
  return objects;
}

TEST(JsonLines, ALineAnEventThatParsesBack) {
  std::ostringstream out;
  JsonLinesSink sink(out);
  const std::string special = "quote \" backslash \\ newline \n tab \t nul \x01 snow \u2603";
  const auto before = std::chrono::system_clock::now().time_since_epoch();
  sink.receive({"sequence.finished",
                {{"tokens", std::uint64_t{18446744073709551615u}},
                 {"seconds", 0.125},
                 {"reason", special}}});
  sink.receive({"line\nbreak", {}});
  const auto objects = lines_of(out.str());
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(out.str().back(), '\n');
  EXPECT_EQ(objects[0].at("event").as_string(), "sequence.finished");
  EXPECT_EQ(objects[0].at("tokens").as_uint64(), 18446744073709551615u);
  EXPECT_EQ(objects[0].at("seconds").as_double(), 0.125);
  EXPECT_EQ(objects[0].at("reason").as_string(), special);
  EXPECT_EQ(objects[1].at("event").as_string(), "line\nbreak");
  const double since = std::chrono::duration<double>(before).count();
  EXPECT_GE(objects[0].at("time").as_double(), since - 1e-3);
  EXPECT_LE(objects[0].at("time").as_double(), since + 600);
}

// A rate over no time at all: JSON has no word for it but null.
TEST(JsonLines, NumbersThatJsonLacksAreNull) {
  std::ostringstream out;
  JsonLinesSink sink(out);
  sink.receive({"rate",
                {{"nan", std::numeric_limits<double>::quiet_NaN()},
                 {"inf", std::numeric_limits<double>::infinity()},
                 {"minus", -std::numeric_limits<double>::infinity()}}});
  EXPECT_EQ(out.str().find("e99999"), std::string::npos) << out.str();
  const auto objects = lines_of(out.str());
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_TRUE(objects[0].at("nan").is_null());
  EXPECT_TRUE(objects[0].at("inf").is_null());
  EXPECT_TRUE(objects[0].at("minus").is_null());
}

}  // namespace
}  // namespace tern::telemetry
