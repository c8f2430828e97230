#include "format/kernel_config.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

#include "format/gguf/gguf_text.h"

namespace tern::format {
namespace {

constexpr std::uint32_t kMost = 1u << 24;  // of each number
constexpr std::array<std::string_view, 5> kNumbers{"m", "k", "bm", "bk", "bmm"};

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// One section while it is read.
struct Section {
  std::string name;
  std::size_t line = 0;
  std::array<std::optional<std::uint32_t>, kNumbers.size()> numbers;
};

Error malformed(std::size_t line, const std::string& message) {
  return Error{ErrorCode::kMalformed, message, fmt::format("line {}", line)};
}

Result<void> add_section(const Section& section, KernelConfig& config) {
  for (std::size_t i = 0; i < kNumbers.size(); ++i) {
    if (section.numbers[i]) continue;
    return malformed(section.line,
                     fmt::format("the section {} has no {}", in_quotes(section.name), kNumbers[i]));
  }
  const auto& [m, k, bm, bk, bmm] = section.numbers;
  const TlTiling tiling{*bm, *bk, *bmm};
  const TlTiling before = config.find(*m, *k);
  if (before.known() && before != tiling) {
    return malformed(section.line,
                     fmt::format("the shape {} x {} has two tilings; expected one", *m, *k));
  }
  config.add(*m, *k, tiling);
  return {};
}

Result<void> read_number(std::size_t line, std::string_view text, Section& section) {
  const std::size_t at = text.find_first_of("=:");
  if (at == std::string_view::npos) {
    return malformed(line, "expected NAME = NUMBER, found " + in_quotes(text));
  }
  const std::string key = lower(trimmed(text.substr(0, at)));
  for (std::size_t i = 0; i < kNumbers.size(); ++i) {
    if (kNumbers[i] != key) continue;
    const std::string_view digits = trimmed(text.substr(at + 1));
    std::uint32_t value = 0;
    const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (fault != std::errc() || end != digits.data() + digits.size() || value == 0 ||
        value > kMost) {
      return malformed(line, fmt::format("expected {} to be a number from 1 to {}, found {}", key,
                                         kMost, in_quotes(digits)));
    }
    if (section.numbers[i]) return malformed(line, "the section has a second " + key);
    section.numbers[i] = value;
  }
  return {};
}

}  // namespace

Result<KernelConfig> KernelConfig::parse(std::string_view text) {
  KernelConfig config;
  std::optional<Section> section;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[' && line.back() == ']') {
      if (section) TERN_TRY(add_section(*section, config));
      section = Section{std::string(line.substr(1, line.size() - 2)), number, {}};
      continue;
    }
    if (!section) return malformed(number, "expected a [section], found " + in_quotes(line));
    TERN_TRY(read_number(number, line, *section));
  }
  if (section) TERN_TRY(add_section(*section, config));
  return config;
}

TlTiling KernelConfig::find(std::uint64_t rows, std::uint64_t columns) const {
  const auto found = tilings_.find({rows, columns});
  return found == tilings_.end() ? TlTiling{} : found->second;
}

void KernelConfig::add(std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling) {
  tilings_[{rows, columns}] = tiling;
}

std::string KernelConfig::text() const {
  std::string out;
  std::size_t number = 0;
  for (const auto& [shape, tiling] : tilings_) {
    out += fmt::format("[Kernels_{}]\nm = {}\nk = {}\nbm = {}\nbk = {}\nbmm = {}\n\n", number++,
                       shape.first, shape.second, tiling.bm, tiling.bk, tiling.bmm);
  }
  return out;
}

}  // namespace tern::format
