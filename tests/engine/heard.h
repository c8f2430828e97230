// The owner of a request in a test.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/task.h"

namespace tern::engine {

// What the owner of a request has been told.
struct Heard {
  std::string text;
  std::vector<text::TokenId> tokens;
  std::optional<EndReason> end;
  std::optional<Error> failed;
  std::uint32_t prompt_tokens = 0;
  int after_the_end = 0;

  void hear(const Update& update) {
    after_the_end += end || failed ? 1 : 0;
    text += update.piece.text;
    if (update.piece.token) tokens.push_back(*update.piece.token);
    end = update.piece.end;
    failed = update.failed;
    prompt_tokens = update.prompt_tokens;
  }
};

}  // namespace tern::engine
