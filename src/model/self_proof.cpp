#include "model/self_proof.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/fp_env.h"
#include "core/thread_pool.h"
#include "format/float_blocks.h"
#include "format/ternary_matrix.h"
#include "kernels/registry.h"
#include "model/plausibility.h"

namespace tern::model {
namespace {

using format::TernaryMatrix;

constexpr double kMostNegativeGains = 0.1;          // of a norm, trained around one
constexpr std::uint64_t kSampledValues = 1u << 14;  // of a tensor, for the histogram
constexpr std::uint64_t kProbedRows = 80;           // of a tensor, in one call
constexpr std::uint64_t kComparedStep = 17;  // of these one in 17, so one in each group of 16
constexpr std::size_t kProbedTokens = 5;

Error failed(const format::Tensor& tensor, std::string message) {
  return Error{ErrorCode::kProofFailed, std::move(message), tensor.name};
}

std::string percent(double share) { return std::to_string(std::lround(share * 100.0)) + "%"; }

// Adds the codes of evenly spread rows to `trits`.
Result<void> check_histogram(const format::Tensor& tensor, const TernaryMatrix& matrix,
                             std::array<std::uint64_t, 3>& trits) {
  std::array<std::uint64_t, 3> own{};
  const std::uint64_t count =
      std::clamp<std::uint64_t>(kSampledValues / matrix.columns(), 1, matrix.rows());
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto codes = matrix.count_codes(matrix.rows() * i / count, 1);
    for (std::size_t code = 0; code < own.size(); ++code) own[code] += codes[code];
  }
  TERN_TRY(check_trits(tensor, own));
  for (std::size_t code = 0; code < own.size(); ++code) trits[code] += own[code];
  return {};
}

// What goes into the rows: fixed values of both signs, other ones for each token, the largest
// magnitude not first; and what the definition makes of them.
class ProbeInput {
 public:
  explicit ProbeInput(std::uint64_t columns)
      : columns_(columns), x_(kProbedTokens * columns), q_(x_.size()), d_(kProbedTokens) {
    std::uint32_t state = 0x2545f491u;
    for (float& value : x_) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(static_cast<std::int32_t>(state) >> 8) * 0x1p-22f;
    }
    for (std::size_t t = 0; t < kProbedTokens; ++t) {
      std::int32_t sum = 0;
      kernels::scalar_table().quantize(x_.data() + t * columns, columns, columns,
                                       q_.data() + t * columns, &d_[t], &sum);
    }
  }

  std::uint64_t columns() const { return columns_; }
  std::span<const float> first(std::size_t tokens) const {
    return std::span(x_).first(tokens * columns_);
  }
  // The definition on decoded trits: nothing is shared with the tier but the formula.
  float defined_value(std::size_t token, const std::int8_t* trits, float scale) const {
    const std::int8_t* q = q_.data() + token * columns_;
    std::int32_t acc = 0;
    for (std::uint64_t c = 0; c < columns_; ++c) acc += q[c] * trits[c];
    return static_cast<float>(acc) * (scale * d_[token]);
  }

 private:
  std::uint64_t columns_;
  std::vector<float> x_;
  std::vector<std::int8_t> q_;
  std::vector<float> d_;
};

// Of each number of columns that a model has: two or three.
class ProbeInputs {
 public:
  const ProbeInput& of(std::uint64_t columns) {
    for (const ProbeInput& input : inputs_) {
      if (input.columns() == columns) return input;
    }
    return inputs_.emplace_back(columns);
  }

 private:
  std::deque<ProbeInput> inputs_;
};

// Some rows in one call, for some tokens: enough of both to reach every path of a tier's blocking,
// which takes up to four groups of 16 rows and four tokens in turn, then what is left over.
struct Probe {
  std::uint64_t first_row;
  std::uint64_t rows;
  std::size_t tokens;
};

