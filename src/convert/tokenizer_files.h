// The tokenizer of a GGUF file, its special tokens, chat templates and defaults of generation, as
// the files of a checkpoint's folder: what add_tokenizer() reads.
#pragma once

#include <boost/json/object.hpp>

#include "convert/made_folder.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"

namespace tern::convert {

// tokenizer.json for byte-level BPE, tokenizer.model for SentencePiece's BPE; special tokens go to
// tokenizer_config.json and, by id, to `config`. Whether all comes back as it was is for who calls
// to check. Errors: those of text::Tokenizer; kUnsupported for unigram.
Result<void> make_tokenizer_files(const format::GgufFile& file, boost::json::object& config,
                                  FolderFiles& files);

// Errors: kUnsupported where a text or a token is another one by the keys of `after`.
Result<void> check_same_tokenizer(const format::GgufFile& before, const format::GgufFile& after);

}  // namespace tern::convert
