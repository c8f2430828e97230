#include "core/sealed_line.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

TEST(SealedLine, GivesItsTextBack) {
  const std::string line = sealed("7 of 9");
  ASSERT_EQ(line.back(), '\n');
  EXPECT_EQ(unsealed(line.substr(0, line.size() - 1)), "7 of 9");
  EXPECT_EQ(unsealed(sealed("").substr(0, 17)), "");
}

TEST(SealedLine, TellsEachCutAndEachChange) {
  std::string line = sealed("7 of 9");
  line.pop_back();
  for (std::size_t end = 0; end < line.size(); ++end) {
    EXPECT_FALSE(unsealed(line.substr(0, end))) << end;
  }
  for (std::size_t at = 0; at < line.size(); ++at) {
    std::string other = line;
    other[at] = static_cast<char>(other[at] ^ 1);
    EXPECT_FALSE(unsealed(other)) << at;
  }
}

TEST(SealedLine, HexHasSixteenDigits) {
  EXPECT_EQ(hex(0), "0000000000000000");
  EXPECT_EQ(hex(0x0123456789abcdefu), "0123456789abcdef");
}

}  // namespace
}  // namespace tern
