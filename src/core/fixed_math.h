// Elementary functions in double precision as fixed sequences of IEEE operations, so that they give
// the same bits with every compiler, libm and processor. They serve tables and sampling, where a
// libm would decide results; accuracy is a few units in the last place of a double.
#pragma once

#include <span>

namespace tern {

// exp(x): 0 below -745, infinity above 709.78.
double fixed_exp(double x);
// Natural logarithm of a positive finite x.
double fixed_log(double x);
// The sum of exp(x - largest) of floats that are no larger: eight sums, element i in sum i % 8 and
// those behind the last whole eight in the first one; then the eight are added in their order.
double fixed_exp_sum(std::span<const float> x, float largest);
// base^exponent for base > 0.
double fixed_pow(double base, double exponent);

struct SinCos {
  double sin;
  double cos;
};
// For 0 <= x < 2^31.
SinCos fixed_sincos(double x);

}  // namespace tern
