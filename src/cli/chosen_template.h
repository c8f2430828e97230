// The chat template that a command was told to use: the model's own, one by name, or a file.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern::cli {

struct ChosenTemplate {
  text::ChatTemplate chat;
  std::string name;
  std::vector<std::string> stops;
  std::string sha256;  // of its text
};

// "bitnet, chatml, ..., or a file", for help and messages.
std::string template_choices();

// `wanted` is a name or a file; empty: the model's own. Errors: kUsage for a model without one, for
// what is neither a name nor a file, and for a vocabulary that the named one does not fit; kIo,
// kMalformed.
Result<ChosenTemplate> choose_template(const std::string& wanted, const format::GgufFile& file,
                                       const text::Tokenizer& tokenizer);

}  // namespace tern::cli
