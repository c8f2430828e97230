#include "diagnose/weights/difference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "core/float16.h"
#include "format/float_blocks.h"
#include "format/ternary_encoder.h"
#include "format/ternary_matrix.h"

namespace tern::diagnose {
namespace {

using format::GgufFile;
using format::Tensor;
using format::TernaryMatrix;

constexpr std::uint64_t kValuesAtOnce = 1 << 16;  // at least a row
constexpr std::uint64_t kBytesHeld = 16 << 20;    // of a tensor of floats
constexpr double kInverseWithin = 0.01;

// Counts what differs in runs of values, and keeps the first.
class Counter {
 public:
  explicit Counter(TensorDifference& found) : found_(found) {}

  template <typename T>
  void add(std::uint64_t first_row, std::uint64_t columns, const std::vector<T>& a,
           const std::vector<T>& b, std::uint64_t count) {
    if (std::memcmp(a.data(), b.data(), count * sizeof(T)) == 0) return;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (std::memcmp(&a[i], &b[i], sizeof(T)) == 0) continue;
      if (found_.count++ > 0) continue;
      found_.row = first_row + i / columns;
      found_.column = i % columns;
      found_.a = static_cast<double>(a[i]);
      found_.b = static_cast<double>(b[i]);
    }
  }

 private:
  TensorDifference& found_;
};

// Whether the scale may have been rounded: one beside the matrix was not.
bool rounds(const Tensor& tensor) {
  return format::has_f16_scales(tensor.type) && !tensor.scale_beside;
}

bool same_scale(const Tensor& ta, const Tensor& tb, float a, float b) {
  return a == b || (rounds(ta) != rounds(tb) && f32_to_f16(a) == f32_to_f16(b));
}

std::optional<TensorDifference> compare_ternary(const Tensor& ta, const Tensor& tb) {
  TensorDifference found{ta.name, TensorFault::kTrits};
  const auto a = TernaryMatrix::bind(ta);
  const auto b = TernaryMatrix::bind(tb);
  if (!a || !b) {
    found.fault = TensorFault::kUnknown;
    found.why = (a ? b : a).error().to_string();
    return found;
  }
  const std::uint64_t step = std::max<std::uint64_t>(1, kValuesAtOnce / a->columns());
  std::vector<std::int8_t> of_a(step * a->columns());
  std::vector<std::int8_t> of_b(of_a.size());
  Counter counter(found);
  for (std::uint64_t row = 0; row < a->rows(); row += step) {
    const std::uint64_t count = std::min(step, a->rows() - row);
    a->decode_rows(row, count, of_a.data());
    b->decode_rows(row, count, of_b.data());
    counter.add(row, a->columns(), of_a, of_b, count * a->columns());
  }
  if (found.count > 0) return found;
  if (same_scale(ta, tb, a->scale(), b->scale())) return std::nullopt;
  found.a = static_cast<double>(a->scale());
  found.b = static_cast<double>(b->scale());
  const bool inverse = std::abs(found.a * found.b - 1.0) < kInverseWithin;
  found.fault = inverse ? TensorFault::kInverse : TensorFault::kScale;
  return found;
}

// Rows of floats, whose pages go back when many were read.
class FloatRows {
 public:
  FloatRows(const GgufFile& file, const Tensor& tensor)
      : file_(file),
        tensor_(tensor),
        row_bytes_(format::row_bytes(tensor.type, tensor.columns())),
        values_(tensor.columns()) {}

  const std::vector<float>& decode(std::uint64_t row) {
    const std::uint64_t at = row * row_bytes_;
    format::dequantize_row(tensor_.type, tensor_.data.data() + at, tensor_.columns(),
                           values_.data());
    if (at - released_ >= kBytesHeld) {
      Tensor part = tensor_;
      part.data = tensor_.data.subspan(released_, at - released_);
      file_.release(part);
      released_ = at;
    }
    return values_;
  }

 private:
  const GgufFile& file_;
  const Tensor& tensor_;
  std::uint64_t row_bytes_;
  std::uint64_t released_ = 0;
  std::vector<float> values_;
};

std::optional<TensorDifference> compare_floats(FloatRows a, FloatRows b, const Tensor& tensor) {
  TensorDifference found{tensor.name, TensorFault::kValues};
  Counter counter(found);
  for (std::uint64_t row = 0; row < tensor.rows(); ++row) {
    counter.add(row, tensor.columns(), a.decode(row), b.decode(row), tensor.columns());
  }
  return found.count > 0 ? std::optional(found) : std::nullopt;
}

std::optional<TensorDifference> compare_tensors(const GgufFile& file_a, const Tensor& a,
                                                const GgufFile& file_b, const Tensor& b) {
  if (a.rank != b.rank || a.shape != b.shape) {
    return TensorDifference{a.name, TensorFault::kShape};
  }
  const bool ternary = format::is_ternary(a.type);
  if (ternary != format::is_ternary(b.type)) return TensorDifference{a.name, TensorFault::kKind};
  return ternary ? compare_ternary(a, b) : compare_floats({file_a, a}, {file_b, b}, a);
}

std::vector<std::string_view> different_keys(const GgufFile& a, const GgufFile& b) {
  std::vector<std::string_view> keys;
  for (const std::string_view key : a.keys()) {
    const format::GgufValue* other = b.find(key);
    if (other == nullptr || *other != *a.find(key)) keys.push_back(key);
  }
  for (const std::string_view key : b.keys()) {
    if (a.find(key) == nullptr) keys.push_back(key);
  }
  return keys;
}

// Whether the tensor is the scale of a ternary matrix, with which it is compared.
bool is_scale_beside(const GgufFile& file, const Tensor& tensor) {
  constexpr std::string_view kScale = ".scale";
  if (!tensor.name.ends_with(kScale)) return false;
  const std::string base = tensor.name.substr(0, tensor.name.size() - kScale.size());
  const Tensor* weight = file.tensor(base + ".weight");
  return weight != nullptr && weight->scale_beside.has_value();
}

}  // namespace

FileDifference compare(const GgufFile& a, const GgufFile& b) {
  FileDifference difference;
  difference.keys = different_keys(a, b);
  for (const Tensor& tensor : a.tensors()) {
    if (is_scale_beside(a, tensor)) continue;
    const Tensor* other = b.tensor(tensor.name);
    if (other == nullptr) {
      difference.tensors.push_back({tensor.name, TensorFault::kOnlyInA});
      continue;
    }
    ++difference.compared;
    if (auto found = compare_tensors(a, tensor, b, *other)) {
      difference.tensors.push_back(std::move(*found));
    }
    a.release(tensor);
    b.release(*other);
  }
  for (const Tensor& tensor : b.tensors()) {
    if (a.tensor(tensor.name) != nullptr || is_scale_beside(b, tensor)) continue;
    difference.tensors.push_back({tensor.name, TensorFault::kOnlyInB});
  }
  return difference;
}

}  // namespace tern::diagnose
