// The pre-tokenizers of byte-level BPE as tokenizer.json has them: the one table that it is read
// and written by.
#pragma once

#include <boost/json/object.hpp>
#include <string_view>
#include <vector>

namespace tern::convert {

struct KnownPreTokenizer {
  std::string_view name;  // as tokenizer.ggml.pre has it
  bool composes;          // with NFC as normaliser
  bool ignores_merges;
  boost::json::object part;  // `pre_tokenizer`
};

std::vector<KnownPreTokenizer> known_pre_tokenizers();

}  // namespace tern::convert
