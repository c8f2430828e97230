// Names of models and files, addresses, and headers of replies.
#include <gtest/gtest.h>

#include <fstream>

#include "hub/aliases.h"
#include "hub/listing.h"
#include "hub/model_ref.h"
#include "hub/url.h"
#include "support/temporary_directory.h"

namespace tern::hub {
namespace {

TEST(ModelRef, ReadsAllParts) {
  EXPECT_EQ(*parse_model_ref("hf://org/repo"), (ModelRef{"org/repo", "main", ""}));
  EXPECT_EQ(*parse_model_ref("hf://org/repo/"), (ModelRef{"org/repo", "main", ""}));
  EXPECT_EQ(*parse_model_ref("hf://o.r-g/r_e.p@v1.0/a/b.gguf"),
            (ModelRef{"o.r-g/r_e.p", "v1.0", "a/b.gguf"}));
  EXPECT_EQ(*parse_model_ref("hf://org/repo@feature%2Fx/f"),
            (ModelRef{"org/repo", "feature/x", "f"}));
  EXPECT_EQ(*parse_model_ref("hf://org/repo@refs/pr/7/f"),
            (ModelRef{"org/repo", "refs/pr/7", "f"}));
}

TEST(ModelRef, IsWrittenAsItIsRead) {
  for (const char* text : {"hf://org/repo", "hf://org/repo/a/b.gguf", "hf://org/repo@v1/x",
                           "hf://org/repo@feature%2Fx/f", "hf://org/repo@refs/pr/7/f",
                           "hf://org/repo@refs/a%2544/b%2Fc/f"}) {
    EXPECT_EQ(parse_model_ref(text)->to_string(), text);
  }
}

TEST(ModelRef, RefusesOthers) {
  for (const char* text : {"",
                           "hf:/org/repo",
                           "hf://",
                           "hf://org",
                           "hf://org/",
                           "hf:///repo",
                           "hf://../repo",
                           "hf://org/..",
                           "hf://org/re--po",
                           "hf://org/re..po",
                           "hf://-org/repo",
                           "hf://org/repo.",
                           "hf://org/re po",
                           "hf://org/repo@",
                           "hf://org/repo@../x",
                           "hf://org/repo@a%2F..%2Fb",
                           "hf://org/repo@refs",
                           "hf://org/repo@refs/pr",
                           "hf://org/repo/../x",
                           "hf://org/repo//x",
                           "hf://org/repo/a/./b",
                           "hf://org/repo/a\\b",
                           "hf://org/repo/a\nb",
                           "hf://org/r\xc3\xa4po"}) {
    const auto ref = parse_model_ref(text);
    ASSERT_FALSE(ref.ok()) << text;
    EXPECT_EQ(ref.error().code, ErrorCode::kUsage);
  }
}

TEST(ModelRef, HasLimits) {
  const auto is_read = [](const std::string& text) { return parse_model_ref(text).ok(); };
  EXPECT_TRUE(is_read("hf://" + std::string(96, 'o') + "/" + std::string(96, 'r')));
  EXPECT_FALSE(is_read("hf://" + std::string(97, 'o') + "/r"));
  EXPECT_FALSE(is_read("hf://o/" + std::string(97, 'r')));
  EXPECT_TRUE(is_read("hf://o/aAzZ09/" + std::string(255, 'f')));
  EXPECT_FALSE(is_read("hf://o/r/" + std::string(256, 'f')));
  const std::string folders = std::string(255, 'a') + "/" + std::string(255, 'b') + "/" +
                              std::string(255, 'c') + "/" + std::string(250, 'd') + "/";
  EXPECT_TRUE(is_read("hf://o/r/" + folders + "efghi"));
  EXPECT_FALSE(is_read("hf://o/r/" + folders + "efghij"));
  EXPECT_TRUE(is_read("hf://o/r/a b~"));
  for (const char* text :
       {"hf://o/r@a b", "hf://o/r/a\x7f", "hf://o/r/a\x1f", "hf://o/r-", "hf://.o/r", "hf://o/r`",
        "hf://o/r{", "hf://o/r[", "hf://o/r:", "hf://o/r,"}) {
    EXPECT_FALSE(is_read(text)) << text;
  }
  EXPECT_EQ(parse_model_ref("hf://o/r/a/")->file, "a");
  EXPECT_FALSE(is_read("hf://o/r@refs%2Fpr"));  // which is no name of a reference
  EXPECT_FALSE(is_read("hf://o/r@%72efs"));
  EXPECT_TRUE(is_commit(std::string(40, '0')));
  EXPECT_FALSE(is_commit(std::string(39, '0')));
  EXPECT_FALSE(is_commit(std::string(40, 'F')));
  EXPECT_EQ(escape_revision("a/b c"), "a%2Fb%20c");
}

TEST(Url, TellsOriginsApart) {
  EXPECT_EQ(*origin_of("http://AZ.example"), "http://az.example:80");
  EXPECT_EQ(*origin_of("https://Host.example/a?b"), "https://host.example:443");
  EXPECT_EQ(*origin_of("https://host.example:443"), *origin_of("https://HOST.example/x"));
  EXPECT_NE(*origin_of("https://host.example"), *origin_of("http://host.example"));
  EXPECT_NE(*origin_of("http://a"), *origin_of("http://a.b"));
  EXPECT_NE(*origin_of("http://a"), *origin_of("http://a:81"));
  EXPECT_NE(*origin_of("http://a@b"), *origin_of("http://a"));
  EXPECT_FALSE(origin_of("ftp://a").ok());
  EXPECT_FALSE(origin_of("a").ok());
}

TEST(Url, FollowsRedirects) {
  EXPECT_EQ(*follow("http://a/b/c?d", "/e"), "http://a/e");
  EXPECT_EQ(*follow("http://a/b/c?d", "e?f"), "http://a/b/e?f");
  EXPECT_EQ(*follow("http://a/b", "//c/d"), "http://c/d");
  EXPECT_EQ(*follow("http://a/b", "https://c/d"), "https://c/d");
  EXPECT_FALSE(follow("http://a/b", "file:///etc/passwd").ok());
}

TEST(Url, ShowsNoSecrets) {
  EXPECT_EQ(shown_url("https://user:secret@a/b?sig=secret#secret"), "https://a/b");
  EXPECT_EQ(shown_url("https://a/b@c"), "https://a/b@c");
  EXPECT_EQ(shown_url("https://a"), "https://a");
  EXPECT_EQ(shown_url("https://@a/b"), "https://a/b");
  EXPECT_EQ(shown_url("x@y://a/b"), "x@y://a/b");
  EXPECT_EQ(shown_url("abc@d"), "abc@d");
}

TEST(Url, Escapes) {
  EXPECT_EQ(escape_path("a b/\xc3\xa4?#%.gguf"), "a%20b/%C3%A4%3F%23%25.gguf");
  EXPECT_EQ(unescape("a%2Fb%2"), "a/b%2");
  EXPECT_EQ(unescape("%zz%"), "%zz%");
  EXPECT_EQ(escape_path("azAZ09-._~`{@[:"), "azAZ09-._~%60%7B%40%5B%3A");
  EXPECT_EQ(unescape("%09%af%AF%fA%a0"), "\x09\xaf\xaf\xfa\xa0");
  EXPECT_EQ(unescape("%/0%0:%`0%0g%@0%0G"), "%/0%0:%`0%0g%@0%0G");
}

TEST(Url, KnowsThisMachine) {
  for (const char* url : {"http://localhost", "http://127.0.0.1:80/x", "http://[::1]:8080"}) {
    EXPECT_TRUE(is_loopback(url)) << url;
  }
  for (const char* url : {"http://localhost.example", "http://10.0.0.1", "http://127.evil.example",
                          "http://127.0.0.1.example", "http://126.0.0.1", "x"}) {
    EXPECT_FALSE(is_loopback(url)) << url;
  }
}

TEST(Headers, RangesAreRead) {
  const auto range = parse_content_range("bytes 5-9/100");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->begin, 5u);
  EXPECT_EQ(range->end, 10u);
  EXPECT_EQ(range->total, 100u);
  for (const char* text :
       {"", "bytes", "bytes 5-9", "bytes */100", "bytes 9-5/100", "bytes 5-100/100", "bytes 5-9/*",
        "bytes -5-9/100", "bytes 5-9/100 ", "items 5-9/100", "bytes 5-99999999999999999999/100",
        "bytes 5/9-100", "bytes x-9/100", "bytes 5"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(Headers, ARangeOfOneByteIsOne) {
  const auto range = parse_content_range("bytes 99-99/100");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->begin, 99u);
  EXPECT_EQ(range->end, 100u);
}

TEST(Headers, OthersAreRead) {
  EXPECT_EQ(parse_retry_after("9999999999"), std::chrono::seconds(1 << 30));
  EXPECT_EQ(etag_text("\"\""), "");
  EXPECT_EQ(etag_text("\"abc"), "\"abc");
  EXPECT_EQ(etag_text("abc\""), "abc\"");
  EXPECT_EQ(next_page(" <http://a/1>; rel=next"), "http://a/1");
  EXPECT_EQ(next_page("<http://long.example/long/long/1>; rel=prev, <http://a/2>; rel=next"),
            "http://a/2");
  EXPECT_FALSE(parse_number("18446744073709551616"));
  EXPECT_FALSE(parse_number(""));
  EXPECT_EQ(parse_number(std::string_view("123").substr(0, 2)), 12u);
  EXPECT_FALSE(next_page("<http://a/1>; rel=\"prev\", <http://a/3; rel=\"next\""));
  EXPECT_FALSE(next_page(">; rel=\"next\""));
  EXPECT_EQ(parse_retry_after("7"), std::chrono::seconds(7));
  EXPECT_FALSE(parse_retry_after("-7"));
  EXPECT_FALSE(parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT"));
  EXPECT_EQ(etag_text("W/\"abc\""), "abc");
  EXPECT_EQ(etag_text("\"abc\""), "abc");
  EXPECT_EQ(etag_text("\""), "\"");
  EXPECT_EQ(next_page("<http://a/1>; rel=\"prev\", <http://a/3>; rel=\"next\""), "http://a/3");
  EXPECT_FALSE(next_page("<http://a/1>; rel=\"prev\""));
  EXPECT_FALSE(next_page("http://a/1"));
  EXPECT_FALSE(next_page("<http://a/1"));
}

class AliasesTest : public testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(file_) << text; }
  static void write_to(const std::filesystem::path& path) { std::ofstream(path) << "{}"; }

  test::TemporaryDirectory folder_;
  std::filesystem::path file_ = folder_ / "models.json";
};

TEST_F(AliasesTest, AreKeptForTheOwnerAlone) {
  auto aliases = Aliases::open(folder_ / "new" / "models.json");
  ASSERT_TRUE(aliases.ok());
  EXPECT_NE(aliases->find("bitnet-2b-4t"), nullptr);
  EXPECT_EQ(aliases->find("mine"), nullptr);
  ASSERT_TRUE(aliases->set("mine", {"org/repo", "v1", "a.gguf"}).ok());
  const auto again = Aliases::open(folder_ / "new" / "models.json");
  ASSERT_TRUE(again.ok());
  ASSERT_NE(again->find("mine"), nullptr);
  EXPECT_EQ(*again->find("mine"), (ModelRef{"org/repo", "v1", "a.gguf"}));
  using std::filesystem::perms;
  EXPECT_EQ(std::filesystem::status(folder_ / "new").permissions(), perms::owner_all);
  EXPECT_EQ(std::filesystem::status(folder_ / "new" / "models.json").permissions(),
            perms::owner_read | perms::owner_write);
}

TEST_F(AliasesTest, GoBeforeThoseThatTernKnowsAndCanBeRemoved) {
  auto aliases = Aliases::open(file_);
  ASSERT_TRUE(aliases->set("bitnet-2b-4t", {"org/repo", "main", ""}).ok());
  EXPECT_EQ(aliases->find("bitnet-2b-4t")->repo, "org/repo");
  EXPECT_TRUE(*aliases->remove("bitnet-2b-4t"));
  EXPECT_NE(aliases->find("bitnet-2b-4t")->repo, "org/repo");
  EXPECT_FALSE(*aliases->remove("bitnet-2b-4t"));
  EXPECT_FALSE(aliases->set("a/b", {}).ok());
  EXPECT_FALSE(aliases->set("a.gguf", {}).ok());
}

TEST(Aliases, HaveNames) {
  EXPECT_TRUE(is_alias(std::string(64, 'a')));
  EXPECT_TRUE(is_alias("aA0_-.:"));
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("-a"),
                                  std::string(".a"), std::string("a b"), std::string("a.gguf")}) {
    EXPECT_FALSE(is_alias(name)) << name;
  }
}

