#include "serve/replay.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "serve/completion.h"
#include "serve/completion_request.h"
#include "serve/token_requests.h"
#include "text/utf8.h"

namespace tern::serve {

namespace json = boost::json;
using text::TokenId;

namespace {

// ---- The model

// "tern-VERSION-KV-CONTENT"; of a chat ".TEMPLATE" behind it, which stands in a field of its own
struct Fingerprint {
  std::string program;  // "tern-VERSION"
  std::string kv;
  std::string content;
};

Fingerprint parts_of(const std::string& fingerprint) {
  const std::size_t content = fingerprint.rfind('-');
  if (content == std::string::npos || content == 0) return {fingerprint, {}, {}};
  const std::size_t kv = fingerprint.rfind('-', content - 1);
  if (kv == std::string::npos) return {fingerprint, {}, {}};
  const std::string last = fingerprint.substr(content + 1);
  return {fingerprint.substr(0, kv), fingerprint.substr(kv + 1, content - kv - 1),
          last.substr(0, last.find('.'))};
}

// Why the bits may be others; empty where they must not.
std::string mismatch(const LoggedRequest& logged, const ServedModel& model) {
  const Fingerprint then = parts_of(logged.fingerprint);
  const Fingerprint now = parts_of(model.fingerprint);
  if (then.content != now.content) {
    return "another model answered it: its content is " + then.content + ", that of this one " +
           now.content;
  }
  if (then.kv != now.kv) {
    return "its keys and values were " + then.kv + ", here they are " + now.kv +
           "; start with --kv " + then.kv;
  }
  if (then.program != now.program) {
    return "another version answered it: " + then.program + ", this is " + now.program;
  }
  const std::string here = "sha256:" + model.chat_template_sha256;
  if (!logged.chat_template.empty() && !model.chat_template_sha256.empty() &&
      logged.chat_template != here) {
    return "another chat template made its prompt; name that one with --chat-template";
  }
  return {};
}

std::variant<CompletionRequest, ApiError> read_request(const LoggedRequest& logged,
                                                       const ServedModel& model) {
  auto body = parse_body(logged.body);
  if (auto* error = std::get_if<ApiError>(&body)) return std::move(*error);
  ServedModel called = model;
  called.also.push_back(logged.model);
  CompletionDefaults defaults;
  defaults.max_tokens = logged.max_tokens;
  defaults.context = logged.context;
  defaults.most_priority = 100;
  defaults.seed = logged.seed;
  defaults.created = logged.created;
  const auto& object = std::get<json::object>(body);
  return logged.path == "/v1/chat/completions" ? read_chat_request(object, called, defaults)
                                               : read_completion_request(object, called, defaults);
}

// ---- The answer

struct Given {
  LoggedChoice choice;
  std::optional<Error> failed;
  bool over = false;
};

// Waits for the answers of an engine.
class Owner {
 public:
  explicit Owner(std::size_t choices) : answers_(choices) {}

  void hear(std::size_t index, const engine::Update& update) {
    const std::lock_guard lock(mutex_);
    Given& answer = answers_[index];
    answer.choice.text += update.piece.text;
    if (update.piece.token) answer.choice.tokens.push_back(*update.piece.token);
    if (update.piece.end) answer.choice.finish_reason = finish_reason(*update.piece.end);
    answer.failed = update.failed;
    answer.over = update.last();
    changed_.notify_all();
  }
  void fail(std::size_t index, Error error) {
    const std::lock_guard lock(mutex_);
    answers_[index].failed = std::move(error);
    answers_[index].over = true;
  }
  const std::vector<Given>& wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] {
      return std::all_of(answers_.begin(), answers_.end(), [](const auto& a) { return a.over; });
    });
    return answers_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Given> answers_;
};

bool was_cut(const LoggedChoice& choice) {
  return choice.finish_reason != "stop" && choice.finish_reason != "length";
}

