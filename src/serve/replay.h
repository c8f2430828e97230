// A request of the log of prompts, computed again: the same tokens, or where they first differ.
#pragma once

#include <cstddef>
#include <string>

#include "engine/engine.h"
#include "serve/logged_request.h"
#include "serve/served_model.h"

namespace tern::serve {

struct Replay {
  enum class Outcome { kIdentical, kDifferent, kNotReplayed };
  Outcome outcome = Outcome::kIdentical;
  std::string why = {};     // it differs, or was not replayed
  std::size_t choices = 0;  // that were compared
  std::size_t tokens = 0;
};

// Reads the request as the server does and lets the engine answer it. Of choices that a client or a
// deadline ended, what there is of them is compared; where that is nothing, it is not replayed.
Replay replay(const LoggedRequest& logged, const ServedModel& model, engine::Engine& engine);

}  // namespace tern::serve
