// A request of the log of content, computed again: the same tokens, or where they first differ.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "engine/engine.h"
#include "serve/served_model.h"
#include "text/token.h"

namespace tern::serve {

struct LoggedChoice {
  std::vector<text::TokenId> tokens;
  std::string text;
  std::string finish_reason;  // "stop", "length", "cancelled", "deadline"; empty: it has none
};

// What `tern serve --log-prompts` writes of a request that the engine has answered.
struct LoggedRequest {
  std::string id;
  std::string path;
  std::string body;
  std::string fingerprint;                  // ServedModel::fingerprint of that server
  std::string build;                        // its version and commit
  std::string model;                        // what requests called the model
  std::string chat_template;                // "sha256:..."; empty: no chat
  std::uint64_t seed = 0;                   // of the first choice
  std::optional<std::uint32_t> max_tokens;  // that held; else until the context was full
  std::uint32_t context = 0;
  std::vector<LoggedChoice> choices;
};

// The request of a line of the log; no value for a line about anything else, and for a request
// whose content or answer was not logged. Errors: kMalformed.
Result<std::optional<LoggedRequest>> read_logged_request(std::string_view line);

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
