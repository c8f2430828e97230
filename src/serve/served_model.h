// The model that a server answers with, as requests see it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arch/decoder_config.h"
#include "core/result.h"
#include "core/sha256.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace tern::serve {

struct ServedModel {
  std::string id;                 // what requests call it
  std::vector<std::string> also;  // other names that it answers to
  const model::Model& model;
  const text::Tokenizer& tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<arch::Pooling> pooling = {};  // of an embedding model: how states become a vector
  std::vector<std::string> chat_stops = {};   // that end an answer where no token does
  std::string chat_template_sha256 = {};      // of its text, where there is one
  std::int64_t created = 0;                   // seconds since the epoch
  std::string fingerprint;       // of what decides the bits: the file and the definition of numbers
  std::uint32_t context = 0;     // most tokens of a request
  std::size_t longest_text = 0;  // in bytes, that the context may hold

  // What an answer says of its origin: of a chat, its template as well.
  std::string fingerprint_of(bool chat) const {
    const bool has_template = chat && !chat_template_sha256.empty();
    return has_template ? fingerprint + "." + chat_template_sha256.substr(0, 8) : fingerprint;
  }
  // What ids of completions end with, so that nothing goes on with them that would answer with
  // other bits: another file, version, type of keys or chat template.
  std::string mark() const {
    return sha256_of(fingerprint + "\n" + chat_template_sha256).substr(0, 8);
  }
  bool answers_to(const std::string& name) const {
    return name == id || std::find(also.begin(), also.end(), name) != also.end();
  }
};

}  // namespace tern::serve
