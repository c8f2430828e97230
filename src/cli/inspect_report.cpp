#include "cli/inspect_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <iterator>
#include <map>

#include "arch/footprint.h"
#include "arch/gguf_dialect.h"
#include "cli/options.h"
#include "cli/printable.h"

namespace tern::cli {
namespace {

namespace json = boost::json;
using format::GgufArray;
using format::GgufFile;
using format::GgufValue;
using format::Tensor;

constexpr std::size_t kShownElements = 6;  // of an array
constexpr std::size_t kShownBytes = 160;   // of a string

template <typename... Args>
void append(std::string& out, fmt::format_string<Args...> text, Args&&... args) {
  fmt::format_to(std::back_inserter(out), text, std::forward<Args>(args)...);
}

std::string scalar_text(std::string_view value) {
  if (value.size() <= kShownBytes) return quoted(value);
  return fmt::format("{}... ({} bytes)", quoted(value.substr(0, kShownBytes)), value.size());
}
std::string scalar_text(bool value) { return value ? "true" : "false"; }
template <typename T>
std::string scalar_text(T value) {
  return fmt::format("{}", value);
}

// Strings of files may be anything; JSON text is UTF-8. Numbers that JSON lacks become null.
json::value scalar_json(std::string_view value) { return json::string(printable(value)); }
json::value scalar_json(double value) {
  return std::isfinite(value) ? json::value(value) : json::value(nullptr);
}
template <typename T>
json::value scalar_json(T value) {
  return value;
}

std::string array_text(const GgufArray& array) {
  return std::visit(
      [](const auto& values) {
        std::string out = "[";
        for (std::size_t i = 0; i < std::min(values.size(), kShownElements); ++i) {
          using Element = typename std::decay_t<decltype(values)>::value_type;
          out += (i == 0 ? "" : ", ") + scalar_text(Element(values[i]));
        }
        if (values.size() > kShownElements) append(out, ", ... {} in all", values.size());
        return out + "]";
      },
      array);
}

json::value array_json(const GgufArray& array) {
  return std::visit(
      [](const auto& values) {
        json::array shown;
        for (std::size_t i = 0; i < std::min(values.size(), kShownElements); ++i) {
          using Element = typename std::decay_t<decltype(values)>::value_type;
          shown.push_back(scalar_json(Element(values[i])));
        }
        return json::value{{"length", values.size()}, {"first", std::move(shown)}};
      },
      array);
}

std::string value_text(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value);
  if (array != nullptr) return array_text(*array);
  return std::visit(
      [](const auto& v) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, GgufArray>)
          return "";
        else
          return scalar_text(v);
      },
      value);
}

json::value value_json(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value);
  if (array != nullptr) return array_json(*array);
  return std::visit(
      [](const auto& v) -> json::value {
        if constexpr (std::is_same_v<std::decay_t<decltype(v)>, GgufArray>)
          return nullptr;
        else
          return scalar_json(v);
      },
      value);
}

std::span<const std::uint64_t> shape(const Tensor& tensor) {
  return std::span(tensor.shape).first(tensor.rank);
}

std::uint64_t offset(const GgufFile& file, const Tensor& tensor) {
  return static_cast<std::uint64_t>(tensor.data.data() - file.bytes().data());
}

struct TypeTotal {
  std::uint64_t tensors = 0;
  std::uint64_t elements = 0;
  std::uint64_t bytes = 0;
};

std::map<std::string_view, TypeTotal> totals(const GgufFile& file) {
  std::map<std::string_view, TypeTotal> found;
  for (const Tensor& tensor : file.tensors()) {
    TypeTotal& total = found[format::name(tensor.type)];
    ++total.tensors;
    total.elements += tensor.elements();
    total.bytes += tensor.data.size();
  }
  return found;
}

std::string_view activation_name(arch::Activation activation) {
  switch (activation) {
    case arch::Activation::kSquaredRelu: return "squared ReLU";
    case arch::Activation::kSilu: return "SiLU";
    case arch::Activation::kGelu: return "GELU";
  }
  return "unknown";
}

std::string_view direction(const diagnose::Survey& survey) {
  return model::scales_are_inverse(survey.median_scale) ? "divides" : "multiplies";
}