TEST_F(AliasesTest, WhatCannotBeReadOrWrittenIsAnError) {
  std::filesystem::create_directory(file_);
  EXPECT_FALSE(Aliases::open(file_).ok());
  write_to(folder_ / "plain");
  const auto below = Aliases::open(folder_ / "plain" / "models.json");
  ASSERT_FALSE(below.ok());
  EXPECT_NE(below.error().to_string().find("cannot open"), std::string::npos);
  auto late = Aliases::open(folder_ / "late" / "models.json");
  ASSERT_TRUE(late.ok());
  write_to(folder_ / "late");
  const auto outcome = late->set("a", {"org/repo", "main", ""});
  ASSERT_FALSE(outcome.ok());
  EXPECT_NE(outcome.error().to_string().find("cannot make the folder"), std::string::npos);
}

TEST_F(AliasesTest, DamagedFilesAreErrors) {
  for (const char* text : {"{", "[]", R"({"a": 1})", R"({"a": "http://x"})",
                           R"({"a/b": "hf://o/r"})", R"({"a": "hf://o/r", "a": "hf://o/r"})"}) {
    write(text);
    const auto aliases = Aliases::open(file_);
    ASSERT_FALSE(aliases.ok()) << text;
    EXPECT_EQ(aliases.error().code, ErrorCode::kMalformed);
  }
}

}  // namespace
}  // namespace tern::hub
