#include "kernels/registry.h"

#include <array>
#include <string>

#include "core/cpu_features.h"
#include "kernels/tables.h"

namespace tern::kernels {
namespace {

constexpr std::array kTables {
  &kScalarTable,
#if defined(__x86_64__)
      &kAvx2Table, &kAvxVnniTable, &kAvx512VnniTable, &kAvx512VbmiTable, &kAmxTable,
#elif defined(__aarch64__)
      &kNeonTable, &kNeonDotprodTable, &kNeonI8mmTable,
#endif
};

std::string known_names() {
  std::string names;
  for (const KernelTable* table : kTables) {
    if (!names.empty()) names += ", ";
    names += table->name;
  }
  return names;
}

}  // namespace

std::span<const KernelTable* const> all_tables() { return kTables; }

const KernelTable& best_table(std::uint32_t features) {
  const KernelTable* best = kTables.front();
  for (const KernelTable* table : kTables) {
    if ((table->required_features & ~features) == 0) best = table;
  }
  return *best;
}

Result<const KernelTable*> table_by_name(std::string_view name, std::uint32_t features) {
  for (const KernelTable* table : kTables) {
    if (name != table->name) continue;
    const std::uint32_t missing = table->required_features & ~features;
    if (missing == 0) return table;
    return Error{ErrorCode::kUnsupported,
                 "this CPU lacks " + describe_cpu_features(missing) + ", which the tier needs",
                 "tier " + std::string(name)};
  }
  return Error{ErrorCode::kUsage, "unknown tier; this build has " + known_names(),
               "tier " + std::string(name)};
}

}  // namespace tern::kernels