void append_survey(std::string& out, const diagnose::Survey& survey) {
  if (survey.matrices.empty()) return;
  const double all = static_cast<double>(survey.trits[0] + survey.trits[1] + survey.trits[2]);
  const auto percent = [&](std::size_t i) {
    return 100.0 * static_cast<double>(survey.trits[i]) / all;
  };
  append(out, "trits         {:.1f}% -1, {:.1f}% 0, {:.1f}% +1, in {} matrices\n", percent(0),
         percent(1), percent(2), survey.matrices.size());
  append(out, "scales        {:g} to {:g}, median {:g}: {}\n", survey.least_scale,
         survey.largest_scale, survey.median_scale,
         direction(survey) == "multiplies" ? "of weights, by which a layer multiplies"
                                           : "the inverse, by which a layer would divide");
}

void append_footprint(std::string& out, const Footprint& f) {
  append(out, "memory        {} MB of weights, {} MB of f16 keys and values at the whole context\n",
         f.weight_bytes / 1000000, f.kv_bytes / 1000000);
  append(out, "a token       reads {:.1f} MB, and {} bytes of each token before it\n",
         static_cast<double>(f.bytes_per_token) * 1e-6, f.kv_bytes_per_token);
  append(out,
         "limit         {:.1f} tok/s here, {:.1f} at the whole context: {:.1f} GB/s, {} threads\n",
         f.tokens_per_second, f.tokens_per_second_at_context, f.bytes_per_second * 1e-9, f.threads);
}

json::value survey_json(const diagnose::Survey& survey) {
  if (survey.matrices.empty()) return nullptr;
  return {
      {"matrices", survey.matrices.size()},
      {"trits", {{"minus", survey.trits[0]}, {"zero", survey.trits[1]}, {"plus", survey.trits[2]}}},
      {"scale",
       {{"least", survey.least_scale},
        {"median", survey.median_scale},
        {"largest", survey.largest_scale},
        {"direction", direction(survey)}}}};
}

json::value footprint_json(const Footprint& f) {
  return {{"weight_bytes", f.weight_bytes},
          {"bytes_per_token", f.bytes_per_token},
          {"kv_bytes_per_token", f.kv_bytes_per_token},
          {"kv_bytes", f.kv_bytes},
          {"threads", f.threads},
          {"bytes_per_second", f.bytes_per_second},
          {"tokens_per_second", f.tokens_per_second},
          {"tokens_per_second_at_context", f.tokens_per_second_at_context}};
}

// Of a ternary matrix that was counted.
const diagnose::MatrixSurvey* find_survey(const InspectFacts& facts, const Tensor& tensor) {
  if (!facts.survey) return nullptr;
  const auto& all = facts.survey->matrices;
  const auto at = std::find_if(all.begin(), all.end(),
                               [&](const auto& matrix) { return matrix.tensor == &tensor; });
  return at == all.end() ? nullptr : &*at;
}

void append_tensors(std::string& out, const GgufFile& file, const InspectFacts& facts) {
  append(out, "\n{:<36} {:<6} {:<18} {:>12} {:>12}  {}\n", "tensor", "type", "shape", "bytes",
         "offset", facts.survey ? "scale, trits -1 0 +1" : "");
  for (const Tensor& tensor : file.tensors()) {
    append(out, "{:<36} {:<6} {:<18} {:>12} {:>12}", printable(tensor.name),
           format::name(tensor.type), fmt::format("{}", fmt::join(shape(tensor), " x ")),
           tensor.data.size(), offset(file, tensor));
    if (const auto* matrix = find_survey(facts, tensor)) {
      append(out, "  {:g}, {}", matrix->scale, fmt::join(matrix->trits, " "));
    }
    out += '\n';
  }
}

json::array tensors_json(const GgufFile& file, const InspectFacts& facts) {
  json::array list;
  for (const Tensor& tensor : file.tensors()) {
    json::object entry{{"name", printable(tensor.name)},
                       {"type", format::name(tensor.type)},
                       {"shape", json::array(shape(tensor).begin(), shape(tensor).end())},
                       {"bytes", tensor.data.size()},
                       {"offset", offset(file, tensor)}};
    if (const auto* matrix = find_survey(facts, tensor)) {
      entry["scale"] = matrix->scale;
      entry["trits"] = json::array(matrix->trits.begin(), matrix->trits.end());
    }
    list.push_back(std::move(entry));
  }
  return list;
}

