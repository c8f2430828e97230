// Templates that look harmless to who counts their operations: each asks in a few of them for work
// that grows with the square of what it made, or with the number of ways into it. All must end at a
// limit, and without the counting that they are about each would come to its end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "text/chat_template.h"

namespace tern::text {
namespace {

using testing::HasSubstr;

std::string outcome_of(std::string_view source, std::uint64_t steps = jinja::Limits{}.steps) {
  const auto made = ChatTemplate::parse(source);
  if (!made) return made.error().to_string();
  ChatInput input;
  input.limits.steps = steps;
  const auto text = made->render(input);
  return text ? "no error: " + *text : text.error().to_string();
}

// unit(0), unit(1), ... with commas between.
template <typename Unit>
std::string listed(int count, Unit unit, std::string_view between = ",") {
  std::string text;
  for (int i = 0; i < count; ++i) text.append(i == 0 ? "" : between).append(unit(i));
  return text;
}
std::string number(int i) { return std::to_string(i); }
std::string name(int i) { return std::string("a").append(number(i)); }
std::string argument(int i) { return name(i).append("=1"); }
std::string setting(int i) { return std::string("{% set ").append(name(i)).append(" = 1 %}"); }

std::string in_loop(int times, std::string_view body) {
  return "{% for i in range(" + number(times) + ") %}" + std::string(body) + "{% endfor %}";
}

// Two values of one form, each of which has 2^depth ways from its top to its bottom.
std::string twins(int depth) {
  return "{% set ns = namespace(a=(1,), b=(1,)) %}" +
         in_loop(depth, "{% set ns.a = (ns.a, ns.a) %}{% set ns.b = (ns.b, ns.b) %}") +
         "{% set a = ns.a %}{% set b = ns.b %}";
}

TEST(HostileTemplate, ComparesValuesWithManyWaysThroughThem) {
  for (const char* use :
       {"{{ {a: 1} | length }}", "{{ {1: 2}.get(a) }}", "{{ [a].index(b) }}", "{{ [a].count(b) }}",
        "{{ [a, b] | unique | list | length }}", "{{ 1 in {a: 1} }}", "{{ a in {1: 1} }}"}) {
    EXPECT_THAT(outcome_of(twins(22) + use, 20'000), HasSubstr("expected at most")) << use;
  }
  EXPECT_THAT(
      outcome_of(twins(22) + "{% for i in [0, 1] %}{{ loop.changed(a if loop.first else b) }}"
                             "{% endfor %}",
                 20'000),
      HasSubstr("expected at most"));
  EXPECT_THAT(outcome_of(twins(3) + "{{ [a].index(b) }} {{ {a: 1}[b] }} {{ {a: 1}.get(b) }}"),
              HasSubstr("no error: 0 1 1"));
}

// What separators add is a product beyond 64 bits.
TEST(HostileTemplate, WritesTooMuchJson) {
  EXPECT_THAT(outcome_of(twins(60) + "{{ a | tojson(separators=['x' * 1000, 'y' * 16]) }}"),
              HasSubstr("bytes made"));
}

TEST(HostileTemplate, GivesLargeArgumentsAgainAndAgain) {
  const std::string large = "{% set w = 'a' * 100000 %}{% set l = ['a'] * 20000 %}";
  for (const char* use :
       {"{{ 'x'.strip(w) }}", "{{ 'x' | trim(w) }}", "{{ 'x'.replace(w, w) }}",
        "{{ 'x' | replace(new=w, old=w) }}", "{{ 'x'.startswith(l) }}", "{{ 'x'.split(w) }}"}) {
    EXPECT_THAT(outcome_of(large + in_loop(500, use)), HasSubstr("at most 1000000 steps")) << use;
  }
  EXPECT_THAT(outcome_of("{% set l = ('a', 'b') %}{{ 'bx'.startswith(l) }} {{ 'x'.endswith(l) }}"),
              HasSubstr("no error: True False"));
}

// One long text in many places takes its memory once; what is made of each does not.
TEST(HostileTemplate, FoldsALongTextInManyPlaces) {
  const std::string many = "{% set x = 'x' * 100000 %}{% set l = [x] * 300 %}{% set d = {" +
                           listed(300, [](int i) { return number(i) + ": x"; }) + "} %}";
  for (const char* use : {"l | groupby(none)", "l | unique", "l | min", "l | max", "l | sort",
                          "d | dictsort(by='value')"}) {
    EXPECT_THAT(outcome_of(many + "{{ " + use + " | list | length }}"),
                HasSubstr("at most 67108864 bytes made"))
        << use;
  }
}

TEST(HostileTemplate, HasManyNames) {
  EXPECT_THAT(outcome_of("{{ dict(" + listed(6000, argument) + ") | length }}"),
              HasSubstr("steps"));
  EXPECT_THAT(outcome_of(listed(12'000, setting, "")), HasSubstr("steps"));
  EXPECT_THAT(outcome_of("{% for x in [1] %}" + listed(5000, setting, "") +
                         in_loop(20'000, "{{ other }}") + "{% endfor %}"),
              HasSubstr("steps"));
  const std::string space = "{% set n = namespace(" + listed(2000, argument) + ") %}";
  EXPECT_THAT(outcome_of(space + in_loop(10'000, "{{ n.other }}")), HasSubstr("steps"));
  EXPECT_THAT(outcome_of(space + in_loop(10'000, "{% set n.a1999 = 2 %}")), HasSubstr("steps"));
  const std::string large = "{% set d = dict(" + listed(2000, argument) + ") %}";
  EXPECT_THAT(outcome_of(large + "{{ ([d] * 10000) | map(attribute='other') | list | length }}"),
              HasSubstr("steps"));
  const std::string turned =
      "{% set e = dict(" + listed(2000, [](int i) { return argument(1999 - i); }) + ") %}";
  EXPECT_THAT(outcome_of(large + turned + in_loop(200, "{{ d == e }}")), HasSubstr("steps"));
  EXPECT_THAT(outcome_of("{{ ('{x}' * 5000).format(" + listed(5000, argument) + ", x=1) }}"),
              HasSubstr("steps"));
}

TEST(HostileTemplate, HasMacrosThatSeeManyNames) {
  EXPECT_THAT(outcome_of("{% macro m(" + listed(3000, name) + ") %}{% endmacro %}" +
                         in_loop(3, "{{ m(" + listed(3000, argument) + ") }}")),
              HasSubstr("steps"));
  EXPECT_THAT(
      outcome_of("{% for x in [1] %}" + listed(5000, setting, "") +
                 "{% macro m() %}{% endmacro %}" + in_loop(2000, "{{ m() }}") + "{% endfor %}"),
      HasSubstr("steps"));
}

// Each holds the one before it: to let go of the last goes down through all.
TEST(HostileTemplate, HasMacrosThatHoldEachOther) {
  const auto macros = [](int count) {
    return "{% for x in [1] %}" +
           listed(
               count, [](int) { return "{% macro m() %}{% endmacro %}"; }, "") +
           "{% endfor %}";
  };
  EXPECT_EQ(outcome_of(macros(100)), "no error: ");
  EXPECT_THAT(outcome_of(macros(300)), HasSubstr("at most 200 values inside of each other"));
}

}  // namespace
}  // namespace tern::text
