#include "format/npy.h"

#include <gtest/gtest.h>

namespace tern::format {
namespace {

// As numpy.save writes it.
TEST(NpyHeader, NamesTypeAndShape) {
  const std::string header = npy_f32_header(3, 1024);
  ASSERT_EQ(header.size(), 128u);
  EXPECT_EQ(header.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  EXPECT_EQ(header.substr(8, 2), std::string("\x76\x00", 2));  // 118 bytes follow
  EXPECT_EQ(header.substr(10, 61), "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1024), ");
  EXPECT_EQ(header.back(), '\n');
}

TEST(NpyHeader, ValuesBeginAtAMultipleOf64) {
  for (std::uint64_t rows = 1; rows < std::uint64_t{1} << 60; rows *= 10) {
    EXPECT_EQ(npy_f32_header(rows, rows).size() % 64, 0u);
  }
}

}  // namespace
}  // namespace tern::format