Result<void> compare_rows(const TernaryTensor& entry, const TernaryMatrix& matrix,
                          backend::Backend& backend, const ProbeInput& input, const Probe& probe) {
  std::vector<float> found(probe.tokens * probe.rows);
  TERN_TRY(backend.ternary_rows(entry.weight, probe.first_row, probe.tokens,
                                input.first(probe.tokens), found));
  std::vector<std::int8_t> trits(matrix.columns());
  for (std::uint64_t r = 0; r < probe.rows; r += kComparedStep) {
    matrix.decode_rows(probe.first_row + r, 1, trits.data());
    for (std::size_t t = 0; t < probe.tokens; ++t) {
      const float expected = input.defined_value(t, trits.data(), matrix.scale());
      const float value = found[t * probe.rows + r];
      if (std::memcmp(&expected, &value, sizeof(float)) == 0) continue;
      return failed(*entry.tensor, "row " + std::to_string(probe.first_row + r) + " gives " +
                                       std::to_string(value) + " on tier " +
                                       std::string(backend.tier()) + ", " +
                                       std::to_string(expected) +
                                       " by the definition: do not use this tier on this machine");
    }
  }
  return {};
}

// Returns the scale.
Result<float> prove_one(const TernaryTensor& entry, backend::Backend& backend, ProbeInputs& inputs,
                        ProofReport& report) {
  const format::Tensor& tensor = *entry.tensor;
  TERN_ASSIGN(const TernaryMatrix matrix, TernaryMatrix::bind(tensor));
  if (const auto at = backend.invalid_element(entry.weight)) return invalid_code(tensor, *at);
  TERN_TRY(check_histogram(tensor, matrix, report.trits));
  const std::uint64_t rows = std::min(kProbedRows, matrix.rows());
  const Probe decode{matrix.rows() - rows, rows, 1};
  const Probe prefill{0, rows, kProbedTokens};
  const ProbeInput& input = inputs.of(matrix.columns());
  TERN_TRY(compare_rows(entry, matrix, backend, input, decode));
  TERN_TRY(compare_rows(entry, matrix, backend, input, prefill));
  report.rows_compared += 2 * ((rows + kComparedStep - 1) / kComparedStep);
  ++report.tensors;
  return matrix.scale();
}

}  // namespace

Result<ProofReport> prove(const format::GgufFile& file, std::span<const TernaryTensor> tensors,
                          backend::Backend& backend) {
  const ScopedFpEnv fp_env;
  const auto start = std::chrono::steady_clock::now();
  ProofReport report;
  std::vector<ProofReport> parts(backend.threads());
  std::vector<Result<float>> outcomes(tensors.size(), Result<float>(0.0f));
  TERN_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(backend.threads()));
  pool->run([&](ThreadPool::Worker& worker) {
    ProbeInputs inputs;
    for (std::size_t i = worker.index(); i < tensors.size(); i += worker.count()) {
      outcomes[i] = prove_one(tensors[i], backend, inputs, parts[worker.index()]);
      file.release(*tensors[i].tensor);
    }
  });
  std::vector<TensorScale> scales;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TERN_ASSIGN(const float scale, std::move(outcomes[i]));
    scales.push_back({tensors[i].tensor, scale});
  }
  if (!tensors.empty()) {
    TERN_ASSIGN(report.median_scale, check_scales(scales));
  }
  for (const ProofReport& part : parts) {
    report.tensors += part.tensors;
    report.rows_compared += part.rows_compared;
    for (std::size_t i = 0; i < report.trits.size(); ++i) report.trits[i] += part.trits[i];
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.proved = true;
  return report;
}

Result<void> prove_gains(const format::GgufFile& file) {
  for (const format::Tensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with("_norm.weight")) continue;
    std::vector<float> gains(tensor.elements());
    format::dequantize_row(tensor.type, tensor.data.data(), gains.size(), gains.data());
    const auto negative = std::count_if(gains.begin(), gains.end(), [](float g) { return g <= 0; });
    const double share = static_cast<double>(negative) / static_cast<double>(gains.size());
    if (share <= kMostNegativeGains) continue;
    return failed(tensor, percent(share) +
                              " of the gains are not above zero: they look like w where 1 + w is "
                              "expected; convert the model again with the one added");
  }
  return {};
}

}  // namespace tern::model
