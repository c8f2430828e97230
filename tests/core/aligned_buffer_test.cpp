#include "core/aligned_buffer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <limits>
#include <utility>
#include <vector>

namespace tern {
namespace {

TEST(AlignedBuffer, IsAlignedZeroedAndOfWholeLines) {
  constexpr std::size_t kHuge = std::size_t{2} << 20;
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, std::size_t{1000},
        std::size_t{1} << 20, kHuge, kHuge + 64, kHuge + (kHuge >> 1)}) {
    for (int again = 0; again < 3; ++again) {  // the allocator hands used memory out again
      auto buffer = AlignedBuffer::allocate(bytes, "test");
      ASSERT_TRUE(buffer.ok());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer->data()) % (bytes < kHuge ? 64 : kHuge),
                0u);
      EXPECT_EQ(buffer->size(), (bytes + 63) / 64 * 64);
      EXPECT_TRUE(std::all_of(buffer->data(), buffer->data() + buffer->size(),
                              [](std::byte b) { return b == std::byte{0}; }));
      std::fill_n(buffer->data(), buffer->size(), std::byte{0xee});
    }
  }
}

// Of what a model may need only what it uses has to be there.
TEST(AlignedBuffer, WhatNobodyTouchesTakesNoMemory) {
  auto buffer = AlignedBuffer::allocate(std::size_t{256} << 20, "test");
  ASSERT_TRUE(buffer.ok());
  buffer->data()[0] = std::byte{1};
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> there(buffer->size() / page);
  ASSERT_EQ(::mincore(buffer->data(), buffer->size(), there.data()), 0);
  const auto count = std::ranges::count_if(there, [](unsigned char c) { return (c & 1) != 0; });
  EXPECT_GE(count, 1);
  EXPECT_LE(static_cast<std::size_t>(count) * page, std::size_t{2} << 20);
}

// The kernel gives whole mappings back: neither those for the alignment nor the buffer stay.
TEST(AlignedBuffer, LeavesNoMappingBehind) {
  const auto mapped_pages = [] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages;
  };
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  constexpr std::size_t kBytes = (std::size_t{2} << 20) + 64;
  const std::size_t before = mapped_pages();
  {
    std::vector<AlignedBuffer> buffers;
    for (int i = 0; i < 100; ++i) {
      buffers.push_back(std::move(AlignedBuffer::allocate(kBytes, "test").value()));
    }
    EXPECT_LE((mapped_pages() - before) * page, 100 * (kBytes + 3 * page) + (1u << 20));
  }
  EXPECT_LE(mapped_pages() * page, before * page + (1u << 20));
}

TEST(AlignedBuffer, AsCountsTheOffsetInBytes) {
  auto buffer = AlignedBuffer::allocate(64, "test");
  ASSERT_TRUE(buffer.ok());
  *buffer->as<std::uint32_t>(8) = 0x01020304u;
  EXPECT_EQ(static_cast<void*>(buffer->as<std::uint32_t>(8)), buffer->data() + 8);
  EXPECT_EQ(buffer->as<std::uint32_t>()[2], 0x01020304u);
}

TEST(AlignedBuffer, NothingIsEmpty) {
  EXPECT_EQ(AlignedBuffer().size(), 0u);
  auto buffer = AlignedBuffer::allocate(0, "test");
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->size(), 0u);
  EXPECT_EQ(buffer->data(), nullptr);
}

TEST(AlignedBuffer, MovingTakesTheMemoryAlong) {
  auto buffer = AlignedBuffer::allocate(64, "test");
  ASSERT_TRUE(buffer.ok());
  std::byte* const memory = buffer->data();
  const AlignedBuffer moved = std::move(*buffer);
  EXPECT_EQ(moved.data(), memory);
  EXPECT_EQ(moved.size(), 64u);
}

TEST(AlignedBuffer, AnAbsurdSizeIsAnErrorThatNamesThePurpose) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  const auto too_large = AlignedBuffer::allocate(kMost / 4 + 1, "KV cache page");
  ASSERT_FALSE(too_large.ok());
  EXPECT_EQ(too_large.error().code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(too_large.error().to_string(), "KV cache page: cannot allocate 4398046511104 MiB");
  for (const std::size_t bytes : {kMost - 63, kMost - (std::size_t{2} << 20), kMost / 2 + 1}) {
    EXPECT_FALSE(AlignedBuffer::allocate(bytes, "KV cache page").ok()) << bytes;
  }
}

// Rounding up to 64 would wrap to a small number.
TEST(AlignedBuffer, ASizeThatWrapsIsAnError) {
  constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
  for (const std::size_t bytes : {kMost, kMost - 62}) {
    const auto wrapped = AlignedBuffer::allocate(bytes, "weights");
    ASSERT_FALSE(wrapped.ok());
    EXPECT_EQ(wrapped.error().code, ErrorCode::kOutOfMemory);
    EXPECT_EQ(wrapped.error().to_string(), "weights: the size overflows");
  }
}

}  // namespace
}  // namespace tern
