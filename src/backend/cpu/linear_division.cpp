#include "backend/cpu/linear_division.h"

#include <algorithm>

namespace tern::backend {
namespace {

std::size_t matrices_of(const Plan& plan) {
  return static_cast<std::size_t>(std::count_if(plan.ops.begin(), plan.ops.end(), [](const Op& op) {
    return op.code == OpCode::kTernaryLinear;
  }));
}

}  // namespace

LinearDivision::LinearDivision(const Plan& plan, std::uint32_t workers)
    : workers_(workers), open_(matrices_of(plan) * workers) {
  matrix_of_.reserve(plan.ops.size());
  rows_.reserve(matrices_of(plan));
  for (const Op& op : plan.ops) {
    matrix_of_.push_back(static_cast<std::uint32_t>(rows_.size()));
    if (op.code == OpCode::kTernaryLinear) rows_.push_back(plan.slots[op.out].width);
  }
}

std::uint64_t LinearDivision::bytes(const Plan& plan, std::uint32_t workers) {
  return plan.ops.size() * sizeof(std::uint32_t) +
         matrices_of(plan) * (sizeof(std::size_t) + workers * sizeof(OpenCalls));
}

void LinearDivision::open() {
  for (std::uint32_t matrix = 0; matrix < rows_.size(); ++matrix) {
    for (std::uint32_t worker = 0; worker < workers_; ++worker) {
      const Slice part = slice_of(rows_[matrix], kGrain, worker, workers_);
      pieces(matrix, worker).open(0, (part.end - part.begin + kPieceRows - 1) / kPieceRows);
    }
  }
}

Slice LinearDivision::rows_of(std::uint32_t matrix, std::uint32_t worker, Slice pieces) const {
  const Slice part = slice_of(rows_[matrix], kGrain, worker, workers_);
  return {part.begin + pieces.begin * kPieceRows,
          std::min(part.begin + pieces.end * kPieceRows, part.end)};
}

}  // namespace tern::backend
