#include "core/result.h"

#include <gtest/gtest.h>

namespace tern {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{ErrorCode::kUsage, "expected an even number", "n"};
  return n / 2;
}

Result<int> quarter(int n) {
  TERN_ASSIGN(const int h, half(n));
  return half(h);
}

TEST(Result, CarriesAValue) {
  const auto r = quarter(12);
  ASSERT_TRUE(r.ok());
  EXPECT_EQ(*r, 3);
}

TEST(Result, PropagatesTheFirstError) {
  const auto r = quarter(7);
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, ErrorCode::kUsage);
  EXPECT_EQ(r.error().to_string(), "n: expected an even number");
}

TEST(Error, ContextGrowsOutwards) {
  const Error e = in_context("model.gguf", Error{ErrorCode::kMalformed, "bad", "key"});
  EXPECT_EQ(e.to_string(), "model.gguf: key: bad");
  EXPECT_EQ(in_context("a", Error{ErrorCode::kIo, "m", ""}).to_string(), "a: m");
}

}  // namespace
}  // namespace tern
