// tern verify: proves a model on this machine and prints the hash of its logits, which is the same
// on every tier, with any number of threads and in any chunks.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <boost/json.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/runtime.h"
#include "cli/verify_text.h"
#include "core/machine.h"
#include "core/sha256.h"
#include "engine/sequence.h"

namespace tern::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the hash is of little-endian floats");

struct VerifyOptions {
  std::string model;
  std::string text_file;  // empty: kVerifyText
  std::uint32_t chunk = 64;
  ComputeOptions compute;
  bool json = false;
};

struct Hash {
  std::size_t positions = 0;
  std::string sha256;
};

// The built-in text, as far as the context takes it, or the whole of a file's.
Result<std::vector<text::TokenId>> tokens_of(const VerifyOptions& options, const Runtime& runtime) {
  if (options.text_file.empty()) {
    auto tokens = runtime.tokenizer.encode(kVerifyText);
    tokens.resize(std::min<std::size_t>(tokens.size(), runtime.model.config().context));
    return tokens;
  }
  TERN_ASSIGN(const std::string text, read_all(options.text_file));
  auto tokens = runtime.tokenizer.encode(text);
  if (tokens.empty()) return Error{ErrorCode::kUsage, "the text is empty", options.text_file};
  return tokens;
}

Result<Hash> hash_logits(const VerifyOptions& options, const Runtime& runtime,
                         std::span<const text::TokenId> tokens, Progress& progress) {
  engine::SequenceOptions sequence_options;
  sequence_options.prefill_chunk = options.chunk;
  sequence_options.available_memory = available_memory();
  sequence_options.kv_type = options.compute.kv;
  TERN_ASSIGN(engine::Sequence sequence, engine::Sequence::create(runtime.model, sequence_options));
  Sha256 hash;
  engine::Sequence::AppendOptions append;
  append.progress = [&](std::size_t done, std::size_t total) {
    progress.show("compute", done, total);
  };
  append.every_logit = [&](std::uint32_t, std::span<const float> logits) {
    hash.update(std::as_bytes(logits));
  };
  TERN_TRY(sequence.append(tokens, append));
  return Hash{tokens.size(), hash.finish()};
}

// What `--cache on` asks for has to happen, to all of an entry.
Result<void> check_compared(const VerifyOptions& options, const Runtime& runtime) {
  const bool is_done = runtime.cache == "hit" && runtime.compared > 0;
  if (options.compute.cache != CacheUse::kOn || is_done) return {};
  return Error{ErrorCode::kIo,
               "expected a whole entry of this model to compare, found " +
                   (runtime.cache == "stored"
                        ? "none; one is stored now: verify again"
                        : "none (" + printable(runtime.cache) +
                              "); `tern run -m MODEL --cache on` stores one, and `tern cache ls` "
                              "shows what is there"),
               "--cache on"};
}

std::string cache_line(const VerifyOptions& options, const Runtime& runtime) {
  if (options.compute.cache == CacheUse::kOff) return "";
  return fmt::format("cache   {}: {} packed matrices of it equal those of the file\n",
                     printable(runtime.cache), runtime.compared);
}

std::string to_text(const VerifyOptions& options, const Runtime& runtime, const Hash& hash) {
  const model::ProofReport& proof = runtime.model.proof();
  const double trits = static_cast<double>(proof.trits[0] + proof.trits[1] + proof.trits[2]);
  const auto share = [&](std::size_t i) {
    return 100.0 * static_cast<double>(proof.trits[i]) / trits;
  };
  return fmt::format(
      "model   {}, {}, {}\n"
      "tier    {}, {} threads, keys and values in {}\n"
      "proof   passed in {:.0f} ms: {} ternary tensors without code 3; {} rows equal the "
      "definition\n"
      "trits   -1 {:.1f}%, 0 {:.1f}%, +1 {:.1f}% of the rows looked at; median scale {:.4g}\n"
      "text    {}, {} tokens\n"
      "{}"
      "logits  sha256 {}\n",
      printable(model_name(runtime.model)), runtime.model.config().architecture,
      printable(runtime.model.file().source()), runtime.backend->tier(), runtime.backend->threads(),
      name(options.compute.kv), 1e3 * proof.seconds, proof.tensors, proof.rows_compared, share(0),
      share(1), share(2), proof.median_scale,
      options.text_file.empty() ? "built-in" : printable(options.text_file), hash.positions,
      cache_line(options, runtime), hash.sha256);
}

