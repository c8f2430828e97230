#include "core/keyed_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace tern {
namespace {

TEST(KeyedHash, IsOfTheBytes) {
  const KeyedHash hash;
  EXPECT_EQ(hash(std::string("token")), hash("token"));
  EXPECT_NE(hash("token"), hash("tokem"));
  EXPECT_NE(hash(""), hash(std::string_view("\0", 1)));
}

TEST(KeyedHash, IsOfItsKey) {
  const KeyedHash hash;
  const KeyedHash copy = hash;
  EXPECT_EQ(copy("token"), hash("token"));
  EXPECT_NE(KeyedHash()("token"), hash("token"));
}

}  // namespace
}  // namespace tern
