// What a load asks for and when: request by request a function of the seed and its number alone, so
// that the same seed is the same load, however long it goes on and whatever the server does.
#pragma once

#include <cstdint>
#include <vector>

#include "diagnose/load/lengths.h"

namespace tern::diagnose {

struct PlanOptions {
  std::uint64_t seed = 1;
  Lengths prompt{Lengths::Kind::kFixed, 128, 128};
  Lengths output{Lengths::Kind::kFixed, 64, 64};
  std::uint32_t shared = 0;    // words that a prompt begins with and shares with others
  std::uint32_t prefixes = 1;  // different such beginnings
};

class LoadPlan {
 public:
  explicit LoadPlan(const PlanOptions& options) : options_(options) {}

  // Seconds between request `index` - or the beginning, of the first - and the one before it, where
  // `rate` come in a second on the average, independently of each other (a Poisson process).
  double gap(std::uint64_t index, double rate) const;
  // The words of the prompt, each of 0 to words - 1: first those that it shares.
  std::vector<std::uint32_t> prompt(std::uint64_t index, std::uint32_t words) const;
  std::uint32_t output_length(std::uint64_t index) const;
  // Of the answer's sampling.
  std::uint64_t seed(std::uint64_t index) const;

 private:
  enum class Stream : std::uint32_t { kGap, kPrompt, kOutput, kPrefix, kWords, kShared, kSeed };
  std::uint64_t bits(Stream stream, std::uint64_t index, std::uint32_t k) const;
  double uniform(Stream stream, std::uint64_t index, std::uint32_t k) const;

  PlanOptions options_;
};

}  // namespace tern::diagnose
