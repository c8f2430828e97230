#include "diagnose/load/plan.h"

#include "core/fixed_math.h"
#include "core/philox.h"

namespace tern::diagnose {
namespace {

// Of 52 random bits, inside of (0, 1).
double unit(std::uint64_t bits) { return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52; }

std::uint32_t below(std::uint32_t limit, double x) {
  return static_cast<std::uint32_t>(x * static_cast<double>(limit));
}

}  // namespace

std::uint64_t LoadPlan::bits(Stream stream, std::uint64_t index, std::uint32_t k) const {
  const auto words = philox4x32(
      {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32),
       static_cast<std::uint32_t>(stream), k},
      {static_cast<std::uint32_t>(options_.seed), static_cast<std::uint32_t>(options_.seed >> 32)});
  return std::uint64_t{words[0]} << 32 | words[1];
}

double LoadPlan::uniform(Stream stream, std::uint64_t index, std::uint32_t k) const {
  return unit(bits(stream, index, k));
}

double LoadPlan::gap(std::uint64_t index, double rate) const {
  return -fixed_log(uniform(Stream::kGap, index, 0)) / rate;
}

std::vector<std::uint32_t> LoadPlan::prompt(std::uint64_t index, std::uint32_t words) const {
  std::vector<std::uint32_t> found;
  const std::uint32_t prefix = below(options_.prefixes, uniform(Stream::kPrefix, index, 0));
  for (std::uint32_t k = 0; k < options_.shared; ++k) {
    found.push_back(below(words, uniform(Stream::kShared, prefix, k)));
  }
  const std::uint32_t own =
      draw(options_.prompt, uniform(Stream::kPrompt, index, 0), uniform(Stream::kPrompt, index, 1));
  for (std::uint32_t k = 0; k < own; ++k) {
    found.push_back(below(words, uniform(Stream::kWords, index, k)));
  }
  return found;
}

std::uint32_t LoadPlan::output_length(std::uint64_t index) const {
  return draw(options_.output, uniform(Stream::kOutput, index, 0),
              uniform(Stream::kOutput, index, 1));
}

std::uint64_t LoadPlan::seed(std::uint64_t index) const {
  return bits(Stream::kSeed, index, 0) >> 11;  // any reader of JSON can hold it
}

}  // namespace tern::diagnose
