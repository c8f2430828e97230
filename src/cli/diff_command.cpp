// tern diff: in what two GGUF files differ.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/inspect_report.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "diagnose/weights/difference.h"

namespace tern::cli {
namespace {

using diagnose::FileDifference;
using diagnose::TensorDifference;
using diagnose::TensorFault;

struct DiffOptions {
  std::string a;
  std::string b;
  bool weights = false;
  bool json = false;
};

std::string_view fault_name(TensorFault fault) {
  switch (fault) {
    case TensorFault::kOnlyInA: return "only_in_a";
    case TensorFault::kOnlyInB: return "only_in_b";
    case TensorFault::kShape: return "shape";
    case TensorFault::kKind: return "kind";
    case TensorFault::kTrits: return "trits";
    case TensorFault::kScale: return "scale";
    case TensorFault::kInverse: return "inverse_scale";
    case TensorFault::kValues: return "values";
    case TensorFault::kUnknown: return "unreadable";
  }
  return "unknown";
}

std::string describe(const TensorDifference& d) {
  switch (d.fault) {
    case TensorFault::kOnlyInA: return "only in A";
    case TensorFault::kOnlyInB: return "only in B";
    case TensorFault::kShape: return "other shapes";
    case TensorFault::kKind: return "ternary in one file and floats in the other";
    case TensorFault::kTrits:
      return fmt::format("row {}, column {}: {:+} in A, {:+} in B; {} trits differ", d.row,
                         d.column, static_cast<int>(d.a), static_cast<int>(d.b), d.count);
    case TensorFault::kScale:
      return fmt::format("the same trits, scale {:g} in A, {:g} in B", d.a, d.b);
    case TensorFault::kInverse:
      return fmt::format("the same trits, scale {:g} in A, {:g} in B: one the inverse of the other",
                         d.a, d.b);
    case TensorFault::kValues:
      return fmt::format("row {}, column {}: {} in A, {} in B; {} values differ", d.row, d.column,
                         d.a, d.b, d.count);
    case TensorFault::kUnknown: return "cannot be read: " + printable(d.why);
  }
  return "";
}

std::string to_text(const format::GgufFile& a, const format::GgufFile& b,
                    const FileDifference& difference) {
  std::string out =
      fmt::format("A             {}\nB             {}\nmetadata      {} keys differ\n",
                  printable(a.source()), printable(b.source()), difference.keys.size());
  for (const std::string_view key : difference.keys) {
    out += fmt::format("  {}: {} in A, {} in B\n", printable(key), metadata_text(a.find(key)),
                       metadata_text(b.find(key)));
  }
  out += fmt::format("tensors       {} differ, {} are in both files\n", difference.tensors.size(),
                     difference.compared);
  for (const TensorDifference& tensor : difference.tensors) {
    out += fmt::format("  {}: {}\n", printable(tensor.name), describe(tensor));
  }
  return out;
}

std::string to_json(const format::GgufFile& a, const format::GgufFile& b,
                    const FileDifference& difference) {
  boost::json::array keys;
  for (const std::string_view key : difference.keys) {
    keys.push_back({{"key", printable(key)},
                    {"a", metadata_text(a.find(key))},
                    {"b", metadata_text(b.find(key))}});
  }
  boost::json::array tensors;
  for (const TensorDifference& d : difference.tensors) {
    boost::json::object entry{{"name", printable(d.name)}, {"fault", fault_name(d.fault)}};
    if (d.count > 0) entry["at"] = {{"row", d.row}, {"column", d.column}};
    if (d.count > 0) entry["count"] = d.count;
    if (d.a != d.b) entry["a"] = d.a;
    if (d.a != d.b) entry["b"] = d.b;
    if (!d.why.empty()) entry["why"] = printable(d.why);
    tensors.push_back(std::move(entry));
  }
  boost::json::object object{{"a", printable(a.source())},  {"b", printable(b.source())},
                             {"same", difference.empty()},  {"compared", difference.compared},
                             {"metadata", std::move(keys)}, {"tensors", std::move(tensors)}};
  return boost::json::serialize(object) + "\n";
}

Result<ExitCode> diff(const DiffOptions& options, Output& output) {
  TERN_ASSIGN(const std::string path_a, model_path(options.a));
  TERN_ASSIGN(const std::string path_b, model_path(options.b));
  TERN_ASSIGN(const format::GgufFile a, format::GgufFile::open(path_a));
  TERN_ASSIGN(const format::GgufFile b, format::GgufFile::open(path_b));
  FileDifference difference = diagnose::compare(a, b);
  if (options.weights) difference.keys.clear();
  TERN_TRY(output.write(options.json ? to_json(a, b, difference) : to_text(a, b, difference)));
  return difference.empty() ? ExitCode::kOk : ExitCode::kDifferent;
}

}  // namespace

Command add_diff_command(CLI::App& tern) {
  const auto options = std::make_shared<DiffOptions>();
  CLI::App* parser = tern.add_subcommand(
      "diff",
      "Show in what two GGUF files differ.\n"
      "Ternary matrices are compared by trits, scales and their direction, whatever their types; "
      "other\ntensors by their values. The exit status is 0 where the files mean the same, else "
      "1.\n");
  parser->footer(
      "Examples:\n"
      "  tern diff model-i2_s.gguf model-tq2_0.gguf --weights\n"
      "  tern diff a.gguf b.gguf --json | jq '.tensors[0]'\n");
  parser->add_option("A", options->a, "A GGUF file")->type_name("")->check(not_empty)->required();
  parser->add_option("B", options->b, "Another one")->type_name("")->check(not_empty)->required();
  parser->add_flag("--weights", options->weights, "Compare tensors alone, not metadata");
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return diff(*options, output); }};
}

}  // namespace tern::cli
