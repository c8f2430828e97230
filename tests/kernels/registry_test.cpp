#include "kernels/registry.h"

#include <gtest/gtest.h>

#include <string>

#include "core/cpu_features.h"

namespace tern::kernels {
namespace {

TEST(Registry, ForcedTierNeverFallsBack) {
  EXPECT_STREQ(table_by_name("scalar", 0).value()->name, "scalar");
  const auto unknown = table_by_name("sse9", ~0u);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  std::string names;
  for (const KernelTable* table : all_tables())
    names += (names.empty() ? "" : ", ") + std::string(table->name);
  EXPECT_EQ(unknown.error().to_string(), "tier sse9: unknown tier; this build has " + names);
  for (const KernelTable* table : all_tables()) {
    if (table->required_features == 0) continue;
    const auto missing = table_by_name(table->name, 0);
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(missing.error().to_string(),
              "tier " + std::string(table->name) + ": this CPU lacks " +
                  describe_cpu_features(table->required_features) + ", which the tier needs");
    EXPECT_EQ(table_by_name(table->name, ~0u).value(), table);
  }
}

TEST(Registry, BestTableRunsOnTheFeaturesGiven) {
  EXPECT_EQ(best_table(0).required_features, 0u);
  EXPECT_EQ(&best_table(~0u), all_tables().back());
  for (const KernelTable* table : all_tables()) {
    EXPECT_EQ(best_table(table->required_features).required_features & ~table->required_features,
              0u);
  }
}

}  // namespace
}  // namespace tern::kernels
