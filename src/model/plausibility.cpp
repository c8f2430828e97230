#include "model/plausibility.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace tern::model {
namespace {

// A multiplicative scale is about the mean magnitude of the trained weights; its inverse, by which
// some checkpoints divide, is tens. The bound leaves room for models whose norms allow large
// weights.
constexpr float kLargestScale = 8.0f;
constexpr float kLargestScaleRatio = 64.0f;  // of a tensor's scale to the median, either way
constexpr double kLeastShare = 0.01;         // of zeros, and of non-zeros
constexpr double kMostLopsided = 0.5;        // |plus - minus| / (plus + minus)

Error failed(const format::Tensor& tensor, std::string message) {
  return Error{ErrorCode::kProofFailed, std::move(message), tensor.name};
}

std::string percent(double share) { return std::to_string(std::lround(share * 100.0)) + "%"; }

}  // namespace

Error invalid_code(const format::Tensor& tensor, std::uint64_t element) {
  using enum format::TensorType;
  const bool bytes = tensor.type == kTQ1_0 || tensor.type == kIQ1_BN;
  const bool indices = tensor.type == kTL1 || tensor.type == kTL2;
  const std::string code = bytes     ? "a byte without meaning"
                           : indices ? "an index without meaning"
                                     : "code 3";
  const std::string layout =
      tensor.type == kI2_S ? "I2_S in blocks of 128" : std::string(name(tensor.type));
  return failed(tensor, code + " at element " + std::to_string(element) + ": the bytes are not " +
                            layout + " (another layout under the same type id, or damage); " +
                            "convert the model again");
}

Result<void> check_trits(const format::Tensor& tensor, const TritCounts& trits) {
  const double values = static_cast<double>(trits[0] + trits[1] + trits[2]);
  const double non_zero = static_cast<double>(trits[0] + trits[2]);
  const double zeros = static_cast<double>(trits[1]) / values;
  if (zeros < kLeastShare || zeros > 1.0 - kLeastShare) {
    return failed(tensor, percent(zeros) + " of the trits are zero, expected " +
                              percent(kLeastShare) + " to " + percent(1.0 - kLeastShare) +
                              ": not the trits of a trained layer");
  }
  const double lopsided =
      std::abs(static_cast<double>(trits[2]) - static_cast<double>(trits[0])) / non_zero;
  if (lopsided > kMostLopsided) {
    return failed(tensor, "+1 and -1 differ by " + percent(lopsided) +
                              " of their number, expected " + "at most " + percent(kMostLopsided) +
                              ": not a trained layer's trits");
  }
  return {};
}

bool scales_are_inverse(float median) { return median > kLargestScale; }

Result<float> check_scales(std::span<const TensorScale> scales) {
  std::vector<float> sorted;
  for (const TensorScale& entry : scales) sorted.push_back(entry.scale);
  std::sort(sorted.begin(), sorted.end());
  const float median = sorted[sorted.size() / 2];
  for (const auto& [tensor, scale] : scales) {
    if (scale > median / kLargestScaleRatio && scale < median * kLargestScaleRatio) continue;
    return failed(*tensor, "the scale is " + std::to_string(scale) +
                               " where the model's median is " + std::to_string(median) +
                               ", expected within a factor of " +
                               std::to_string(std::lround(kLargestScaleRatio)) +
                               ": an inverse among multiplicative scales, or damage");
  }
  if (scales_are_inverse(median)) {
    return failed(*scales.front().tensor,
                  "the scales have a median of " + std::to_string(median) + ", expected at most " +
                      std::to_string(kLargestScale) +
                      ": they look like the inverse that the layer divides by; convert the model "
                      "again with multiplicative scales");
  }
  return median;
}

}  // namespace tern::model
