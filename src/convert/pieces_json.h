// The model of a SentencePiece tokenizer as tokenizer.json of Hugging Face has it: BPE with byte
// fallback, its order of merges instead of scores, or unigram.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "arch/json_settings.h"
#include "convert/vocabulary.h"
#include "core/result.h"

namespace tern::convert {

// A part of a pipeline as text with everything that changes no token left out: two that do the same
// give the same text.
std::string essence(const boost::json::value& part);

// `file` is tokenizer.json, `model` its model. What is done to a text before it is cut must be
// what SentencePiece does. Errors of all: kMalformed, kUnsupported.
Result<void> read_unigram(const arch::JsonSettings& model, HfVocabulary& vocabulary);
// Of BPE tokens and merges are there, of both the added tokens: kinds and scores come with it, and
// whether a text begins with a space of its own. Merges go: they must be those that the scores
// give.
Result<void> make_pieces(const arch::JsonSettings& file, const arch::JsonSettings& model,
                         HfVocabulary& vocabulary);

}  // namespace tern::convert
