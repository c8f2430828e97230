// Errors of a vocabulary: all name the key of the GGUF file that holds what is wrong.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "core/result.h"
#include "format/gguf/gguf_text.h"

namespace tern::text {

inline Error vocabulary_error(ErrorCode code, std::string_view key, std::string message) {
  return {code, std::move(message),
          "key " + format::in_quotes("tokenizer.ggml." + std::string(key))};
}

}  // namespace tern::text
