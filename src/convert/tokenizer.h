// The tokenizer of a checkpoint's folder, its special tokens, chat template and defaults of
// generation, as the keys of a GGUF file.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "core/folder.h"
#include "core/result.h"
#include "format/gguf/gguf_writer.h"

namespace tern::convert {

// `config` is config.json, `vocab` the rows of the embedding: ids behind the last token become
// unused ones. Adds the names of the files it read to `files`. Errors: kIo where there is no
// tokenizer, and those of its readers.
Result<void> add_tokenizer(const Folder& folder, const boost::json::object& config,
                           std::uint32_t vocab, format::GgufWriter& writer,
                           std::vector<std::string>& files);

}  // namespace tern::convert
