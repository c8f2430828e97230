// Any bytes as the body of a request, or as a line of the log of content. What is accepted is
// sound, and means the same when it is written again; what is refused has a status, words and a
// form that clients can read.
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "backend/cpu/cpu_backend.h"
#include "check.h"
#include "kernels/registry.h"
#include "models/embedded_model.h"
#include "serve/completion_request.h"
#include "serve/embedding_request.h"
#include "serve/logged_request.h"
#include "serve/token_requests.h"
#include "text/utf8.h"

namespace {

namespace json = boost::json;
namespace serve = tern::serve;
using serve::ApiError;
using serve::CompletionRequest;
using serve::EmbeddingRequest;
using serve::ServedModel;
using tern::fuzz::require;
using tern::text::TokenId;

constexpr std::uint32_t kContext = 512;
constexpr std::string_view kTemplate =
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools') }}{% endif %}"
    "{{ m.role }}: {{ m.content }}{{ extra }}\n{% endfor %}assistant:";

template <typename T>
T must(tern::Result<T> result) {
  require(result.ok());
  return std::move(*result);
}

// The embedded model as a server has it.
struct Fixture {
  tern::backend::CpuBackend backend{tern::kernels::scalar_table(), 1};
  tern::format::GgufFile file =
      must(tern::format::GgufFile::parse(tern::models::embedded_model(), "fuzz"));
  tern::text::Tokenizer tokenizer = must(tern::text::Tokenizer::from_gguf(file));
  tern::model::Model model = must(tern::model::Model::load(
      must(tern::format::GgufFile::parse(tern::models::embedded_model(), "fuzz")), backend,
      {.verify = false}));
  ServedModel served{.id = "fuzz",
                     .also = {},
                     .model = model,
                     .tokenizer = tokenizer,
                     .chat_template = must(tern::text::ChatTemplate::parse(kTemplate)),
                     .pooling = tern::arch::Pooling::kMean,
                     .fingerprint = "tern-0-f16-0123456789ab",
                     .context = kContext,
                     .longest_text = 4096};
};

const ServedModel& model() {
  static const Fixture fixture;
  return fixture.served;
}

serve::CompletionDefaults defaults() {
  serve::CompletionDefaults found;
  found.context = kContext;
  found.most_priority = 7;
  found.seed = 5;
  return found;
}

void require_error(const ApiError& error) {
  require(error.status == 400 || error.status == 404);
  require(!error.message.empty() && !error.type.empty());
  require(tern::text::replace_invalid_utf8(error.message) == error.message);
  const json::value again = json::parse(json::serialize(serve::to_json(error)));
  require(again.at("error").at("message").as_string() == error.message);
}

void require_tokens(const std::vector<TokenId>& tokens) {
  require(!tokens.empty());
  for (const TokenId token : tokens) {
    require(token >= 0 && static_cast<std::size_t>(token) < model().tokenizer.vocab_size());
  }
}

bool within(double value, double least, double most) { return value >= least && value <= most; }

void require_sound(const CompletionRequest& request) {
  const auto& [sampling, max_tokens, min_tokens, stops, shown_stops, stop_tokens, ignore_end,
               logprobs] = request.answer;
  require(request.choices >= 1 && request.choices <= 16);
  require(!request.prompts.empty() && request.prompts.size() * request.choices <= 64);
  require(!request.chat || request.prompts.size() == 1);
  require(request.chat || request.echoes.size() == request.prompts.size());
  for (const auto& prompt : request.prompts) {
    require_tokens(prompt);
    require(prompt.size() + std::uint64_t{max_tokens.value_or(1)} <= kContext);
  }
  require(within(sampling.temperature, 0, 2) && within(sampling.min_p, 0, 1));
  require(sampling.top_p > 0 && sampling.top_p <= 1);
  require(within(sampling.repeat_penalty, 0.0099, 100));
  require(within(sampling.presence_penalty, -2, 2) && within(sampling.frequency_penalty, -2, 2));
  for (const auto& bias : sampling.bias) {
    require_tokens({bias.token});
    require(within(bias.logit, -100, 100) || bias.logit == -INFINITY);
  }
  require(stops.size() <= 16 && shown_stops <= stops.size());
  for (const std::string& stop : stops) require(!stop.empty() && stop.size() <= 1024);
  if (!stop_tokens.empty()) require_tokens(stop_tokens);
  require(stop_tokens.size() <= 16);
  require(min_tokens <= max_tokens.value_or(UINT32_MAX));
  require(logprobs.value_or(0) <= 20);
  require(within(request.priority, -100, 7));
  require(!request.deadline || request.deadline->count() > 0);
  require(!request.include_usage || request.stream);
  require(!request.continuous_usage || request.include_usage);
}

void require_same(const CompletionRequest& a, const CompletionRequest& b) {
  require(a.prompts == b.prompts && a.echoes == b.echoes && a.choices == b.choices);
  require(a.stream == b.stream && a.include_usage == b.include_usage);
  require(a.continuous_usage == b.continuous_usage);
  require(a.priority == b.priority && a.deadline == b.deadline);
  require(a.answer.max_tokens == b.answer.max_tokens && a.answer.stops == b.answer.stops);
  require(a.answer.stop_tokens == b.answer.stop_tokens);
  require(a.answer.ignore_end == b.answer.ignore_end && a.answer.logprobs == b.answer.logprobs);
  require(a.answer.min_tokens == b.answer.min_tokens);
  require(a.answer.shown_stops == b.answer.shown_stops);
  const auto& x = a.answer.sampling;
  const auto& y = b.answer.sampling;
  require(x.seed == y.seed && x.top_k == y.top_k && x.bias.size() == y.bias.size());
  require(x.temperature == y.temperature && x.top_p == y.top_p && x.min_p == y.min_p);
  require(x.repeat_penalty == y.repeat_penalty);
  require(x.presence_penalty == y.presence_penalty);
  require(x.frequency_penalty == y.frequency_penalty);
}

void require_sound(const EmbeddingRequest& request) {
  require(!request.inputs.empty() && request.inputs.size() <= 2048);
  for (const auto& input : request.inputs) {
    require_tokens(input);
    require(input.size() <= kContext);
  }
  require(request.dimensions >= 1 && request.dimensions <= model().model.config().hidden);
}

void require_same(const EmbeddingRequest& a, const EmbeddingRequest& b) {
  require(a.inputs == b.inputs && a.dimensions == b.dimensions && a.base64 == b.base64);
}

void require_sound(const json::object& answer) {
  require(answer.size() == 1);
  const auto* tokens = answer.if_contains("tokens");
  if (tokens == nullptr) return require(answer.begin()->value().is_string());
  require(tokens->is_array());
  const json::array& items = tokens->get_array();
  if (!items.empty() && items[0].is_object()) return;  // with their texts
  require(std::holds_alternative<json::object>(serve::detokenize({{"tokens", *tokens}}, model())));
}

void require_same(const json::object& a, const json::object& b) { require(a == b); }

// `read`: from the object of a body to a request or an answer, or to an error.
template <typename Read>
void check(std::string_view body, Read read) {
  const auto parsed = serve::parse_body(body);
  if (const auto* error = std::get_if<ApiError>(&parsed)) return require_error(*error);
  const auto& object = std::get<json::object>(parsed);
  const auto found = read(object);
  if (const auto* error = std::get_if<ApiError>(&found)) return require_error(*error);
  require_sound(std::get<0>(found));
  const auto again = serve::parse_body(json::serialize(object));
  require(std::holds_alternative<json::object>(again));
  // Numbers come back by their shortest digits, which Boost reads to within a unit of a double: at
  // the end of a range, or where a template shows them, that is another request.
  if (std::get<json::object>(again) != object) return;
  const auto same = read(std::get<json::object>(again));
  require(same.index() == 0);
  require_same(std::get<0>(found), std::get<0>(same));
}

void check_line(std::string_view line) {
  const auto read = serve::read_logged_request(line);
  if (!read) {
    require(!read.error().message.empty());
    return;
  }
  if (!*read) return;
  for (const auto& choice : (*read)->choices) {
    for (const TokenId token : choice.tokens) require(token >= 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tern::fuzz::Input in(data, size);
  constexpr std::string_view kKinds = "ctekdal";
  const auto kind = static_cast<char>(in.byte());
  const std::string copy(in.rest());
  const auto ask = [](auto answer) {
    return [answer](const json::object& body) { return answer(body, model()); };
  };
  switch (kKinds.find(kind) != std::string_view::npos
              ? kind
              : kKinds[static_cast<unsigned char>(kind) % kKinds.size()]) {
    case 'c':
      check(copy, [](const json::object& body) {
        return serve::read_chat_request(body, model(), defaults());
      });
      break;
    case 't':
      check(copy, [](const json::object& body) {
        return serve::read_completion_request(body, model(), defaults());
      });
      break;
    case 'e':
      check(copy, [](const json::object& body) {
        return serve::read_embedding_request(body, model(), defaults());
      });
      break;
    case 'k': check(copy, ask(serve::tokenize)); break;
    case 'd': check(copy, ask(serve::detokenize)); break;
    case 'a': check(copy, ask(serve::apply_template)); break;
    default: check_line(copy); break;
  }
  return 0;
}
