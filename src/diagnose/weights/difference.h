// In what two files differ: metadata, and tensors by what they mean, not by their bytes. Ternary
// matrices of any types are compared trit by trit and by their scales; where one of them keeps its
// scale in f16, scales that are the same f16 are the same.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "format/gguf/gguf_file.h"

namespace tern::diagnose {

enum class TensorFault {
  kOnlyInA,
  kOnlyInB,
  kShape,
  kKind,     // ternary in one file, floats in the other
  kTrits,    // at (row, column)
  kScale,    // of the same trits
  kInverse,  // ... and one scale is about the inverse of the other
  kValues,   // of floats, at (row, column)
  kUnknown,  // one of them cannot be read as the matrix that it claims to be: see `why`
};

struct TensorDifference {
  std::string name;
  TensorFault fault;
  std::uint64_t row = 0;  // of the first that differs
  std::uint64_t column = 0;
  double a = 0.0;  // the trits, scales or values there
  double b = 0.0;
  std::uint64_t count = 0;  // of trits or values that differ
  std::string why = {};
};

struct FileDifference {
  std::vector<std::string_view> keys;     // whose values differ, or that one file lacks
  std::vector<TensorDifference> tensors;  // in the order of the first file, then of the second
  std::uint64_t compared = 0;             // tensors that both files have
  bool empty() const { return keys.empty() && tensors.empty(); }
};

// Reads a few rows at a time and gives the pages back. The keys are those of the files.
FileDifference compare(const format::GgufFile& a, const format::GgufFile& b);

}  // namespace tern::diagnose