// As much as was logged, and no more.
void submit(engine::Engine& engine, const CompletionRequest& request, const LoggedRequest& logged,
            Owner& owner) {
  for (std::size_t i = 0; i < logged.choices.size(); ++i) {
    engine::Request choice = choice_request(request, i);
    choice.prompt_logprobs.reset();  // the log has none
    const std::size_t prompt = choice.prompt.size();
    std::size_t most =
        logged.max_tokens.value_or(logged.context - std::min<std::size_t>(prompt, logged.context));
    if (was_cut(logged.choices[i])) most = logged.choices[i].tokens.size();
    choice.answer.max_tokens = static_cast<std::uint32_t>(most);
    choice.on_update = [&owner, i](const engine::Update& update) { owner.hear(i, update); };
    if (const auto taken = engine.submit(std::move(choice)); !taken) owner.fail(i, taken.error());
  }
}

std::string shown(const std::vector<TokenId>& tokens, std::size_t at, const ServedModel& model) {
  if (at >= tokens.size()) return "nothing";
  const auto token = static_cast<std::size_t>(tokens[at]);
  if (token >= model.tokenizer.vocab_size()) return std::to_string(tokens[at]);
  return std::to_string(tokens[at]) + " \"" +
         text::replace_invalid_utf8(model.tokenizer.token_bytes(tokens[at])) + "\"";
}

std::string difference(const LoggedChoice& then, const LoggedChoice& now,
                       const ServedModel& model) {
  const auto [a, b] =
      std::mismatch(then.tokens.begin(), then.tokens.end(), now.tokens.begin(), now.tokens.end());
  if (a != then.tokens.end() || b != now.tokens.end()) {
    const auto at = static_cast<std::size_t>(a - then.tokens.begin());
    return "token " + std::to_string(at) + " was " + shown(then.tokens, at, model) +
           ", here it is " + shown(now.tokens, at, model);
  }
  if (was_cut(then)) return {};
  if (then.finish_reason != now.finish_reason) {
    return "it ended with " + then.finish_reason + ", here with " + now.finish_reason;
  }
  return then.text == now.text ? "" : "the same tokens made another text";
}

// Nothing to compare: a client that left, or a deadline, was there before the first token.
bool is_without_tokens(const LoggedRequest& logged) {
  return std::all_of(logged.choices.begin(), logged.choices.end(),
                     [](const auto& choice) { return was_cut(choice) && choice.tokens.empty(); });
}

Replay not_replayed(std::string why) { return {Replay::Outcome::kNotReplayed, std::move(why)}; }

}  // namespace

Replay replay(const LoggedRequest& logged, const ServedModel& model, engine::Engine& engine) {
  if (std::string why = mismatch(logged, model); !why.empty()) return not_replayed(std::move(why));
  if (logged.context > engine.context()) {
    return not_replayed("it had a context of " + std::to_string(logged.context) +
                        " tokens, here there are " + std::to_string(engine.context()) +
                        "; give more with --kv-memory");
  }
  auto read = read_request(logged, model);
  if (const auto* error = std::get_if<ApiError>(&read)) {
    return not_replayed("its body is refused here: " + error->message);
  }
  const auto& request = std::get<CompletionRequest>(read);
  if (request.prompts.size() * request.choices != logged.choices.size()) {
    return not_replayed("its body asks for " +
                        std::to_string(request.prompts.size() * request.choices) +
                        " answers, but " + std::to_string(logged.choices.size()) + " were logged");
  }
  if (is_without_tokens(logged)) return not_replayed("it ended before its first token");
  Owner owner(logged.choices.size());
  submit(engine, request, logged, owner);
  const std::vector<Given>& answers = owner.wait();
  Replay found;
  found.choices = answers.size();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].failed) return not_replayed(answers[i].failed->to_string());
    found.tokens += answers[i].choice.tokens.size();
    const std::string why = difference(logged.choices[i], answers[i].choice, model);
    if (why.empty() || !found.why.empty()) continue;
    found.outcome = Replay::Outcome::kDifferent;
    found.why = "choice " + std::to_string(i) + ": " + why;
  }
  return found;
}

}  // namespace tern::serve
