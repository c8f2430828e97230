#include "diagnose/load/lengths.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "core/fixed_math.h"

namespace tern::diagnose {
namespace {

constexpr std::uint32_t kMostLength = 1u << 24;

template <typename T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint32_t> length(std::string_view text) {
  const auto value = number<std::uint32_t>(text);
  return value && *value >= 1 && *value <= kMostLength ? value : std::nullopt;
}

// The text before the first `mark`, which goes with it.
std::string_view cut(std::string_view& rest, char mark) {
  const std::size_t end = std::min(rest.find(mark), rest.size());
  const std::string_view front = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return front;
}

std::optional<Lengths> parse(std::string_view text) {
  Lengths found;
  if (text.starts_with("uniform:")) {
    text.remove_prefix(8);
    const auto least = length(cut(text, '-'));
    const auto most = length(text);
    if (!least || !most || *least > *most) return std::nullopt;
    return Lengths{Lengths::Kind::kUniform, *least, *most};
  }
  if (text.starts_with("lognormal:")) {
    text.remove_prefix(10);
    const auto median = number<double>(cut(text, ','));
    const auto sigma = number<double>(cut(text, ','));
    const auto most = length(text);
    if (!median || !sigma || !most || !(*median >= 1.0) || !(*sigma >= 0.0) || !(*sigma <= 10.0) ||
        !(*median <= *most)) {
      return std::nullopt;
    }
    return Lengths{Lengths::Kind::kLogNormal, 1, *most, *median, *sigma};
  }
  const auto fixed = length(text);
  if (!fixed) return std::nullopt;
  found.least = found.most = *fixed;
  return found;
}

}  // namespace

std::string Lengths::to_string() const {
  switch (kind) {
    case Kind::kFixed: break;
    case Kind::kUniform: return fmt::format("uniform:{}-{}", least, most);
    case Kind::kLogNormal: return fmt::format("lognormal:{},{},{}", median, sigma, most);
  }
  return std::to_string(least);
}

Result<Lengths> parse_lengths(std::string_view text) {
  if (const auto found = parse(text)) return *found;
  return Error{ErrorCode::kUsage,
               "expected a length, uniform:LEAST-MOST or lognormal:MEDIAN,SIGMA,MOST, as in 512, "
               "uniform:100-900 or lognormal:400,0.8,4000; found \"" +
                   std::string(text) + "\"",
               ""};
}

std::uint32_t draw(const Lengths& lengths, double first, double second) {
  const double least = lengths.least;
  const double most = lengths.most;
  double value = least;
  if (lengths.kind == Lengths::Kind::kUniform) {
    value = least + std::floor(first * (most - least + 1.0));
  } else if (lengths.kind == Lengths::Kind::kLogNormal) {
    constexpr double kTurn = 6.283185307179586;
    // Box and Muller: a normal variate of two uniform ones.
    const double normal = std::sqrt(-2.0 * fixed_log(first)) * fixed_sincos(kTurn * second).cos;
    value = std::round(lengths.median * fixed_exp(lengths.sigma * normal));
  }
  return static_cast<std::uint32_t>(std::clamp(value, least, most));
}

}  // namespace tern::diagnose
