#include "convert/known_pre_tokenizers.h"

#include <boost/json/array.hpp>
#include <utility>

namespace tern::convert {
namespace {

namespace json = boost::json;

// Regular expressions of Llama 3 and Qwen 2; they differ in how many digits go together.
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

json::object byte_level(bool regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", regex}};
}

json::object split(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", json::object{{"Regex", json::string_view(pattern.data(), pattern.size())}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json::object sequence(json::array parts) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(parts)}};
}

}  // namespace

std::vector<KnownPreTokenizer> known_pre_tokenizers() {
  return {
      {"gpt-2", false, false, byte_level(true)},
      {"olmo", true, false, byte_level(true)},
      {"llama-bpe", false, true, sequence({split(kLlama3), byte_level(false)})},
      {"qwen2", true, false, sequence({split(kQwen2), byte_level(false)})},
      {"falcon", false, false,
       sequence({json::object{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
                 byte_level(true), json::object{{"type", "Digits"}, {"individual_digits", false}},
                 split("[0-9][0-9][0-9]")})},
  };
}

}  // namespace tern::convert
