// How each shape of ternary matrix is packed and read fastest on a machine. No choice changes a
// result. `tern tune` measures it (diagnose/measure/tune.h); here it is looked up, and kept as the
// bytes of a cache entry.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "format/tensor.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

struct MatrixShape {
  std::uint64_t rows;
  std::uint64_t columns;
  bool operator==(const MatrixShape&) const = default;
  bool operator<(const MatrixShape& other) const {
    return rows != other.rows ? rows < other.rows : columns < other.columns;
  }
};

struct MatrixPlan {
  kernels::Packing packing;
  kernels::ReadPattern read;      // of one row; several are read in the tier's own pattern
  std::uint32_t tile_tokens = 0;  // rows from which on tile registers are taken; 0: the tier's own
};
// Powers of two from 2 to this can be a plan's: what lies beyond is not measured.
inline constexpr std::uint32_t kMostTileTokens = 64;
bool operator==(const MatrixPlan& a, const MatrixPlan& b);

// "five-trits", "two-bits"
std::string_view name(kernels::Packing packing);
// What the tier does where nothing was measured, into the cache that this CPU's memory wants.
MatrixPlan default_plan(const kernels::KernelTable& table);
// Whether the tier can.
bool supports(const kernels::KernelTable& table, const MatrixPlan& plan);

// Shapes without a plan have the tier's.
using Tuning = std::map<MatrixShape, MatrixPlan>;

// What is kept of a machine and a tier.
struct KeptTuning {
  Tuning plans;
  // How many threads decode a model fastest, by a hash of its shapes, where that was measured.
  std::map<std::uint64_t, std::uint32_t> teams;
  bool operator==(const KeptTuning&) const = default;
};

MatrixPlan plan_for(const Tuning& tuning, const format::Tensor& tensor,
                    const kernels::KernelTable& table);

// `made_by` says by what and where it was measured.
std::vector<std::byte> tuning_bytes(const KeptTuning& tuning, std::string_view made_by);
// Errors: kMalformed for bytes that are damaged, of another version, made elsewhere, or that ask
// for what the tier cannot.
Result<KeptTuning> read_tuning(std::span<const std::byte> bytes, std::string_view made_by,
                               const kernels::KernelTable& table);

}  // namespace tern::backend
