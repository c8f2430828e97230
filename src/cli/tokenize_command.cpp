// tern tokenize: the tokens of a text, by the vocabulary of a GGUF file.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <iterator>
#include <memory>

#include "cli/command.h"
#include "cli/model_source.h"
#include "cli/options.h"
#include "cli/printable.h"
#include "text/tokenizer.h"

namespace tern::cli {
namespace {

struct TokenizeOptions {
  std::string text = "-";  // "-": standard input
  std::string model;
  bool ids = false;
  bool no_bos = false;
  bool parse_special = false;
};

std::string id_line(std::span<const text::TokenId> tokens) {
  return fmt::format("{}\n", fmt::join(tokens, " "));
}

std::string table(std::span<const text::TokenId> tokens, const text::Tokenizer& tokenizer) {
  std::string out;
  for (const text::TokenId token : tokens) {
    fmt::format_to(std::back_inserter(out), "{:>7}  {}{}\n", token,
                   quoted(tokenizer.token_bytes(token)),
                   tokenizer.is_special(token) ? "  special" : "");
  }
  return out;
}

Result<ExitCode> tokenize(const TokenizeOptions& options, Output& output) {
  TERN_ASSIGN(const std::string path, model_path(options.model));
  TERN_ASSIGN(const format::GgufFile file, open_model(path));
  TERN_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::from_gguf(file));
  std::string text = options.text;
  if (text == "-") {
    TERN_ASSIGN(text, read_all("-"));
  }
  text::EncodeOptions encode;
  encode.parse_special = options.parse_special;
  if (options.no_bos) encode.add_bos = false;
  const auto tokens = tokenizer.encode(text, encode);
  TERN_TRY(output.write(options.ids ? id_line(tokens) : table(tokens, tokenizer)));
  return ExitCode::kOk;
}

}  // namespace

Command add_tokenize_command(CLI::App& tern) {
  const auto options = std::make_shared<TokenizeOptions>();
  CLI::App* parser = tern.add_subcommand(
      "tokenize",
      "Show the tokens of a text: an id and its bytes a line, or the ids alone.\n"
      "A GGUF file that holds only a vocabulary will do.\n");
  parser->footer(
      "Examples:\n"
      "  tern tokenize \"Once upon a time\"\n"
      "  tern tokenize -m vocabulary.gguf --ids --no-bos - < book.txt\n");
  parser->add_option("TEXT", options->text, "The text; - or nothing: standard input, every byte")
      ->type_name("");
  add_model_option(*parser, options->model);
  parser->add_flag("--ids", options->ids, "The ids on one line, with spaces between them");
  parser->add_flag("--no-bos", options->no_bos, "No begin-of-text token in front");
  parser->add_flag("--special", options->parse_special,
                   "A name like <|eot_id|> in the text is that token, not text");
  return {parser, [options](Output& output) { return tokenize(*options, output); }};
}

}  // namespace tern::cli
