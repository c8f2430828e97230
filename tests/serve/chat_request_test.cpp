#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "backend/cpu/cpu_backend.h"
#include "kernels/registry.h"
#include "serve/completion_request.h"

namespace tern::serve {
namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

// A template that is named brings stops where its turns end without a token.
TEST(ChatRequest, StopsOfTheTemplateJoinThoseOfTheRequest) {
  backend::CpuBackend backend(kernels::scalar_table(), 1);
  auto file = must(format::GgufFile::open(TERN_SOURCE_DIR "/models/tern-tales.gguf"));
  const auto tokenizer = must(text::Tokenizer::from_gguf(file));
  const auto loaded = must(model::Model::load(std::move(file), backend));
  const ServedModel model{
      .id = "tales",
      .also = {},
      .model = loaded,
      .tokenizer = tokenizer,
      .chat_template = must(text::ChatTemplate::parse("{{ messages[0].content }}")),
      .chat_stops = {"\nUser:"},
      .fingerprint = "tern-0123456789ab",
      .longest_text = 1000};
  CompletionDefaults defaults;
  defaults.context = 100;
  const auto body =
      boost::json::parse(R"({"messages": [{"role": "user", "content": "Hello"}], "stop": "!"})");
  const auto request = read_chat_request(body.get_object(), model, defaults);
  const auto* good = std::get_if<CompletionRequest>(&request);
  ASSERT_NE(good, nullptr) << std::get<ApiError>(request).message;
  EXPECT_EQ(good->answer.stops, (std::vector<std::string>{"!", "\nUser:"}));
}

}  // namespace
}  // namespace tern::serve
