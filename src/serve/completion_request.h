// What a client asks for: the bodies of /v1/completions and /v1/chat/completions, read and checked.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/answer.h"
#include "serve/api_error.h"
#include "serve/served_model.h"
#include "text/chat_prompt.h"
#include "text/token.h"

namespace tern::serve {

// No request was asked for later: the end of the year 9999, in seconds since the epoch.
inline constexpr std::int64_t kLatestCreated = 253'402'300'799;

// Where a stream is to go on: the id of the last event that a client has seen. An answer depends on
// nothing but the request, its seed and its time, so it is computed again and what was sent is left
// out.
struct EventId {
  std::string completion;           // "chatcmpl-..."
  std::uint64_t seed = 0;           // of the first choice
  std::int64_t created = 0;         // when it was asked for: a template may say what day it is
  std::vector<std::uint32_t> sent;  // pieces of each choice, its end being one

  std::string to_string() const;
  static std::optional<EventId> parse(std::string_view text);
};

struct CompletionRequest {
  bool chat = false;
  std::int64_t created = 0;                         // seconds since the epoch
  std::vector<std::vector<text::TokenId>> prompts;  // of a chat: one
  std::vector<std::string> echoes;                  // by prompt, but of a chat: before each answer
  engine::AnswerOptions answer;                     // with the seed of the first choice
  bool names_length = false;                        // max_tokens, not that of the server
  bool prompt_logprobs = false;                     // in front of the answer's, of echoes
  std::uint32_t choices = 1;                        // of each prompt; each has a seed of its own
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;  // in each event, too
  int priority = 0;
  std::optional<std::chrono::milliseconds> deadline;
};

struct CompletionDefaults {
  // What a request may ask for, and take; else as much as there is.
  std::optional<std::uint32_t> most_tokens = {};
  std::optional<std::chrono::milliseconds> most_time = {};
  std::optional<std::uint32_t> max_tokens;  // of a chat; else until the context is full
  std::uint32_t context = 0;                // most tokens of a request
  std::size_t most_answers = 128;           // of all prompts of a request
  int most_priority = 0;                    // that a request may ask for
  std::uint64_t seed = 0;                   // where the request names none
  std::int64_t created = 0;                 // what a template takes for now, since the epoch
};

// What ids of completions have before the model's mark: of all that decides the answer, so that
// nobody goes on with another one. `context`: the most tokens of a request.
std::string request_mark(const CompletionRequest& request, std::uint32_t context);
// Why the answer to `request` cannot go on behind `id`; nothing where it can.
std::optional<ApiError> cannot_go_on(const EventId& id, const CompletionRequest& request,
                                     const ServedModel& model, std::uint32_t context);

std::variant<CompletionRequest, ApiError> read_chat_request(const boost::json::object& body,
                                                            const ServedModel& model,
                                                            const CompletionDefaults& defaults);
std::variant<CompletionRequest, ApiError> read_completion_request(
    const boost::json::object& body, const ServedModel& model, const CompletionDefaults& defaults);

// The prompt of the messages of a chat, whose content is text or parts of text.
std::variant<std::vector<text::TokenId>, ApiError> read_chat_prompt(
    const boost::json::array& messages, const ServedModel& model, text::ChatPromptOptions options);

}  // namespace tern::serve
