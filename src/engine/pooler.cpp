#include "engine/pooler.h"

#include <algorithm>
#include <cmath>

namespace tern::engine {

using arch::Pooling;

namespace {

constexpr double kLeastLength = 1e-12;  // a vector of zeros stays one

}  // namespace

void normalize_length(std::span<float> vector) {
  double squares = 0.0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::max(std::sqrt(squares), kLeastLength);
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / length);
}

void Pooler::add(std::span<const float> hidden) {
  const std::size_t width = sums_.size();
  const std::size_t count = hidden.size() / width;
  for (std::size_t token = 0; token < count; ++token) {
    const auto state = hidden.subspan(token * width, width);
    const bool is_first = tokens_ + token == 0;
    if (pooling_ == Pooling::kMean) {
      for (std::size_t i = 0; i < width; ++i) sums_[i] += static_cast<double>(state[i]);
    } else if (pooling_ == Pooling::kLast || is_first) {
      std::copy(state.begin(), state.end(), sums_.begin());
    }
  }
  tokens_ += count;
}

std::vector<float> Pooler::result(bool normalize) const {
  const double share = pooling_ == Pooling::kMean ? static_cast<double>(tokens_) : 1.0;
  std::vector<float> vector(sums_.size());
  std::transform(sums_.begin(), sums_.end(), vector.begin(),
                 [&](double sum) { return static_cast<float>(sum / share); });
  if (normalize) normalize_length(vector);
  return vector;
}

}  // namespace tern::engine
