// How long prompts and answers are: one length, or a distribution of lengths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::diagnose {

struct Lengths {
  enum class Kind { kFixed, kUniform, kLogNormal };
  Kind kind = Kind::kFixed;
  std::uint32_t least = 1;  // of kFixed: the length
  std::uint32_t most = 1;
  double median = 0.0;  // of kLogNormal, before least and most cut it
  double sigma = 0.0;   // of the logarithm

  std::string to_string() const;  // as parse_lengths() reads it
};

// "512", "uniform:100-900", "lognormal:MEDIAN,SIGMA,MOST" as in lognormal:400,0.8,4000. Errors:
// kUsage.
Result<Lengths> parse_lengths(std::string_view text);

// The length for a number drawn uniformly from (0, 1), of which a log-normal one needs two.
std::uint32_t draw(const Lengths& lengths, double first, double second);

}  // namespace tern::diagnose
