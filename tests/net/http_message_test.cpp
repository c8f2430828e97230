#include "net/http_message.h"

#include <gtest/gtest.h>

namespace tern::net {
namespace {

TEST(HttpMessage, NamesOfHeadersHaveNoCase) {
  const std::vector<HttpHeader> headers{{"AZ-@[", "1"}, {"az", "2"}};
  EXPECT_EQ(find_header(headers, "az-@["), "1");
  EXPECT_EQ(find_header(headers, "aZ"), "2");
  EXPECT_EQ(find_header(headers, "AZ-`{"), "");  // what lies as far from @ and [ as a from A
}

TEST(HttpMessage, HeadsSayWhatFollows) {
  const std::chrono::sys_seconds date(std::chrono::seconds(784'111'777));
  EXPECT_EQ(format_head({404, "text/plain", "", {{"A", "b\r\nc\x7f"}}}, {.length = 7}, date),
            "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Content-Type: text/plain\r\nA: bc\r\nContent-Length: 7\r\n\r\n");
  EXPECT_EQ(
      format_head({499, "", ""}, {.length = std::nullopt, .chunked = true, .close = true}, date),
      "HTTP/1.1 499 Client Closed Request\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
      "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(format_chunk("0123456789abcdefg"), "11\r\n0123456789abcdefg\r\n");
}

TEST(HttpMessage, DatesAreThoseOfRfc9110) {
  const auto date = [](std::int64_t seconds) {
    return http_date(std::chrono::sys_seconds(std::chrono::seconds(seconds)));
  };
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(951'868'799), "Tue, 29 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(date(1'735'689'599), "Tue, 31 Dec 2024 23:59:59 GMT");
  EXPECT_EQ(date(1'749'027'845), "Wed, 04 Jun 2025 09:04:05 GMT");
}

TEST(HttpMessage, PathsAreUtf8) {
  EXPECT_EQ(decode_path("/%41"), "/A");
  EXPECT_EQ(decode_path("/%7e%20"), "/~ ");
  const char* const sound[] = {"\xc2\x80",         "\xdf\xbf",         "\xe0\xa0\x80",
                               "\xed\x9f\xbf",     "\xee\x80\x80",     "\xef\xbf\xbf",
                               "\xf0\x90\x80\x80", "\xf1\x80\x80\x80", "\xf4\x8f\xbf\xbf"};
  for (const std::string text : sound) {
    EXPECT_EQ(decode_path("/" + text), "/" + text);
    EXPECT_EQ(decode_path("/" + text.substr(0, text.size() - 1)), std::nullopt);
  }
  for (const char* broken : {"\x80", "\x80\x80", "\xbf\x80", "\xc0\x80", "\xc1\xbf", "\xc2\x7e",
                             "\xc2\xc0", "\xe0\x9f\xbf", "\xe0\xa0", "\xe0\xa0\x7e", "\xe0\xa0\xc0",
                             "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf0\x90\x80\xc0",
                             "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(decode_path(std::string("/") + broken), std::nullopt);
  }
  for (const char* escape : {"/%", "/%4", "/%zz", "/%4z", "/%00", "/%1f", "/%7f", "/%ff"}) {
    EXPECT_EQ(decode_path(escape), std::nullopt) << escape;
  }
}

}  // namespace
}  // namespace tern::net
