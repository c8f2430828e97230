// Requests of completions and chats of the embedded model, read: good ones and refusals.
#pragma once

#include <boost/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

#include "backend/cpu/cpu_backend.h"
#include "kernels/registry.h"
#include "serve/completion_request.h"

namespace tern::serve {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

// The embedded model, once for all tests.
inline const ServedModel& served() {
  static backend::CpuBackend backend(kernels::scalar_table(), 1);
  static auto file = must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf"));
  static const auto tokenizer = must(text::Tokenizer::from_gguf(file));
  static const auto loaded = must(model::Model::load(std::move(file), backend));
  static const ServedModel model{
      .id = "tales",
      .also = {"other"},
      .model = loaded,
      .tokenizer = tokenizer,
      .chat_template =
          must(text::ChatTemplate::parse("{{ messages[0].role }}: {{ messages[0].content }}")),
      .fingerprint = "tern-0123456789ab",
      .context = 100,
      .longest_text = 40};
  return model;
}

inline CompletionDefaults defaults() {
  CompletionDefaults d;
  d.max_tokens = 9;
  d.context = 100;
  d.most_answers = 6;
  d.most_priority = 5;
  d.seed = 77;
  return d;
}

using Read = std::variant<CompletionRequest, ApiError>;

// {"prompt": "Once"} or {"messages": ...}, and these members.
inline Read completion(const std::string& members = "", const std::string& prompt = R"("Once")") {
  const std::string comma = members.empty() ? "" : ", ";
  const auto body = boost::json::parse("{\"prompt\": " + prompt + comma + members + "}");
  return read_completion_request(body.get_object(), served(), defaults());
}
inline Read chat_of(const std::string& messages, const std::string& members = "") {
  const std::string comma = members.empty() ? "" : ", ";
  const auto body = boost::json::parse("{\"messages\": " + messages + comma + members + "}");
  return read_chat_request(body.get_object(), served(), defaults());
}
inline Read chat(const std::string& members) {
  return chat_of(R"([{"role": "user", "content": "Hello"}])", members);
}

inline CompletionRequest good(Read read) {
  if (const auto* error = std::get_if<ApiError>(&read)) throw std::runtime_error(error->message);
  return std::get<CompletionRequest>(std::move(read));
}
inline ApiError bad(const Read& read) {
  const auto* error = std::get_if<ApiError>(&read);
  return error == nullptr ? ApiError{0, "not refused"} : *error;
}
inline std::string words(const Read& read) { return bad(read).message; }

}  // namespace tern::serve
