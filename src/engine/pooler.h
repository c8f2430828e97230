// One vector of the hidden states of a text's tokens, which come in any parts.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "arch/decoder_config.h"

namespace tern::engine {

// Brings a vector to length 1; zeros stay.
void normalize_length(std::span<float> vector);

class Pooler {
 public:
  Pooler(arch::Pooling pooling, std::size_t width) : pooling_(pooling), sums_(width) {}

  // The hidden states of the next tokens, [tokens][width].
  void add(std::span<const float> hidden);

  // Of all tokens that were added, at least one.
  std::vector<float> result(bool normalize) const;

 private:
  arch::Pooling pooling_;
  std::vector<double> sums_;  // or the one state that counts
  std::size_t tokens_ = 0;
};

}  // namespace tern::engine
