// A pre-tokenizer cuts a text into pre-tokens; BPE merges inside of one, never across. Models are
// trained with a regular expression for it; Tern writes each by hand, because a backtracking
// matcher cannot promise linear time. A new one is a split function and a row in the table of
// pre_tokenizer.cpp.
//
// Characters have the class that unicode_tables.h gives them. A byte that is no part of a valid
// UTF-8 sequence is one character of the class kOther.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tern::text {

struct PreTokenizer {
  std::string_view name;  // as tokenizer.ggml.pre has it
  // Appends the end of each pre-token of the text, ascending; the last one is text.size(), and
  // there is none for an empty text. In time linear in text.size().
  void (*split)(std::string_view text, std::vector<std::size_t>& ends);
  // Whether a pre-token that is a token of the vocabulary is taken whole, even where the merges
  // would not make it ("ignore_merges" of Hugging Face).
  bool takes_whole_tokens;
  bool adds_bos;  // where the file does not say
  // Whether the text is brought into NFC first, as the tokenizer.json of such models has it.
  bool composes = false;
};

// nullptr for a name that is not known.
const PreTokenizer* find_pre_tokenizer(std::string_view name);

// "gpt-2, llama-bpe, ...", for messages.
std::string pre_tokenizer_names();

}  // namespace tern::text
