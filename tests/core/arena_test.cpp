#include "core/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace tern {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;

std::uintptr_t address(std::span<const std::byte> part) {
  return reinterpret_cast<std::uintptr_t>(part.data());
}

std::span<std::byte> allocate(Arena& arena, std::size_t bytes) {
  auto part = arena.allocate(bytes, "test");
  EXPECT_TRUE(part.ok());
  return part ? *part : std::span<std::byte>();
}

TEST(Arena, PartsAreAlignedKeepTheirBytesAndDoNotOverlap) {
  Arena arena;
  std::vector<std::span<std::byte>> parts;
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{64}, std::size_t{65}, kHuge - 1,
                                  kHuge, std::size_t{1}, 3 * kHuge + 7, std::size_t{100}}) {
    parts.push_back(allocate(arena, bytes));
    ASSERT_EQ(parts.back().size(), bytes);
    EXPECT_TRUE(std::ranges::all_of(parts.back(), [](std::byte b) { return b == std::byte{0}; }));
    EXPECT_EQ(address(parts.back()) % 64, 0u);
    std::ranges::fill(parts.back(), static_cast<std::byte>(parts.size()));
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_TRUE(std::ranges::all_of(parts[i], [&](std::byte b) {
      return b == static_cast<std::byte>(i + 1);
    })) << i;
  }
}

// Side by side: buffers of their own would each begin on other pages.
TEST(Arena, PartsShareHugePages) {
  Arena arena;
  const auto first = allocate(arena, 1000);
  EXPECT_EQ(address(first) % kHuge, 0u);
  const auto second = allocate(arena, kHuge / 2);
  EXPECT_EQ(address(second), address(first) + 1024);
}

TEST(Arena, GivesToTheLastByte) {
  Arena arena;
  const auto first = allocate(arena, kHuge - 64);
  const auto second = allocate(arena, 64);
  EXPECT_EQ(address(second), address(first) + kHuge - 64);
  std::ranges::fill(second, std::byte{1});
  std::ranges::fill(allocate(arena, 64), std::byte{2});  // of another allocation
  EXPECT_EQ(second.back(), std::byte{1});
}

TEST(Arena, NothingIsEmpty) {
  Arena arena;
  EXPECT_TRUE(allocate(arena, 0).empty());
}

TEST(Arena, AnAbsurdSizeIsAnErrorThatNamesThePurpose) {
  Arena arena;
  const auto refused = arena.allocate(std::numeric_limits<std::size_t>::max() / 4 + 1, "weights");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(refused.error().to_string(), "weights: cannot allocate 4398046511104 MiB");
  EXPECT_EQ(allocate(arena, 64).size(), 64u);
}

}  // namespace
}  // namespace tern
