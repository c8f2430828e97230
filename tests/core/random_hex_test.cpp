#include "core/random_hex.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tern {
namespace {

TEST(RandomHex, TwoDigitsAByteHoweverMany) {
  for (const std::size_t bytes : {0U, 1U, 31U, 32U, 33U, 100U}) {
    const std::string text = random_hex(bytes);
    EXPECT_EQ(text.size(), 2 * bytes);
    EXPECT_EQ(text.find_first_not_of("0123456789abcdef"), std::string::npos) << text;
  }
}

TEST(RandomHex, EveryDigitInEveryPlaceAndNoTextTwice) {
  std::set<std::string> texts;
  std::set<char> digits[80];
  for (int i = 0; i < 1000; ++i) {
    const std::string text = random_hex(40);
    texts.insert(text);
    for (std::size_t place = 0; place < text.size(); ++place) digits[place].insert(text[place]);
  }
  EXPECT_EQ(texts.size(), 1000U);
  // A digit stays away from a place with a probability of (15/16)^1000, 10^-28.
  for (const auto& of_place : digits) EXPECT_EQ(of_place.size(), 16U);
}

}  // namespace
}  // namespace tern
