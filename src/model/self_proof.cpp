#include "model/self_proof.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "core/fixed_math.h"
#include "core/fp_env.h"
#include "core/thread_pool.h"
#include "format/ternary/i2_s.h"
#include "kernels/registry.h"

namespace tern::model {
namespace {

using format::I2sMatrix;

// A multiplicative scale is about the mean magnitude of the trained weights; its inverse, by which
// some checkpoints divide, is tens. The bound leaves room for models whose norms allow large
// weights.
constexpr double kLargestMeanScale = 8.0;
constexpr double kLeastShare = 0.01;                // of zeros, and of non-zeros
constexpr double kMostLopsided = 0.5;               // |plus - minus| / (plus + minus)
constexpr std::uint64_t kSampledValues = 1u << 14;  // of a tensor, for the histogram
constexpr std::uint64_t kSampledRows = 3;           // of a tensor, against the definition

Error failed(const format::Tensor& tensor, std::string message) {
  return Error{ErrorCode::kProofFailed, std::move(message), tensor.name};
}

std::string percent(double share) { return std::to_string(std::lround(share * 100.0)) + "%"; }

Result<void> check_codes(const format::Tensor& tensor, const I2sMatrix& matrix) {
  if (const auto at = matrix.find_code3(0, matrix.rows())) {
    return failed(tensor, "code 3 at element " + std::to_string(*at) +
                              ": the bytes are not I2_S in blocks of 128 (another layout under the "
                              "same type id, or damage); convert the model again");
  }
  return {};
}

// Adds the codes of evenly spread rows to `trits`.
Result<void> check_histogram(const format::Tensor& tensor, const I2sMatrix& matrix,
                             std::array<std::uint64_t, 3>& trits) {
  std::array<std::uint64_t, 3> own{};
  const std::uint64_t count =
      std::clamp<std::uint64_t>(kSampledValues / matrix.columns(), 1, matrix.rows());
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto codes = matrix.count_codes(matrix.rows() * i / count, 1);
    for (std::size_t code = 0; code < own.size(); ++code) own[code] += codes[code];
  }
  const double values = static_cast<double>(own[0] + own[1] + own[2]);
  const double non_zero = static_cast<double>(own[0] + own[2]);
  const double zeros = static_cast<double>(own[1]) / values;
  if (zeros < kLeastShare || zeros > 1.0 - kLeastShare) {
    return failed(tensor, percent(zeros) + " of the trits are zero, expected " +
                              percent(kLeastShare) + " to " + percent(1.0 - kLeastShare) +
                              ": not the trits of a trained layer");
  }
  const double lopsided =
      std::abs(static_cast<double>(own[2]) - static_cast<double>(own[0])) / non_zero;
  if (lopsided > kMostLopsided) {
    return failed(tensor, "+1 and -1 differ by " + percent(lopsided) +
                              " of their number, expected " + "at most " + percent(kMostLopsided) +
                              ": not a trained layer's trits");
  }
  for (std::size_t code = 0; code < own.size(); ++code) trits[code] += own[code];
  return {};
}

// Fixed values of both signs whose largest magnitude is not the first.
std::vector<float> probe_input(std::uint64_t columns) {
  std::vector<float> x(columns);
  std::uint32_t state = 0x2545f491u;
  for (float& value : x) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<std::int32_t>(state) >> 8) * 0x1p-22f;
  }
  return x;
}

// The definition on decoded trits: nothing is shared with the tier but the formula.
float defined_row(const std::vector<std::int8_t>& trits, const std::vector<std::int8_t>& q,
                  float scale, float d) {
  std::int32_t acc = 0;
  for (std::size_t c = 0; c < trits.size(); ++c) acc += q[c] * trits[c];
  return static_cast<float>(acc) * (scale * d);
}

Result<void> compare_rows(const TernaryTensor& entry, const I2sMatrix& matrix,
                          backend::Backend& backend, std::uint64_t& compared) {
  const std::vector<float> x = probe_input(matrix.columns());
  std::vector<std::int8_t> q(matrix.columns());
  float d = 0.0f;
  std::int32_t sum = 0;
  kernels::scalar_table().quantize(x.data(), x.size(), x.size(), q.data(), &d, &sum);
  std::vector<std::int8_t> trits(matrix.columns());
  for (std::uint64_t i = 0; i < std::min(kSampledRows, matrix.rows()); ++i) {
    const std::uint64_t row = i * (matrix.rows() - 1) / (kSampledRows - 1);
    matrix.decode_rows(row, 1, trits.data());
    const float expected = defined_row(trits, q, matrix.scale(), d);
    float found = 0.0f;
    TERN_TRY(backend.ternary_rows(entry.weight, row, x, {&found, 1}));
    if (std::memcmp(&expected, &found, sizeof(float)) != 0) {
      return failed(*entry.tensor,
                    "row " + std::to_string(row) + " gives " + std::to_string(found) + " on tier " +
                        std::string(backend.tier()) + ", " + std::to_string(expected) +
                        " by the definition: do not use this tier on this machine");
    }
    ++compared;
  }
  return {};
}

Result<void> prove_one(const TernaryTensor& entry, backend::Backend& backend, ProofReport& report) {
  const format::Tensor& tensor = *entry.tensor;
  TERN_ASSIGN(const I2sMatrix matrix,
              I2sMatrix::bind(tensor.data, tensor.rows(), tensor.columns()));
  TERN_TRY(check_codes(tensor, matrix));
  TERN_TRY(check_histogram(tensor, matrix, report.trits));
  TERN_TRY(compare_rows(entry, matrix, backend, report.rows_compared));
  report.scale_mean += fixed_log(std::max(matrix.scale(), 1e-30f));
  ++report.tensors;
  return {};
}

}  // namespace

Result<ProofReport> prove(std::span<const TernaryTensor> tensors, backend::Backend& backend) {
  const ScopedFpEnv fp_env;
  const auto start = std::chrono::steady_clock::now();
  std::vector<ProofReport> parts(backend.threads());
  std::vector<Result<void>> outcomes(tensors.size());
  ThreadPool pool(backend.threads());
  pool.run([&](ThreadPool::Worker& worker) {
    for (std::size_t i = worker.index(); i < tensors.size(); i += worker.count()) {
      outcomes[i] = prove_one(tensors[i], backend, parts[worker.index()]);
    }
  });
  ProofReport report;
  for (auto& outcome : outcomes) TERN_TRY(std::move(outcome));
  for (const ProofReport& part : parts) {
    report.tensors += part.tensors;
    report.rows_compared += part.rows_compared;
    report.scale_mean += part.scale_mean;
    for (std::size_t i = 0; i < report.trits.size(); ++i) report.trits[i] += part.trits[i];
  }
  if (report.tensors > 0) {
    report.scale_mean = fixed_exp(report.scale_mean / static_cast<double>(report.tensors));
  }
  if (report.scale_mean > kLargestMeanScale) {
    return failed(*tensors.front().tensor,
                  "the scales average " + std::to_string(report.scale_mean) +
                      ", expected at most " + std::to_string(kLargestMeanScale) +
                      ": they look like the inverse that the layer divides by; convert the model "
                      "again with multiplicative scales");
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.proved = true;
  return report;
}

}  // namespace tern::model
