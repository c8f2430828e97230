#include "format/gguf/gguf_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "format/gguf/gguf_types.h"

namespace tern::format {
namespace {

// On the heap and not a byte longer, so that AddressSanitizer sees a read behind the end.
bool is_utf8_exactly(std::string_view text) {
  const std::unique_ptr<char[]> home(new char[text.size()]);
  std::ranges::copy(text, home.get());
  return is_utf8({home.get(), text.size()});
}

TEST(GgufText, Utf8EndsWhereTheTextEnds) {
  for (const std::string_view whole : {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\xb1"}) {
    EXPECT_TRUE(is_utf8_exactly(whole));
    for (std::size_t cut = 1; cut < whole.size(); ++cut) {
      EXPECT_FALSE(is_utf8_exactly(whole.substr(0, cut)));
      EXPECT_FALSE(is_utf8(whole.substr(0, cut)));  // what follows would complete it
    }
  }
  EXPECT_TRUE(is_utf8(""));
  EXPECT_FALSE(is_utf8_exactly("\x80"));
  EXPECT_FALSE(is_utf8_exactly("\xc1"));
  EXPECT_FALSE(is_utf8_exactly("a\xff"));
}

TEST(GgufText, QuotesPrintableAsciiAsItIs) {
  EXPECT_EQ(in_quotes(" az~"), "' az~'");
  EXPECT_EQ(in_quotes(std::string_view("\x00\x1f\x7f\x80\xff", 5)), "'\\x00\\x1f\\x7f\\x80\\xff'");
  EXPECT_EQ(in_quotes(std::string(80, 'x')), "'" + std::string(80, 'x') + "'");
  EXPECT_EQ(in_quotes(std::string(81, 'x')), "'" + std::string(80, 'x') + "...'");
}

TEST(GgufTypes, OfUnknownIdsAreUnknown) {
  EXPECT_EQ(name(GgufType::kUint8), "uint8");
  EXPECT_EQ(name(GgufType::kFloat64), "float64");
  EXPECT_EQ(name(static_cast<GgufType>(13)), "unknown");
  EXPECT_EQ(minimum_bytes(GgufType::kFloat64), 8u);
  EXPECT_EQ(minimum_bytes(GgufType::kArray), 0u);
  EXPECT_EQ(minimum_bytes(static_cast<GgufType>(13)), 0u);
}

}  // namespace
}  // namespace tern::format
