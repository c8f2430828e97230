// What a client asks for: the body of /v1/embeddings, read and checked.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "serve/api_error.h"
#include "serve/completion_request.h"
#include "serve/served_model.h"
#include "text/token.h"

namespace tern::serve {

struct EmbeddingRequest {
  std::vector<std::vector<text::TokenId>> inputs;
  std::uint32_t dimensions = 0;  // leading numbers of each vector
  bool base64 = false;           // of their bytes as little-endian f32, instead of a list
  int priority = 0;
  std::optional<std::chrono::milliseconds> deadline = {};  // of all of them
};

// Of `defaults`: most tokens of an input, the highest priority and the longest time.
std::variant<EmbeddingRequest, ApiError> read_embedding_request(const boost::json::object& body,
                                                                const ServedModel& model,
                                                                const CompletionDefaults& defaults);

}  // namespace tern::serve
