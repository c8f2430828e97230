// Medians and quartiles of repeated measurements.
#pragma once

#include <cstddef>
#include <span>

namespace tern::diagnose {

struct Quartiles {
  double lower = 0.0;  // a quarter of the values lies below
  double median = 0.0;
  double upper = 0.0;
  std::size_t count = 0;
};

// Of at least one finite value, in any order; between two ranks, linear. All zero for none.
Quartiles quartiles(std::span<const double> values);

}  // namespace tern::diagnose
