// What a GGUF file holds, as text and as JSON.
#pragma once

#include <string>

#include "cli/inspect_facts.h"
#include "format/gguf/gguf_file.h"

namespace tern::cli {

std::string inspect_text(const format::GgufFile& file, const InspectFacts& facts, bool tensors);

// The object that docs/cli.md describes.
std::string inspect_json(const format::GgufFile& file, const InspectFacts& facts, bool tensors);

// A value of the metadata in a line: long arrays and strings shortened; "none" for nullptr.
std::string metadata_text(const format::GgufValue* value);

}  // namespace tern::cli
