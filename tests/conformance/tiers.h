// The tiers that conformance holds to the scalar definition.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "core/cpu_features.h"
#include "core/fp_env.h"
#include "kernels/registry.h"

namespace tern::kernels {

#if defined(__x86_64__)
extern const KernelTable kAvxVnniEvexTable;  // the AVX-VNNI tier in the encoding of AVX-512
extern const KernelTable kAmxEmulatedTable;  // the AMX tier over emulated registers
std::uint64_t emulated_configurations();     // of those of this thread, so far
#endif

// For the names of the tests: a tier is its name.
inline void PrintTo(const KernelTable* table, std::ostream* out) {  // NOLINT: a name of GoogleTest
  *out << table->name;
}

// A test on one tier; skipped where the CPU lacks it.
class TierTest : public ::testing::TestWithParam<const KernelTable*> {
 protected:
  void SetUp() override {
    const auto missing = GetParam()->required_features & ~detect_cpu_features();
    if (missing != 0) GTEST_SKIP() << "this CPU lacks " << describe_cpu_features(missing);
  }
  const KernelTable& tier() const { return *GetParam(); }
  const KernelTable& scalar() const { return scalar_table(); }
  ScopedFpEnv fp_env_;
};

inline std::vector<const KernelTable*> tested_tables() {
  std::vector<const KernelTable*> tables(all_tables().begin(), all_tables().end());
#if defined(__x86_64__)
  tables.push_back(&kAvxVnniEvexTable);
  tables.push_back(&kAmxEmulatedTable);
#endif
  return tables;
}

// "avx512_vnni"
inline std::string tier_test_name(const ::testing::TestParamInfo<const KernelTable*>& tier) {
  std::string name = tier.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace tern::kernels
