// The int8 copy of a head matrix, and the bounds that make a scan of it certain: how far a scanned
// value can lie from the exact logit. docs/numbers.md, "Certified head", has the derivation.
#pragma once

#include <cstdint>
#include <string>

#include "backend/cpu/packed_cache.h"
#include "core/arena.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "format/tensor.h"
#include "kernels/kernel_table.h"

namespace tern::backend {

// Never changes once made. Rows are padded to whole groups of kTileRows.
struct HeadCopy {
  kernels::ScanTiles tiles;  // in the arena, like the two below
  const float* residuals;    // [rows] at least |w - w^|, w^ the rounded row
  const float* norms;        // [rows] at least |w|; infinity for a row that cannot be bounded
  std::uint64_t bytes;       // which a scan of all rows reads

  // Rows from `first` on, a multiple of kTileRows.
  kernels::ScanTiles from(std::uint64_t first) const;
};

// Bytes that make_head_copy allocates and a scan reads; 0 for a matrix that has no copy.
std::uint64_t head_copy_bytes(const format::Tensor& tensor);

// The name that a cache has the copy by. Another meaning of the bytes is a new version in it: they
// do not depend on the tier.
std::string head_copy_blob(const format::Tensor& tensor);

// Of a float matrix for which head_copy_bytes() is not 0, from the cache where it is there; null:
// no cache. What comes from the cache is compared with the matrix on some rows. Errors:
// kOutOfMemory; kProofFailed where a row is not that of the matrix.
Result<HeadCopy> make_head_copy(const kernels::KernelTable& table, const format::Tensor& tensor,
                                Arena& arena, ThreadPool& pool, PackedCache* cache);

// No member of ScanBound: that is a header of every tier, whose inline functions would be compiled
// for each and linked for any.
inline float off_by(const kernels::ScanBound& bound, float residual, float norm) {
  return (residual * bound.of_residual + norm * bound.of_norm) + bound.constant;
}

// Activations as digits. With S the value scanned by the high digit alone, s that by both and e =
// off_by(both): |logit - s| <= e, and S + off_by(high) >= s + e.
struct ScanQuery {
  kernels::DigitScale digits;
  kernels::ScanBound both;
  kernels::ScanBound high;
  bool bounded;  // false: x is too large, or no number; every row must be computed
};

// Writes the digits of n activations as a row of kernels::DigitRows has them, `stride` bytes from
// tile to tile; zeros where it is not bounded.
ScanQuery make_scan_query(const float* x, std::size_t n, std::int8_t* digits, std::size_t stride);

}  // namespace tern::backend
