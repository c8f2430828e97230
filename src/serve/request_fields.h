// The fields that requests for completions share.
#pragma once

#include <boost/json/array.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/completion_request.h"
#include "serve/fields.h"

namespace tern::serve {

// The name of another model is an error.
void read_model(Fields& fields, const ServedModel& model);

// What both kinds of requests have; of OpenAI's fields those that change no answer are accepted.
void read_common(Fields& fields, const ServedModel& model, const CompletionDefaults& defaults,
                 CompletionRequest& request);

// How far ahead of others it goes, and when it is to end, of what has an answer or a vector.
int read_priority(Fields& fields, const CompletionDefaults& defaults);
std::optional<std::chrono::milliseconds> read_deadline(Fields& fields,
                                                       const CompletionDefaults& defaults);

// -1, of max_tokens: no number of the request's or the server's own but what it may ask for.
inline constexpr std::uint32_t kAllThatFit = UINT32_MAX;
std::optional<std::uint32_t> max_tokens(Fields& fields, std::string_view name,
                                        const CompletionDefaults& defaults);
// Where a request asks for no number, `wanted` or as many as it may ask for; nothing: until the
// context is full.
std::optional<std::uint32_t> default_tokens(std::optional<std::uint32_t> wanted,
                                            const CompletionDefaults& defaults);

// What a chat template reads beside the messages: `chat_template_kwargs`.
text::jinja::Variables template_arguments(Fields& fields);
// Where the prompt of a chat ends: add_generation_prompt, continue_final_message.
void read_prompt_end(Fields& fields, text::ChatPromptOptions& options);

// The ids of tokens; no value where one is none of the vocabulary.
std::optional<std::vector<text::TokenId>> read_tokens(const boost::json::array& values,
                                                      const text::Tokenizer& tokenizer);

// What is longer than the context, in words by which clients know that they have to shorten it:
// OpenAI's of tokens, "maximum context length is", and llama.cpp's of all else, "exceeds the
// available context size".
ApiError too_long(std::string_view param, const std::string& message);

// Refuses what the context or the queue has no room for, rather than cut it: who asks for it should
// know.
void check_room(Fields& fields, const CompletionRequest& request, const char* param,
                const CompletionDefaults& defaults);

}  // namespace tern::serve
