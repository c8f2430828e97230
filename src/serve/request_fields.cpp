#include "serve/request_fields.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <charconv>
#include <limits>
#include <set>
#include <utility>

#include "core/shortened.h"

namespace tern::serve {

namespace json = boost::json;
using text::TokenId;

namespace {

constexpr std::int64_t kMostChoices = 128;  // OpenAI's limit
constexpr std::size_t kMostStops = 16;
constexpr std::size_t kMostStopBytes = 1024;
constexpr std::size_t kMostBiases = 1024;
constexpr std::int64_t kMostTokens = std::int64_t{1} << 31;

void read_stops(Fields& fields, std::vector<std::string>& stops) {
  const json::value* value = fields.find("stop");
  if (value == nullptr) return;
  const auto add = [&](const json::value& stop) {
    if (stop.is_string() && stop.get_string().size() <= kMostStopBytes) {
      if (!stop.get_string().empty()) stops.emplace_back(stop.get_string());  // which ends nothing
    } else {
      fields.fail("stop",
                  "texts of at most " + std::to_string(kMostStopBytes) + " bytes, found " +
                      (stop.is_string() ? "one of " + std::to_string(stop.get_string().size())
                                        : kind_of(stop)));
    }
  };
  if (!value->is_array()) return add(*value);
  for (const json::value& stop : value->get_array()) add(stop);
  if (const std::size_t count = value->get_array().size(); count > kMostStops) {
    fields.fail("stop",
                "at most " + std::to_string(kMostStops) + " texts, found " + std::to_string(count));
  }
}

void read_stop_tokens(Fields& fields, const ServedModel& model, std::vector<TokenId>& tokens) {
  const json::array* found = fields.array("stop_token_ids");
  if (found == nullptr) return;
  auto read = read_tokens(*found, model.tokenizer);
  if (!read || read->size() > kMostStops) {
    return fields.fail("stop_token_ids",
                       "at most " + std::to_string(kMostStops) + " ids of tokens below " +
                           std::to_string(model.tokenizer.vocab_size()) + ", found " +
                           (read ? std::to_string(read->size()) : "one that is none"));
  }
  tokens = std::move(*read);
}

void read_bias(Fields& fields, const ServedModel& model, std::vector<engine::TokenBias>& bias) {
  const json::object* found = fields.object("logit_bias");
  if (found == nullptr) return;
  if (found->size() > kMostBiases) {
    return fields.fail("logit_bias", "at most " + std::to_string(kMostBiases) + " tokens, found " +
                                         std::to_string(found->size()));
  }
  std::set<std::uint32_t> seen;
  for (const auto& [key, value] : *found) {
    std::uint32_t token = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    json::error_code code;
    const double amount = value.is_number() ? value.to_number<double>(code) : 1000.0;
    if (error != std::errc() || end != key.data() + key.size() ||
        token >= model.tokenizer.vocab_size() || amount < -100.0 || amount > 100.0) {
      return fields.fail("logit_bias",
                         "ids of tokens below " + std::to_string(model.tokenizer.vocab_size()) +
                             " with numbers from -100 to 100, found \"" + shortened(key) + "\"");
    }
    if (!seen.insert(token).second) {
      return fields.fail("logit_bias",
                         "each token once, found " + std::to_string(token) + " twice");
    }
    // -100 is a ban, as OpenAI has it.
    bias.push_back({static_cast<TokenId>(token), amount == -100.0
                                                     ? -std::numeric_limits<float>::infinity()
                                                     : static_cast<float>(amount)});
  }
}

void read_sampling(Fields& fields, const ServedModel& model, const CompletionDefaults& defaults,
                   engine::AnswerOptions& answer) {
  engine::SamplingOptions& sampling = answer.sampling;
  const auto number = [&](std::string_view name, double least, double most, double otherwise) {
    return static_cast<float>(fields.number(name, least, most).value_or(otherwise));
  };
  sampling.temperature = number("temperature", 0, 2, 1);
  sampling.top_p = number("top_p", 0, 1, 1);
  if (sampling.top_p == 0.0f) sampling.temperature = 0.0f, sampling.top_p = 1.0f;
  sampling.min_p = number("min_p", 0, 1, 0);
  const std::int64_t top_k = fields.integer("top_k", -1, 1 << 20).value_or(0);
  sampling.top_k = static_cast<std::uint32_t>(std::max<std::int64_t>(top_k, 0));  // -1: all, too
  sampling.repeat_penalty = number("repetition_penalty", 0.01, 100, 1);
  sampling.presence_penalty = number("presence_penalty", -2, 2, 0);
  sampling.frequency_penalty = number("frequency_penalty", -2, 2, 0);
  read_bias(fields, model, sampling.bias);
  sampling.seed = fields.bits("seed").value_or(defaults.seed);  // what was reported, too
  read_stops(fields, answer.stops);
  read_stop_tokens(fields, model, answer.stop_tokens);
  answer.ignore_end = fields.boolean("ignore_eos").value_or(false);
  answer.min_tokens =
      static_cast<std::uint32_t>(fields.integer("min_tokens", 0, kMostTokens).value_or(0));
  if (fields.boolean("include_stop_str_in_output").value_or(false)) {
    answer.shown_stops = answer.stops.size();
  }
}

void read_stream(Fields& fields, CompletionRequest& request) {
  request.stream = fields.boolean("stream").value_or(false);
  const json::object* options = fields.object("stream_options");
  if (options == nullptr) return;
  Fields nested(*options, "stream_options.");
  request.include_usage = nested.boolean("include_usage").value_or(false);
  request.continuous_usage = nested.boolean("continuous_usage_stats").value_or(false);
  if (request.continuous_usage && !request.include_usage) {
    nested.fail("continuous_usage_stats", "include_usage to be true beside it, found it not");
  }
  nested.accept({"include_obfuscation"});
  if (request.include_usage && !request.stream) {
    fields.fail("stream_options", "stream to be true beside it, found it not");
  }
  if (auto error = nested.error()) fields.fail(std::move(*error));
}

void read_choices(Fields& fields, CompletionRequest& request) {
  request.choices = static_cast<std::uint32_t>(fields.integer("n", 1, kMostChoices).value_or(1));
  // All that are made are given: nothing to choose from.
  const auto best_of = fields.integer("best_of", 1, kMostChoices).value_or(1);
  if (best_of == 1 || best_of == request.choices) return;
  fields.fail({400,
               "best_of: expected 1 or n (" + std::to_string(request.choices) + "), found " +
                   std::to_string(best_of) + ": nothing is chosen from more than are given",
               "invalid_request_error", "best_of", "unsupported_parameter"});
}

// What other servers can do and clients send at its default: any other value would ask for more.
void read_neutral(Fields& fields) {
  fields.string("cache_salt");
  static const json::object kNeutral{{"skip_special_tokens", true},
                                     {"spaces_between_special_tokens", true},
                                     {"detokenize", true},
                                     {"include_reasoning", true},
                                     {"return_tokens_as_token_ids", false},
                                     {"return_token_ids", false},
                                     {"use_beam_search", false},
                                     {"early_stopping", false},
                                     {"length_penalty", 1},  // of vLLM; those below of llama.cpp
                                     {"typical_p", 1},
                                     {"mirostat", 0},
                                     {"dry_multiplier", 0},
                                     {"xtc_probability", 0},
                                     {"dynatemp_range", 0},
                                     {"n_keep", 0},
                                     {"id_slot", -1},
                                     {"timings_per_token", false},
                                     {"return_progress", false},
                                     {"post_sampling_probs", false}};
  fields.accept_only(kNeutral);
  fields.refuse({"bad_words", "grammar"});
}

}  // namespace

void read_model(Fields& fields, const ServedModel& model) {
  const auto name = fields.string("model");
  if (!name || model.answers_to(*name)) return;
  fields.fail(
      {404,
       "model: no model \"" + shortened(*name) + "\" here; this server has \"" + model.id + "\"",
       "not_found_error", "model", "model_not_found"});
}

int read_priority(Fields& fields, const CompletionDefaults& defaults) {
  return static_cast<int>(fields.integer("priority", -100, defaults.most_priority).value_or(0));
}

std::optional<std::chrono::milliseconds> read_deadline(Fields& fields,
                                                       const CompletionDefaults& defaults) {
  std::optional<std::chrono::milliseconds> deadline = defaults.most_time;
  if (const auto wanted = fields.integer("deadline_ms", 1, 86'400'000)) {
    const std::chrono::milliseconds own(*wanted);
    deadline = std::min(deadline.value_or(own), own);
  }
  return deadline;
}

void read_common(Fields& fields, const ServedModel& model, const CompletionDefaults& defaults,
                 CompletionRequest& request) {
  request.created = defaults.created;
  read_model(fields, model);
  read_sampling(fields, model, defaults, request.answer);
  read_stream(fields, request);
  read_choices(fields, request);
  request.priority = read_priority(fields, defaults);
  request.deadline = read_deadline(fields, defaults);
  fields.accept({"user", "metadata", "store", "service_tier", "safety_identifier",
                 "prompt_cache_key", "prompt_cache_retention", "cache_prompt"});
  read_neutral(fields);
}

std::optional<std::vector<TokenId>> read_tokens(const json::array& values,
                                                const text::Tokenizer& tokenizer) {
  std::vector<TokenId> tokens;
  for (const json::value& value : values) {
    json::error_code code;
    const auto token = value.is_number() ? value.to_number<std::int64_t>(code) : -1;
    if (code || token < 0 || token >= static_cast<std::int64_t>(tokenizer.vocab_size())) {
      return std::nullopt;
    }
    tokens.push_back(static_cast<TokenId>(token));
  }
  return tokens;
}

ApiError too_long(std::string_view param, const std::string& message) {
  return {400, message, "invalid_request_error", std::string(param), "context_length_exceeded"};
}

void check_room(Fields& fields, const CompletionRequest& request, const char* param,
                const CompletionDefaults& defaults) {
  const std::uint32_t context = defaults.context;
  const std::size_t answers = request.prompts.size() * request.choices;
  if (answers > defaults.most_answers) {
    fields.fail("n", "at most " + std::to_string(defaults.most_answers) +
                         " answers in all, found " + std::to_string(answers));
  }
  if (const auto most = request.answer.max_tokens; most && request.answer.min_tokens > *most) {
    fields.fail("min_tokens", "at most " + std::to_string(*most) +
                                  ", which is all that the answer may have here, found " +
                                  std::to_string(request.answer.min_tokens));
  }
  // Even before no token the engine asks for the room of one.
  const std::uint32_t answer =
      std::max({request.answer.max_tokens.value_or(1), request.answer.min_tokens, 1u});
  for (const auto& prompt : request.prompts) {
    const std::uint64_t wanted = std::uint64_t{prompt.size()} + answer;
    if (wanted <= context) continue;
    fields.fail(too_long(param, "this model's maximum context length is " +
                                    std::to_string(context) + " tokens, but the request asks for " +
                                    std::to_string(wanted) + ": " + std::to_string(prompt.size()) +
                                    " of the prompt and " + std::to_string(answer) +
                                    " of the answer; shorten one of them"));
  }
}

std::optional<std::uint32_t> max_tokens(Fields& fields, std::string_view name,
                                        const CompletionDefaults& defaults) {
  const auto found = fields.integer(name, -1, kMostTokens);
  if (!found) return std::nullopt;
  if (*found < 0) return kAllThatFit;
  if (defaults.most_tokens && *found > *defaults.most_tokens) {
    fields.fail(name, "at most " + std::to_string(*defaults.most_tokens) +
                          ", which is the limit of this server (max-answer), found " +
                          std::to_string(*found) + "; ask for fewer");
  }
  return static_cast<std::uint32_t>(*found);
}

std::optional<std::uint32_t> default_tokens(std::optional<std::uint32_t> wanted,
                                            const CompletionDefaults& defaults) {
  if (!defaults.most_tokens) return wanted;
  return std::min(wanted.value_or(*defaults.most_tokens), *defaults.most_tokens);
}

}  // namespace tern::serve
