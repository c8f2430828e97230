#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <map>

#include "cli/one_of.h"
#include "cli/streams.h"
#include "core/cpu_features.h"
#include "kernels/registry.h"
#include "models/embedded_model.h"

namespace tern::cli {
namespace {

template <typename Value>
std::string name_of(Value value, const std::map<std::string, Value>& names) {
  const auto named = [&](const auto& entry) { return entry.second == value; };
  return std::find_if(names.begin(), names.end(), named)->first;
}

std::map<std::string, format::KvType> kv_types() {
  std::map<std::string, format::KvType> types;
  for (const auto type : {format::KvType::kF16, format::KvType::kInt8})
    types.emplace(name(type), type);
  return types;
}

}  // namespace

void add_model_option(CLI::App& parser, std::string& path) {
  parser
      .add_option("-m,--model", path,
                  "GGUF file, name of `tern list`, or hf://org/repo[@revision][/file];\n"
                  "without it the embedded tern-tales")
      ->type_name("MODEL")
      ->check(not_empty);
}

void add_team_options(CLI::App& parser, ComputeOptions& options) {
  constexpr std::uint32_t kMostThreads = 1024;
  parser
      .add_option("-t,--threads", options.threads,
                  "Threads; without it as many as `tern tune` found fastest for the\n"
                  "model, else one for each core that may be used")
      ->type_name("N")
      ->check(CLI::Range(1u, kMostThreads).description(""));
  parser
      .add_option("--tier", options.tier,
                  "Instruction set, of those that `tern version` lists; without it\n"
                  "$TERN_FORCE_ISA, else the fastest")
      ->type_name("NAME")
      ->check(not_empty);
}

void add_compute_options(CLI::App& parser, ComputeOptions& options) {
  add_team_options(parser, options);
  add_one_of(parser, "--kv", options.kv, kv_types(),
             "Type of the cached keys and values, f16 or int8; int8 takes half of\n"
             "the memory and changes the results a little")
      ->type_name("TYPE")
      ->default_str(std::string(name(options.kv)));
}

void add_pooling_option(CLI::App& parser, std::optional<arch::Pooling>& pooling) {
  std::map<std::string, arch::Pooling> names;
  for (const auto known : {arch::Pooling::kMean, arch::Pooling::kCls, arch::Pooling::kLast}) {
    names.emplace(name(known), known);
  }
  add_one_of(parser, "--pooling", pooling, names,
             "The hidden state of the last token, the mean of all, or the first\n"
             "token's: last, mean or cls; without it as the file says")
      ->type_name("HOW");
}

std::string_view name(arch::Pooling pooling) {
  switch (pooling) {
    case arch::Pooling::kMean: return "mean";
    case arch::Pooling::kCls: return "cls";
    case arch::Pooling::kLast: return "last";
  }
  return "unknown";
}

void add_head_option(CLI::App& parser, model::HeadMode& mode) {
  using enum model::HeadMode;
  const std::map<std::string, model::HeadMode> names{
      {"auto", kAuto}, {"certified", kCertified}, {"exact", kExact}};
  add_one_of(parser, "--head", mode, names,
             "auto, certified: find the largest logits by an int8 copy of the head, or\n"
             "exact: compute all, without the copy's memory. Changes no result")
      ->type_name("MODE")
      ->default_str("auto");
}

void add_cache_option(CLI::App& parser, CacheUse& use) {
  const std::map<std::string, CacheUse> kNames{
      {"auto", CacheUse::kAuto}, {"on", CacheUse::kOn}, {"off", CacheUse::kOff}};
  add_one_of(parser, "--cache", use, kNames,
             "Keep packed weights on disk for the next start: on, off, or auto: of\n"
             "models that take long to pack")
      ->type_name("WHEN")
      ->default_str(name_of(use, kNames));
}

void add_tune_option(CLI::App& parser, TuneUse& use) {
  const std::map<std::string, TuneUse> kNames{{"off", TuneUse::kOff},
                                              {"load", TuneUse::kLoad},
                                              {"auto", TuneUse::kAuto},
                                              {"full", TuneUse::kFull}};
  add_one_of(parser, "--tune", use, kNames,
             "How matrices are read: load: as `tern tune` found, where it was run; auto:\n"
             "run it where it was not; full: run it again; off: the tier's own way.\n"
             "Changes no result")
      ->type_name("HOW")
      ->default_str(name_of(use, kNames));
}

Result<format::GgufFile> open_model(const std::string& path) {
  if (!path.empty()) return format::GgufFile::open(path);
  return format::GgufFile::parse(models::embedded_model(), "embedded model");
}

Result<const kernels::KernelTable*> choose_tier(const std::string& option) {
  const std::uint32_t features = detect_cpu_features();
  if (amx_is_refused()) {
    write_stderr("tern: the system does not let this process use AMX, which this CPU has\n");
  }
  if (!option.empty()) return kernels::table_by_name(option, features);
  const char* forced = std::getenv("TERN_FORCE_ISA");  // NOLINT: before there are threads
  if (forced == nullptr || *forced == '\0') return &kernels::best_table(features);
  auto table = kernels::table_by_name(forced, features);
  if (!table) return in_context("TERN_FORCE_ISA", std::move(table.error()));
  return table;
}

}  // namespace tern::cli
