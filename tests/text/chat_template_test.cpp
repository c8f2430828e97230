#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "format/gguf/gguf_writer.h"
#include "support/temporary_directory.h"

namespace tern::text {
namespace {

using jinja::Value;
using testing::HasSubstr;

Value value_of(const boost::json::value& json) {
  switch (json.kind()) {
    case boost::json::kind::null: return {};
    case boost::json::kind::bool_: return json.as_bool();
    case boost::json::kind::int64: return json.as_int64();
    case boost::json::kind::uint64: return static_cast<std::int64_t>(json.as_uint64());
    case boost::json::kind::double_: return json.as_double();
    case boost::json::kind::string: return std::string(json.as_string());
    case boost::json::kind::array: {
      jinja::List list;
      for (const auto& item : json.as_array()) list.items.push_back(value_of(item));
      return list;
    }
    case boost::json::kind::object: break;
  }
  jinja::Dict dict;
  for (const auto& [key, item] : json.as_object()) {
    dict.items.emplace_back(std::string(key), value_of(item));
  }
  return dict;
}

Result<std::string> render(std::string_view source, const ChatInput& input = {}) {
  TERN_ASSIGN(const ChatTemplate made, ChatTemplate::parse(source));
  return made.render(input);
}

std::string error_of(std::string_view source, const ChatInput& input = {}) {
  const auto outcome = render(source, input);
  return outcome ? "no error: " + *outcome : outcome.error().to_string();
}

// Templates as jinja2 renders or refuses them; what made the file says its name.
void expect_agreement(const std::string& path, std::size_t least) {
  std::ifstream file(path);
  std::size_t rendered = 0;
  std::size_t refused = 0;
  std::size_t wrong = 0;
  for (std::string line; std::getline(file, line);) {
    const auto json = boost::json::parse(line).as_object();
    ChatInput input;
    for (const auto& [variable, value] : json.at("variables").as_object()) {
      input.variables.emplace_back(std::string(variable), value_of(value));
    }
    const std::string source(json.at("template").as_string());
    const auto found = render(source, input);
    const bool fails = json.contains("fails");
    const std::string expected = fails ? "an error" : std::string(json.at("text").as_string());
    if (found.ok() != fails && (fails || *found == expected)) {
      ++(fails ? refused : rendered);
      continue;
    }
    ++wrong;
    ADD_FAILURE() << source << "\nexpected: " << expected
                  << "\nfound: " << (found ? *found : found.error().to_string());
  }
  std::cout << "agreement: " << rendered << " rendered, " << refused << " refused, " << wrong
            << " differ\n";
  EXPECT_GE(rendered + refused, least);
}

const std::string kData = TERN_SOURCE_DIR "/tests/reference/data/";

// tests/reference/make_chat_vectors.py; TERN_CHAT_VECTORS names another file.
TEST(ChatTemplate, AgreesWithJinja2) {
  const char* const other = std::getenv("TERN_CHAT_VECTORS");
  if (other != nullptr) return expect_agreement(other, 1);
  expect_agreement(kData + "chat_templates.jsonl", 453);
}
// tests/reference/make_chat_details.py
TEST(ChatTemplate, AgreesWithJinja2InDetails) {
  expect_agreement(kData + "chat_details.jsonl", 1053);
}

std::string repeated(std::string_view unit, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += unit;
  return text;
}

// What a hostile template would do to its reader.
TEST(ChatTemplate, IsBounded) {
  EXPECT_THAT(
      error_of("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"),
      HasSubstr("at most 1000000 steps"));
  EXPECT_THAT(error_of("{% set ns = namespace(x='0123456789') %}{% for i in range(99) %}"
                       "{% set ns.x = ns.x ~ ns.x %}{% endfor %}"),
              HasSubstr("at most 67108864 bytes"));
  EXPECT_THAT(error_of("{{ 'x' * 9999999999 }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ [1] * 4611686018427387904 * 4 }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ 'x' | center(99999999999) }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ 'x' | indent(99999999999) }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ ('a' * 100000).replace('a', 'b' * 100000) }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ ('a' * 100000).replace('', 'b' * 100000) }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ ('b' * 100000).join(range(9999) | map('string')) }}"),
              HasSubstr("bytes"));
  EXPECT_THAT(error_of("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
              HasSubstr("at most 1000 operations inside of each other"));
  EXPECT_THAT(error_of("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("inside of each"));
  EXPECT_THAT(error_of("{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}"),
              HasSubstr("expected at most"));
  EXPECT_THAT(error_of("{{ 'x'.ljust(99999999999) }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ 'x'.center(99999, 'é' ) * 999 }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ 'x'.zfill(99999999999) }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{{ 'x'.join(('{}' * 99999).format(*[])) }}"), HasSubstr("without '*'"));
  EXPECT_THAT(error_of("{% for " + std::string(5000, '(') + "a" + std::string(5000, ')') +
                       " in 1 %}{% endfor %}"),
              HasSubstr("nested targets"));
  EXPECT_THAT(error_of("{% macro m(a=m()) %}{% endmacro %}{{ m() }}"), HasSubstr("inside of each"));
  EXPECT_THAT(error_of("{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}"),
              HasSubstr("nested"));
  EXPECT_THAT(error_of("{{ 1" + repeated(" + 1", 50000) + " }}"), HasSubstr("operations in a row"));
  EXPECT_THAT(error_of("{{ a" + repeated(".a", 50000) + " }}"), HasSubstr("operations in a row"));
  EXPECT_THAT(error_of("{{ a" + repeated("|trim", 50000) + " }}"),
              HasSubstr("operations in a row"));
  EXPECT_THAT(error_of("{{ " + repeated("-", 50000) + "1 }}"), HasSubstr("nested"));
  EXPECT_THAT(error_of("{{ " + repeated("not ", 50000) + "1 }}"), HasSubstr("operations in a row"));
  EXPECT_THAT(error_of(repeated("{% if 1 %}", 5000)), HasSubstr("nested blocks"));
  EXPECT_THAT(error_of("{% if 1 %}" + repeated("{% elif 1 %}", 5000) + "{% endif %}"),
              HasSubstr("nested blocks"));
  EXPECT_THAT(error_of(std::string((1 << 20) + 1, 'x')), HasSubstr("at most 1048576 bytes"));
  EXPECT_TRUE(ChatTemplate::parse(std::string(1 << 20, 'x')).ok());
}

TEST(ChatTemplate, IsBoundedInWhatItsValuesHold) {
  EXPECT_THAT(error_of("xx{{ 'ab' * 9223372036854775807 }}"), HasSubstr("bytes"));
  EXPECT_THAT(error_of("{% set ns = namespace(x=0) %}{% for i in range(90000) %}"
                       "{% set ns.x = [ns.x] %}{% endfor %}"),
              HasSubstr("at most 200 values inside of each other"));
  EXPECT_THAT(error_of("{% set ns = namespace(x=[1]) %}{% for i in range(50) %}"
                       "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}"),
              HasSubstr("bytes"));
  EXPECT_THAT(error_of("{% set ns = namespace() %}{% set ns.me = ns %}"),
              HasSubstr("expected a value to keep in a namespace"));
  EXPECT_THAT(error_of("{% for i in [1] %}{{ loop.changed(loop) }}{% endfor %}"),
              HasSubstr("expected values to compare"));
  EXPECT_THAT(error_of("{% macro m(x) %}{{ m([x.count]) }}{% endmacro %}{{ m([1]) }}"),
              HasSubstr("at most 200 values inside of each other"));
  std::string maps = "{{ 'a' | map('map'";
  for (int i = 0; i < 30000; ++i) maps += ",'map'";
  EXPECT_THAT(error_of(maps + ") }}"), HasSubstr("expected at most"));
  for (const char* work :
       {"{{ s[0:1] }}", "{{ s | first }}", "{% for c in s %}{% endfor %}", "{{ ''.join(s) }}",
        "{{ s.rsplit('x') | length }}", "{{ s.strip('a' * 3000000 ~ 'x') }}",
        "{% set l = [0] * 500000 %}{% for i in range(9999) %}{{ 1 in l }}{% endfor %}",
        "{% for i in range(99999) %}{{ s.isdigit() }}{% endfor %}"}) {
    EXPECT_THAT(error_of("{% set s = 'x' * 30000000 %}" + std::string(work)),
                HasSubstr("expected at most"))
        << work;
  }
  EXPECT_THAT(error_of("{{ (-9223372036854775807 - 1) // -1 }}"), HasSubstr("chat template"));
  EXPECT_EQ(error_of("{{ ('a' * 300000).find('a' * 150000 ~ 'b') }}"), "no error: -1");
  EXPECT_THAT(error_of("{{ 'ab' | center(-9223372036854775807) }}"), HasSubstr("no error: ab"));
  EXPECT_THAT(error_of("{{ 9223372036854775807 | round(-1) }}"), HasSubstr("smaller number"));
}

// One more than the limits is refused, the limits themselves are not.
TEST(ChatTemplate, NestsAsDeepAsItsLimitsSay) {
  const auto signs = [](std::size_t n) { return "{{ " + repeated("-", n) + "1 }}"; };
  EXPECT_EQ(*render(signs(198)), "1");
  EXPECT_THAT(error_of(signs(199)), HasSubstr("expected fewer nested signs"));
  const auto brackets = [](std::size_t n) {
    return "{{ -" + repeated("(", n) + "1" + repeated(")", n) + " }}";
  };
  EXPECT_EQ(*render(brackets(49)), "-1");
  EXPECT_THAT(error_of(brackets(50)), HasSubstr("at most 100 nested expressions"));
  const auto blocks = [](std::size_t n) {
    return repeated("{% if 1 %}", n) + "x" + repeated("{% endif %}", n);
  };
  EXPECT_EQ(*render(blocks(99)), "x");
  EXPECT_THAT(error_of(blocks(100)), HasSubstr("at most 100 nested blocks"));
  const auto choices = [](std::size_t n) {
    return "{% if 0 %}" + repeated("{% elif 0 %}", n) + "{% else %}x{% endif %}";
  };
  EXPECT_EQ(*render(choices(98)), "x");
  EXPECT_THAT(error_of(choices(99)), HasSubstr("at most 100 nested blocks"));
  const auto targets = [](std::size_t n) {
    return "{% for " + repeated("(", n) + "a" + repeated(")", n) + " in 'x' %}{{ a }}{% endfor %}";
  };
  EXPECT_EQ(*render(targets(99)), "x");
  EXPECT_THAT(error_of(targets(100)), HasSubstr("expected fewer nested targets"));
}

TEST(ChatTemplate, SpendsAllOfItsBudget) {
  ChatInput input;
  input.limits.bytes = 3;
  input.limits.steps = 1;
  EXPECT_EQ(*render("abc", input), "abc");
  EXPECT_THAT(error_of("abcd", input), HasSubstr("at most 3 bytes made"));
  EXPECT_THAT(error_of("a{{ b }}", input), HasSubstr("at most 1 steps"));
}

// What is shown counts where it is an argument, too.
TEST(ChatTemplate, IsBoundedInWhatItIsGiven) {
  const std::string heavy =
      "{% set ns = namespace(x=[1]) %}{% for i in range(50) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% endfor %}{% set s = ns.x %}";
  for (const char* use :
       {"{{ 'x' | trim(s) }}", "{{ 'x' | replace(s, 1) }}", "{{ [1, 2] | join(s) }}",
        "{{ {} | attr(s) }}", "{{ 1.5 | round(0, s) }}", "{{ 1 | tojson(separators=(s, s)) }}",
        "{{ s | upper }}", "{{ s | tojson }}", "{{ s == [s] }}", "{{ raise_exception(s) }}",
        "{{ 'a' ~ s }}", "{{ '%s' | format(s) }}", "{{ {} | dictsort(by=s) }}"}) {
    EXPECT_THAT(error_of(heavy + use), HasSubstr("expected at most")) << use;
  }
}

// A name is looked for among all of a dictionary's.
TEST(ChatTemplate, LookingIntoALargeDictionaryHasItsPrice) {
  for (const char* use : {"{{ d['k'] }}", "{{ d.k }}"}) {
    for (const std::size_t names : {16u, 16'000u}) {
      jinja::Dict dict;
      for (std::size_t i = 0; i < names; ++i) dict.items.emplace_back(std::to_string(i), "v");
      ChatInput input;
      input.variables.emplace_back("d", std::move(dict));
      input.limits.steps = 50'000;
      const std::string loop = std::string("{% for i in range(100) %}") + use + "{% endfor %}";
      EXPECT_EQ(render(loop, input).ok(), names == 16) << use;
    }
  }
}

// Of a string all characters are counted to find one.
TEST(ChatTemplate, LookingIntoALongStringHasItsPrice) {
  for (const std::size_t size : {16u, 16'000u}) {
    ChatInput input;
    input.variables.emplace_back("s", std::string(size, 'x'));
    input.limits.steps = 50'000;
    EXPECT_EQ(render("{% for i in range(100) %}{{ s[0] }}{% endfor %}", input).ok(), size == 16);
  }
}

// Asking a long conversation for its length at each of its turns is no walk through all of it.
TEST(ChatTemplate, ALongConversationIsFarFromTheLimits) {
  jinja::List messages;
  for (int i = 0; i < 500; ++i) {
    messages.items.emplace_back(jinja::Dict{
        {{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(2000, 'x')}}});
  }
  ChatInput input;
  input.variables.emplace_back("messages", std::move(messages));
  input.limits.steps /= 4;
  const auto text = render(
      "{% for m in messages %}{% if loop.index0 == messages | length - 1 or messages is string %}*"
      "{% endif %}{% if 'tool_calls' in m or m is not mapping %}!{% endif %}"
      "{{ messages[0].role }}: {{ m.content | trim }}\n{% endfor %}",
      input);
  ASSERT_TRUE(text.ok()) << text.error().to_string();
  EXPECT_EQ(text->size(), 500u * 2007 + 1);
}

TEST(ChatTemplate, ArgumentsAreTakenOrRefused) {
  EXPECT_EQ(*render("{{ {'a': [1, 2]} | tojson(separators=(',', ':')) }}"), R"({"a":[1,2]})");
  EXPECT_EQ(*render("{{ {'a': 1} | tojson(false) }}"), R"({"a": 1})");
  EXPECT_EQ(*render("{{ namespace({'a': 0}, a=1).a }}"), "1");
  EXPECT_EQ(*render("{{ ' x '.strip('') }}"), " x ");
  EXPECT_THAT(error_of("{{ 'aXbX'.find('X', 2) }}"), HasSubstr("at most 1 arguments"));
  EXPECT_THAT(error_of("{% macro m(a) %}{% endmacro %}{{ m(b=1) }}"),
              HasSubstr("expected an argument of macro 'm', found 'b'"));
}

// The body of a call and a macro within a loop see what is around them.
TEST(ChatTemplate, BodiesSeeTheNamesAroundThem) {
  EXPECT_EQ(*render("{% macro w() %}<{{ caller() }}>{% endmacro %}{% for m in [1, 2] %}"
                    "{% call w() %}{{ m }}{% endcall %}{% endfor %}"),
            "<1><2>");
  EXPECT_EQ(
      *render("{% for m in [1, 2] %}{% macro w() %}{{ m }}{% endmacro %}{{ w() }}{% endfor %}"),
      "12");
}

// A loop is called by what it wrote itself, and by another loop within it.
TEST(ChatTemplate, RecursiveLoopsKeepToTheirNames) {
  EXPECT_EQ(*render("{% for i in [1, 2] recursive %}{% set outer = loop %}{% for j in 'ab' %}"
                    "{% if i == 1 %}{{ outer([3]) }}{% endif %}{{ i }}{{ j }} {% endfor %}"
                    "{% endfor %}"),
            "3a 3b 1a 3a 3b 1b 2a 2b ");
  EXPECT_THAT(error_of("{% for i in [0] recursive %}{% set a = loop %}{% for j in [0] recursive %}"
                       "{{ a([loop]) if i == 0 else i([1]) }}{% endfor %}{% endfor %}"),
              HasSubstr("expected"));
  EXPECT_THAT(error_of("{% for i in [0] %}{{ loop([1]) }}{% endfor %}"),
              HasSubstr("expected 'recursive' in the loop"));
  // The inner loop, called from turns of the outer one: with as many names around it, and with
  // more.
  for (const char* call :
       {"{{ i([1]) if i != 0 }}", "{% with x = 1 %}{{ i([1]) if i != 0 }}{% endwith %}"}) {
    EXPECT_THAT(error_of("{% for i in [0] recursive %}{% set a = loop %}" + std::string(call) +
                         "{% for j in [0] recursive %}{{ a([loop]) if i == 0 }}{% endfor %}"
                         "{% endfor %}"),
                HasSubstr("expected a call of loop() within a turn of it"));
  }
  EXPECT_THAT(error_of("{% set c = cycler(1, 2) %}{% set c.current = 5 %}"),
              HasSubstr("expected a namespace"));
  EXPECT_THAT(error_of("{% for i in [1] %}{% set c = cycler(loop) %}{% endfor %}"),
              HasSubstr("expected values to cycle through"));
  EXPECT_THAT(error_of("{% for i in [1] %}{% set j = joiner(loop) %}{% endfor %}"),
              HasSubstr("expected a separator"));
}

TEST(ChatTemplate, WritesBytesThatAreNoTextAsJsonCan) {
  ChatInput input;
  input.variables.emplace_back("s", "a\xff\xf0\x9f\x90\xa6");
  EXPECT_EQ(*render("{{ s | tojson(true) }}", input), R"("a\ufffd\ud83d\udc26")");
}

TEST(ChatTemplate, ErrorsSayWhereAndWhat) {
  EXPECT_EQ(error_of("{{ 1"), "chat template, line 1: expected '}}', found the end");
  EXPECT_EQ(error_of("{% if 1 %}\nx"),
            "chat template, line 2: expected '{% endif %}', found the end of the template");
  EXPECT_EQ(error_of("{{ 0x1FFFFFFFFFFFFFFFF + 1 }}"),
            "chat template, line 1: expected a number of 64 bits, found 0x1FFFFFFFFFFFFFFFF");
  EXPECT_EQ(error_of("{{ 1.5 | round(301) }}"),
            "chat template, line 1: expected a precision of -300 to 300");
  EXPECT_EQ(error_of("{{ 1.5 | round(-301) }}"),
            "chat template, line 1: expected a precision of -300 to 300");
  EXPECT_EQ(error_of("a\n{{ 1 + }}"), "chat template, line 2: expected an expression, found '}}'");
  EXPECT_EQ(error_of("\n\n{{ nothing.more }}"), "chat template, line 3: 'nothing' is undefined");
  EXPECT_EQ(error_of("{{ [1,\n 'a'.b.c,\n 2] }}").substr(0, 23), "chat template, line 2: ");
  EXPECT_EQ(error_of("{{ {'a': 1}.b.c }}"),
            "chat template, line 1: expected a value, found none: a dict has no 'b'");
  EXPECT_EQ(error_of("{{ raise_exception('no system role') }}"),
            "chat template, line 1: no system role");
  EXPECT_EQ(error_of("{% include 'x' %}"),
            "chat template, line 1: expected if, for, set, with, macro, call, filter, generation, "
            "break, continue or raw, found 'include'");
  EXPECT_EQ(error_of("{{ [].append(1) }}"),
            "chat template, line 1: expected a method that only reads: a template cannot change a "
            "'list'");
}

TEST(ChatTemplate, ShowsTheTimeThatItIsGiven) {
  ChatInput input;
  input.now = std::chrono::system_clock::from_time_t(1'700'000'000);
  EXPECT_EQ(*render("{{ strftime_now('%Y %b') }}", input), "2023 Nov");
  EXPECT_EQ(*render("[{{ strftime_now('') }}]", input), "[]");
  EXPECT_THAT(error_of("{{ strftime_now(1) }}", input), HasSubstr("expected a format"));
  EXPECT_THAT(error_of("{{ strftime_now() }}", input), HasSubstr("expected a format"));
  EXPECT_THAT(error_of("{{ strftime_now('%Y' * 300) }}", input), HasSubstr("below 1024 bytes"));
}

TEST(ChatTemplate, IsThatOfItsFile) {
  const test::TemporaryDirectory directory;
  const auto made_of = [&](const format::GgufWriterValue* source) {
    format::GgufWriter writer;
    writer.set("general.architecture", std::string("llama"));
    if (source != nullptr) writer.set("tokenizer.chat_template", *source);
    const std::string path = (directory / "model.gguf").string();
    EXPECT_TRUE(writer.write(path).ok());
    const auto file = format::GgufFile::open(path);
    EXPECT_TRUE(file.ok());
    return ChatTemplate::from_gguf(*file);
  };
  const format::GgufWriterValue good = std::string("a{{ 1 }}");
  EXPECT_EQ(*made_of(&good)->render({}), "a1");
  const auto none = made_of(nullptr);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ErrorCode::kUsage);
  EXPECT_THAT(none.error().to_string(), HasSubstr("found no key tokenizer.chat_template"));
  const format::GgufWriterValue bad = std::string("{{ 1");
  const auto broken = made_of(&bad);
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.error().to_string(), HasSubstr("model.gguf: chat template, line 1"));
}

}  // namespace
}  // namespace tern::text
