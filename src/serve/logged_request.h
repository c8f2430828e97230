// A request of the log of prompts, as a line of it has it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
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
  std::int64_t created = 0;                 // when it was asked for, since the epoch
  std::optional<std::uint32_t> max_tokens;  // that held; else until the context was full
  std::uint32_t context = 0;
  std::vector<LoggedChoice> choices;
};

// The request of a line of the log; no value for a line about anything else, and for a request
// whose content or answer was not logged. Errors: kMalformed.
Result<std::optional<LoggedRequest>> read_logged_request(std::string_view line);

}  // namespace tern::serve