void append_config(std::string& out, const GgufFile& file) {
  const auto read = arch::read_decoder_config(file);
  if (!read) {
    append(out, "model         does not run here: {}\n", printable(read.error().to_string()));
    return;
  }
  const arch::DecoderConfig& c = *read;
  append(out, "model         {}, {}\n", printable(c.name), printable(c.architecture));
  append(out, "shape         {} layers, hidden {}, FFN {}, {} heads of {} ({} for KV), {} tokens\n",
         c.layers, c.hidden, c.ffn, c.heads, c.head_dim, c.kv_heads, c.vocab);
  append(out, "context       {} tokens, {} bytes of f16 KV each\n", c.context,
         arch::kv_bytes_per_token(c, format::KvType::kF16));
  append(out, "block         {}, norm epsilon {:g}, RoPE base {:g}, {} embedding\n",
         activation_name(c.activation), c.norm_epsilon, c.rope_theta,
         c.tied_embedding ? "tied" : "untied");
  if (c.pooling) append(out, "pooling       {}\n", name(*c.pooling));
  append(out, "arithmetic    {:.3f} million ternary multiply-adds a token\n",
         static_cast<double>(arch::ternary_macs_per_token(c)) * 1e-6);
}

json::value config_json(const GgufFile& file) {
  const auto read = arch::read_decoder_config(file);
  if (!read) return {{"runs", false}, {"reason", printable(read.error().to_string())}};
  const arch::DecoderConfig& c = *read;
  return {{"runs", true},
          {"architecture", c.architecture},
          {"name", c.name},
          {"layers", c.layers},
          {"hidden", c.hidden},
          {"ffn", c.ffn},
          {"heads", c.heads},
          {"kv_heads", c.kv_heads},
          {"head_dim", c.head_dim},
          {"vocab", c.vocab},
          {"context", c.context},
          {"norm_epsilon", c.norm_epsilon},
          {"rope_theta", c.rope_theta},
          {"activation", activation_name(c.activation)},
          {"tied_embedding", c.tied_embedding},
          {"pooling", c.pooling ? json::value(name(*c.pooling)) : json::value(nullptr)},
          {"kv_bytes_per_token", arch::kv_bytes_per_token(c, format::KvType::kF16)},
          {"ternary_macs_per_token", arch::ternary_macs_per_token(c)}};
}

}  // namespace

std::string metadata_text(const GgufValue* value) {
  return value == nullptr ? "none" : value_text(*value);
}

std::string inspect_text(const GgufFile& file, const InspectFacts& facts, bool tensors) {
  std::string out;
  append(out, "file          {}, {} bytes\n", printable(file.source()), file.bytes().size());
  append(out, "format        GGUF version {}, alignment {}\n", file.version(), file.alignment());
  append_config(out, file);
  if (facts.survey) append_survey(out, *facts.survey);
  if (!facts.certificate.empty()) append(out, "certificate   {}\n", facts.certificate);
  if (facts.footprint) append_footprint(out, *facts.footprint);
  for (const std::string& warning : facts.warnings) append(out, "warning       {}\n", warning);
  append(out, "tensors       {}\n", file.tensors().size());
  for (const auto& [type, total] : totals(file)) {
    append(out, "  {:<11} {} tensors, {} values, {} bytes\n", type, total.tensors, total.elements,
           total.bytes);
  }
  append(out, "metadata      {} keys\n", file.keys().size());
  for (const std::string_view key : file.keys()) {
    append(out, "  {} = {}\n", printable(key), value_text(*file.find(key)));
  }
  if (tensors) append_tensors(out, file, facts);
  return out;
}

std::string inspect_json(const GgufFile& file, const InspectFacts& facts, bool tensors) {
  json::object metadata;
  for (const std::string_view key : file.keys()) {
    metadata[printable(key)] = value_json(*file.find(key));
  }
  json::object types;
  for (const auto& [type, total] : totals(file)) {
    types[type] = {{"tensors", total.tensors}, {"values", total.elements}, {"bytes", total.bytes}};
  }
  json::object object;
  object["file"] = printable(file.source());
  object["bytes"] = file.bytes().size();
  object["version"] = file.version();
  object["alignment"] = file.alignment();
  object["config"] = config_json(file);
  object["metadata"] = std::move(metadata);
  object["types"] = std::move(types);
  object["tensor_count"] = file.tensors().size();
  object["ternary"] = facts.survey ? survey_json(*facts.survey) : nullptr;
  object["footprint"] = facts.footprint ? footprint_json(*facts.footprint) : nullptr;
  object["certificate"] =
      facts.certificate.empty() ? json::value(nullptr) : json::value(facts.certificate);
  object["warnings"] = json::array(facts.warnings.begin(), facts.warnings.end());
  if (tensors) object["tensors"] = tensors_json(file, facts);
  return json::serialize(object) + "\n";
}

}  // namespace tern::cli
