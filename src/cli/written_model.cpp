#include "cli/written_model.h"

#include <fmt/format.h>

#include <array>

namespace tern::cli {
namespace {

using enum format::TensorType;
constexpr std::array kTernary{kI2_S, kTL1, kTL2, kTQ2_0, kTQ1_0, kIQ2_BN, kIQ1_BN};
constexpr std::array kHeads{kF16, kQ8_0, kQ6_K};

template <typename Types>
std::vector<std::string> names_of(const Types& types) {
  std::vector<std::string> names;
  for (const format::TensorType each : types) names.emplace_back(name(each));
  return names;
}

CLI::Option* add_option(CLI::App& parser, const std::string& flag, std::string& type,
                        const std::vector<std::string>& names, const std::string& about) {
  return parser.add_option(flag, type, about)
      ->type_name("TYPE")
      ->check(CLI::IsMember(names).description(""));
}

}  // namespace

CLI::Option* add_ternary_type_option(CLI::App& parser, std::string& type) {
  return add_option(parser, "--type", type, names_of(kTernary),
                    "Of the ternary matrices: i2_s, tl1, tl2, tq2_0, tq1_0, iq2_bn or iq1_bn");
}

CLI::Option* add_any_type_option(CLI::App& parser, std::string& type) {
  std::vector<std::string> names = names_of(kTernary);
  names.emplace_back(kPacked);
  return add_option(parser, "--type", type, names,
                    "Of the ternary matrices: i2_s, tl1, tl2, tq2_0, tq1_0, iq2_bn, iq1_bn, or\n"
                    "hf_packed for a checkpoint's folder");
}

CLI::Option* add_head_type_option(CLI::App& parser, std::string& type) {
  return add_option(parser, "--head", type, names_of(kHeads),
                    "Of embedding and output: f16, q8_0 or q6_k");
}

format::TensorType type_named(const std::string& wanted) {
  for (const format::TensorType type : kTernary) {
    if (name(type) == wanted) return type;
  }
  for (const format::TensorType type : kHeads) {
    if (name(type) == wanted) return type;
  }
  return kF16;  // the parser has checked the name
}

std::string resumed_and_rounded(std::uint64_t tensors, std::uint64_t values) {
  std::string text;
  if (tensors != 0) {
    text += fmt::format(
        "tern: {} tensors were finished before, and their bytes still as they were\n", tensors);
  }
  if (values != 0) {
    text += fmt::format("tern: {} values of embedding and head were rounded to f16\n", values);
  }
  return text;
}

}  // namespace tern::cli
