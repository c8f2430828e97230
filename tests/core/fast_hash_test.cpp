#include "core/fast_hash.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

namespace tern {
namespace {

std::uint64_t hash(std::string_view text) { return fast_hash(std::as_bytes(std::span(text))); }

// The values are those of the XXH3 specification's own tests: entries are read by later versions.
TEST(FastHash, IsXxh3) {
  EXPECT_EQ(hash(""), 0x2d06800538d394c2u);
  EXPECT_EQ(hash("a"), 0xe6c632b61e964e1fu);
}

TEST(FastHash, EveryBitCounts) {
  std::vector<std::byte> bytes(5000);
  const std::uint64_t zeros = fast_hash(bytes);
  for (std::size_t i = 0; i < bytes.size(); i += 7) {
    bytes[i] = std::byte{1} << (i % 8);
    EXPECT_NE(fast_hash(bytes), zeros) << i;
    bytes[i] = std::byte{0};
  }
  EXPECT_EQ(fast_hash(bytes), zeros);
}

}  // namespace
}  // namespace tern
