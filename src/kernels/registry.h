// Chooses a KernelTable: the best that the CPU can run, or one by name.
#pragma once

#include <span>
#include <string_view>

#include "core/result.h"
#include "kernels/kernel_table.h"

namespace tern::kernels {

// Every table of this build, slowest first; the first is the scalar definition.
std::span<const KernelTable* const> all_tables();

inline const KernelTable& scalar_table() { return *all_tables().front(); }

// The fastest table whose features are all in `features` (detect_cpu_features()).
const KernelTable& best_table(std::uint32_t features);

// The table of that name. Errors: kUsage for an unknown name, kUnsupported where the CPU lacks one
// of its features: a forced tier never falls back.
Result<const KernelTable*> table_by_name(std::string_view name, std::uint32_t features);

}  // namespace tern::kernels
