// tokenizer.model of SentencePiece: what read_sentence_piece_model() reads.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "text/vocabulary.h"

namespace tern::convert {

// Of a vocabulary of SentencePiece's BPE; `texts` are its tokens as a GGUF file spells them. The
// model that it describes changes nothing of a text but that it writes spaces as U+2581.
std::string write_sentence_piece_model(const text::Vocabulary& vocabulary,
                                       std::span<const std::string_view> texts);

}  // namespace tern::convert
