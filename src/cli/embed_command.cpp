// tern embed: a vector for each text. They go to standard output or a file, a line of figures to
// standard error.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <memory>

#include "cli/command.h"
#include "cli/embed_files.h"
#include "cli/interrupt.h"
#include "cli/model_source.h"
#include "cli/one_of.h"
#include "cli/printable.h"
#include "cli/progress.h"
#include "cli/runtime.h"
#include "cli/streams.h"
#include "core/machine.h"
#include "engine/embedder.h"

namespace tern::cli {
namespace {

struct CommandOptions {
  std::vector<std::string> texts;
  std::string file;
  std::string output;
  std::string model;
  std::optional<arch::Pooling> pooling;
  ComputeOptions compute;
  bool json_lines = false;
  bool raw = false;
  bool parse_special = false;
  bool no_verify = false;
};

Result<std::vector<std::string>> texts_of(const CommandOptions& options) {
  if (!options.texts.empty() && options.json_lines) {
    return Error{ErrorCode::kUsage, "--jsonl is about a file or standard input, not about TEXT",
                 ""};
  }
  if (!options.texts.empty()) return options.texts;
  return read_texts(options.file.empty() ? "-" : options.file, options.json_lines);
}

Result<arch::Pooling> pooling_of(const CommandOptions& options, const model::Model& model) {
  if (options.pooling) return *options.pooling;
  if (model.config().pooling) return *model.config().pooling;
  return Error{ErrorCode::kUsage,
               "expected 1 (mean), 2 (cls) or 3 (last), found none: the file does not say how "
               "hidden states become an embedding; choose with --pooling last, mean or cls",
               model.file().source() + ": " + model.config().architecture + ".pooling_type"};
}

Result<ExitCode> embed(const CommandOptions& options, Output& output) {
  TERN_ASSIGN(const std::vector<std::string> texts, texts_of(options));
  TERN_ASSIGN(const std::string path, model_path(options.model));
  std::stop_source stop;
  Interrupt interrupt(stop);  // before threads are made
  Progress progress;
  TERN_ASSIGN(const Runtime runtime,
              load_runtime(path, options.compute, !options.no_verify, model::HeadMode::kExact,
                           progress, stop.get_token()));
  const model::Model& model = runtime.model;
  engine::EmbedderOptions wanted;
  TERN_ASSIGN(wanted.pooling, pooling_of(options, model));
  wanted.normalize = !options.raw;
  wanted.available_memory = available_memory();
  wanted.kv_type = options.compute.kv;
  std::vector<engine::Embedder::Tokens> tokens;
  std::size_t total = 0;
  wanted.context = 1;  // grows to the longest text, as keys and values need memory
  for (const std::string& text : texts) {
    tokens.push_back(runtime.tokenizer.encode(text, {.parse_special = options.parse_special}));
    total += tokens.back().size();
    const auto longest = std::max<std::size_t>(wanted.context, tokens.back().size());
    wanted.context =
        static_cast<std::uint32_t>(std::min<std::size_t>(longest, model.config().context));
  }
  TERN_ASSIGN(engine::Embedder embedder, engine::Embedder::create(model, wanted));
  TERN_ASSIGN(VectorWriter writer,
              VectorWriter::create(output, options.output, texts.size(), model.config().hidden));
  const auto start = std::chrono::steady_clock::now();
  std::size_t computed = 0;
  TERN_ASSIGN(const std::size_t done, embedder.embed(
                                          tokens,
                                          [&](std::size_t text, std::span<const float> vector) {
                                            computed += tokens[text].size();
                                            progress.show("embed", computed, total);
                                            return writer.write(text, tokens[text].size(), vector);
                                          },
                                          stop.get_token()));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  progress.clear();
  if (done == texts.size()) {
    TERN_TRY(writer.finish());
  } else if (!options.output.empty()) {
    write_stderr(fmt::format("tern: {}: interrupted, not written\n", printable(options.output)));
  }
  write_stderr(fmt::format("{} texts, {} tokens, {:.1f} tok/s, pooling {}, {} values, {}, {}\n",
                           done, computed, static_cast<double>(computed) / seconds.count(),
                           name(wanted.pooling), model.config().hidden, runtime.backend->tier(),
                           model.proof().proved ? "proved" : "not proved (--no-verify)"));
  return interrupt.happened() ? ExitCode::kInterrupted : ExitCode::kOk;
}

void add_text_options(CLI::App& parser, CommandOptions& options) {
  CLI::Option* texts = parser.add_option("TEXT", options.texts,
                                         "The texts; without them the lines of standard input");
  // One at a time, as many as come: where CLI11 takes several at once, it makes two texts of
  // "[a,b]" and none of "[]".
  constexpr int kManyTexts = 1 << 28;
  texts->type_name("")->take_all()->expected(kManyTexts, -1)->allow_extra_args(false);
  parser.add_option("-f,--file", options.file, "Each line is a text; -: standard input")
      ->type_name("FILE")
      ->check(not_empty)
      ->excludes(texts);
  parser.add_flag("--jsonl", options.json_lines,
                  "Each line is a JSON string, or an object with a \"text\"");
  parser.add_flag("--special", options.parse_special,
                  "A name like <|eot_id|> in a text is that token, not text");
  parser
      .add_option("-o,--output", options.output,
                  "A file in place of standard output; an array of NumPy where it ends\n"
                  "with .npy")
      ->type_name("FILE")
      ->check(not_empty);
}

}  // namespace

Command add_embed_command(CLI::App& tern) {
  const auto options = std::make_shared<CommandOptions>();
  CLI::App* parser = tern.add_subcommand(
      "embed",
      "Turn texts into vectors.\n"
      "One JSON object a line: index, tokens, embedding. A prompt that the model wants before a\n"
      "query is yours to write in front of it.\n");
  parser->footer(
      "Examples:\n"
      "  tern embed -m embedding.gguf \"A cat sat on the mat.\" \"Ein Kater.\"\n"
      "  tern embed -m embedding.gguf -f titles.txt -o titles.npy\n"
      "  tern embed -m model.gguf --pooling mean --jsonl < notes.jsonl\n");
  add_text_options(*parser, *options);
  add_model_option(*parser, options->model);
  add_pooling_option(*parser, options->pooling);
  parser->add_flag("--raw", options->raw, "The pooled vector as it is, not brought to length 1");
  parser->add_flag("--no-verify", options->no_verify, "Skip the self-proof of the model");
  add_compute_options(*parser, options->compute);
  add_cache_option(*parser, options->compute.cache);
  add_tune_option(*parser, options->compute.tune);
  return {parser, [options](Output& output) { return embed(*options, output); }};
}

}  // namespace tern::cli