std::string to_json(const VerifyOptions& options, const Runtime& runtime, const Hash& hash) {
  const model::ProofReport& proof = runtime.model.proof();
  boost::json::object object;
  object["model"] = model_name(runtime.model);
  object["architecture"] = runtime.model.config().architecture;
  object["tier"] = runtime.backend->tier();
  object["threads"] = runtime.backend->threads();
  object["kv"] = name(options.compute.kv);
  object["proof"] = {{"proved", proof.proved},
                     {"seconds", proof.seconds},
                     {"tensors", proof.tensors},
                     {"rows_compared", proof.rows_compared},
                     {"trits", boost::json::value_from(proof.trits)},
                     {"median_scale", proof.median_scale}};
  object["cache"] = printable(runtime.cache);
  object["cache_compared"] = runtime.compared;
  object["positions"] = hash.positions;
  object["vocab"] = runtime.model.config().vocab;
  object["logits_sha256"] = hash.sha256;
  return boost::json::serialize(object) + "\n";
}

Result<ExitCode> verify(const VerifyOptions& options, Output& output) {
  TERN_ASSIGN(const std::string path, model_path(options.model));
  Progress progress;
  // The head's copy changes no result; of an entry it is a part that is looked at, too.
  const auto head =
      options.compute.cache == CacheUse::kOff ? model::HeadMode::kExact : model::HeadMode::kAuto;
  TERN_ASSIGN(const Runtime runtime, load_runtime(path, options.compute, true, head, progress));
  TERN_TRY(check_compared(options, runtime));
  TERN_ASSIGN(const auto tokens, tokens_of(options, runtime));
  TERN_ASSIGN(const Hash hash, hash_logits(options, runtime, tokens, progress));
  progress.clear();
  TERN_TRY(output.write(options.json ? to_json(options, runtime, hash)
                                     : to_text(options, runtime, hash)));
  return ExitCode::kOk;
}

}  // namespace

Command add_verify_command(CLI::App& tern) {
  const auto options = std::make_shared<VerifyOptions>();
  CLI::App* parser = tern.add_subcommand(
      "verify",
      "Prove a model on this machine.\n"
      "Its ternary tensors hold what they should; the tier computes what the definition says; and "
      "the\nSHA-256 of the logits of every position of a text is printed: it is the same on every "
      "tier, with\nany number of threads, on every machine.\n");
  parser->footer(
      "Examples:\n"
      "  tern verify -m model.gguf\n"
      "  tern verify -m model.gguf --cache on        all of its packed weights on disk, too\n"
      "  tern verify -m model.gguf --text book.txt --tier scalar -t 1\n");
  add_model_option(*parser, options->model);
  parser
      ->add_option("--text", options->text_file,
                   "Text to compute, - for standard input; "
                   "without it a built-in passage")
      ->type_name("FILE")
      ->check(not_empty);
  parser->add_option("--chunk", options->chunk, "Tokens computed at once; changes no result")
      ->type_name("N")
      ->check(CLI::Range(1u, 1u << 16).description(""))
      ->capture_default_str();
  add_compute_options(*parser, options->compute);
  options->compute.cache = CacheUse::kOff;  // prove the file itself
  options->compute.compare_cache = true;
  add_cache_option(*parser, options->compute.cache);
  add_tune_option(*parser, options->compute.tune);
  parser->add_flag("--json", options->json, "One JSON object instead of text");
  return {parser, [options](Output& output) { return verify(*options, output); }};
}

}  // namespace tern::cli
