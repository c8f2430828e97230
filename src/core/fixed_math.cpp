#include "core/fixed_math.h"

#include "core/fixed_math_body.h"

namespace tern {

#if defined(__x86_64__)

namespace {

[[gnu::target("fma")]] double exp_by_fma(double x) { return fixed_math::exp(x); }
[[gnu::target("fma")]] double log_by_fma(double x) { return fixed_math::log(x); }
[[gnu::target("fma")]] SinCos sincos_by_fma(double x) { return fixed_math::sincos(x); }

bool has_fma() { return __builtin_cpu_supports("fma") != 0; }

}  // namespace

double fixed_exp(double x) { return has_fma() ? exp_by_fma(x) : fixed_math::exp(x); }
double fixed_log(double x) { return has_fma() ? log_by_fma(x) : fixed_math::log(x); }
SinCos fixed_sincos(double x) { return has_fma() ? sincos_by_fma(x) : fixed_math::sincos(x); }

#else  // fused multiply-adds are part of the processor's base

double fixed_exp(double x) { return fixed_math::exp(x); }
double fixed_log(double x) { return fixed_math::log(x); }
SinCos fixed_sincos(double x) { return fixed_math::sincos(x); }

#endif

double fixed_pow(double base, double exponent) { return fixed_exp(exponent * fixed_log(base)); }

}  // namespace tern
