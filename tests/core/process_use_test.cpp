#include "core/process_use.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <vector>

namespace tern {
namespace {

TEST(ProcessUse, IsThatOfThisProcess) {
  const ProcessUse before = process_use();
  ASSERT_TRUE(before.resident_bytes && before.virtual_bytes && before.open_files);
  EXPECT_GT(*before.resident_bytes, 1 << 20);
  EXPECT_GE(*before.virtual_bytes, *before.resident_bytes);
  EXPECT_GE(before.cpu_seconds.value_or(-1), 0);
  EXPECT_GT(before.most_files.value_or(0), *before.open_files);
  const std::vector<char> used(64u << 20, 1);
  const int file = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const ProcessUse now = process_use();
  ::close(file);
  EXPECT_EQ(used.back(), 1);
  EXPECT_GT(*now.resident_bytes, *before.resident_bytes + (32 << 20));
  EXPECT_EQ(*now.open_files, *before.open_files + 1);
}

TEST(ProcessUse, CountsNoFileOfItsOwn) {
  const auto count_files = [] {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<double>(std::distance(begin(files), end(files)) - 1);  // but for its own
  };
  EXPECT_EQ(process_use().open_files.value_or(-1), count_files());
}

TEST(ProcessUse, WhatTheKernelDoesNotSayIsNothing) {
  const ProcessUse use = process_use("/nowhere");
  EXPECT_FALSE(use.resident_bytes || use.virtual_bytes || use.open_files);
  EXPECT_TRUE(use.most_files && use.cpu_seconds);
}

}  // namespace
}  // namespace tern
