#include "serve/completion.h"

#include <boost/json/serialize.hpp>
#include <chrono>
#include <functional>
#include <utility>

#include "serve/logprobs_json.h"

namespace tern::serve {

namespace json = boost::json;
using engine::EndReason;

namespace {

json::object usage_json(std::uint64_t prompt, std::uint64_t completion) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion}};
}

}  // namespace

std::string_view finish_reason(EndReason end) {
  switch (end) {
    case EndReason::kEndOfSequence:
    case EndReason::kStopString: return "stop";
    case EndReason::kMaxTokens:
    case EndReason::kContextFull: return "length";
    case EndReason::kCancelled: return "cancelled";
    case EndReason::kDeadline: return "deadline";
    case EndReason::kPooled: break;  // of no answer
  }
  return "stop";
}

engine::Request choice_request(const CompletionRequest& request, std::size_t index) {
  engine::Request choice;
  choice.prompt = request.prompts[index / request.choices];
  choice.answer = request.answer;
  choice.answer.sampling.seed += index % request.choices;
  choice.priority = request.priority;
  return choice;
}

Completion::Completion(std::shared_ptr<Call> call, const ServedModel& model, engine::Engine& engine,
                       const Latency& latency, CompletionRequest request,
                       std::optional<EventId> resume)
    : call_(std::move(call)),
      model_(model),
      engine_(engine),
      latency_(latency),
      request_(std::move(request)),
      resume_(std::move(resume)),
      choices_(choice_count()) {
  event_.completion = resume_
                          ? resume_->completion
                          : (request_.chat ? "chatcmpl-" : "cmpl-") + random_hex(8) + model_.mark();
  event_.seed = request_.answer.sampling.seed;
  event_.created = request_.created;
  event_.sent.assign(choices_.size(), 0);
  for (Choice& choice : choices_) choice.logprobs = no_logprobs(request_.chat);
}

void Completion::start() {
  on_gone_.emplace(call_->gone(), [stop = stop_]() mutable { stop.request_stop(); });
  const std::lock_guard lock(mutex_);  // pieces wait until all are submitted
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (const auto taken = submit(i); !taken) {
      over_ = true;
      stop_.request_stop();
      return turn_away(*call_, engine_, api_error(taken.error()));
    }
  }
  call_->charge_prompt(prompt_tokens());
  if (request_.stream) send_first();
}

Result<void> Completion::submit(std::size_t index) {
  engine::Request request = choice_request(request_, index);
  if (request_.deadline) request.deadline = call_->arrived() + *request_.deadline;
  request.cancel = stop_.get_token();
  request.on_update = [self = shared_from_this(), index](const engine::Update& update) {
    self->take(index, update);
  };
  return engine_.submit(std::move(request));
}

void Completion::take(std::size_t index, const engine::Update& update) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  if (update.failed) return fail(api_error(*update.failed));
  // Nobody but the server cancels what a client still waits for.
  if (update.piece.end == EndReason::kCancelled && !call_->gone().stop_requested()) {
    return fail(draining());
  }
  Choice& choice = choices_[index];
  if (update.piece.token) note_token(choice);
  choice.end = update.piece.end;
  if (!request_.stream || call_->logs_content()) choice.text += update.piece.text;
  if (call_->logs_content() && update.piece.token) choice.ids.push_back(*update.piece.token);
  if (request_.stream) {
    send_piece(index, update.piece);
  } else if (!update.piece.logprobs.empty()) {
    keep_logprobs(choice, update.piece);
  }
  if (update.piece.end && ++ended_ == choices_.size()) finish();
}

void Completion::note_token(Choice& choice) {
  const auto now = std::chrono::steady_clock::now();
  const std::chrono::duration<double> seconds =
      now - (choice.tokens == 0 ? call_->arrived() : choice.last_token);
  (choice.tokens == 0 ? latency_.first_token : latency_.between_tokens).observe(seconds.count());
  choice.last_token = now;
  ++choice.tokens;
  call_->charge_generated(1);
}

// For the log: how much it was and, where the operator asked for it, what.
void Completion::note_answer() {
  call_->note("prompt_tokens", prompt_tokens());
  call_->note("generated_tokens", generated_tokens());
  if (!call_->logs_content()) return;
  json::array answers;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    json::array ids;
    for (const text::TokenId id : choice.ids) ids.push_back(id);
    answers.push_back({{"index", i},
                       {"tokens", std::move(ids)},
                       {"text", choice.text},
                       {"finish_reason", choice.end ? json::value(finish_reason(*choice.end))
                                                    : json::value(nullptr)}});
  }
  call_->note("choices", telemetry::JsonText{json::serialize(answers)});
}

void Completion::fail(const ApiError& error) {
  over_ = true;
  stop_.request_stop();
  note_answer();
  if (!request_.stream) return call_->fail(error);
  call_->event("", json::serialize(to_json(error)));
  call_->end_events();
}

json::object Completion::envelope(bool chunk) const {
  const char* object = !request_.chat ? "text_completion"
                       : chunk        ? "chat.completion.chunk"
                                      : "chat.completion";
  return {{"id", event_.completion},
          {"object", object},
          {"created", request_.created},
          {"model", model_.id},
          {"system_fingerprint", model_.fingerprint},
          {"seed", event_.seed}};
}

std::uint64_t Completion::prompt_tokens() const {
  std::uint64_t count = 0;
  for (const auto& tokens : request_.prompts) count += tokens.size();
  return count;
}

std::uint64_t Completion::generated_tokens() const {
  std::uint64_t count = 0;
  for (const Choice& choice : choices_) count += choice.tokens;
  return count;
}

json::object Completion::usage() const { return usage_json(prompt_tokens(), generated_tokens()); }

// Of one choice alone: that of all would depend on how far the others happen to be.
json::object Completion::usage_of(std::size_t index) const {
  return usage_json(request_.prompts[index / request_.choices].size(), choices_[index].tokens);
}

json::object Completion::choice_chunk(std::size_t index, std::string_view text,
                                      json::value logprobs, std::optional<EndReason> end) const {
  json::object choice{{"index", index}};
  if (request_.chat) {
    choice["delta"] = text.empty() ? json::object{} : json::object{{"content", text}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = end ? json::value(finish_reason(*end)) : json::value(nullptr);
  return choice;
}

// Before any token, so that who is cut off knows the seed.
void Completion::send_first() {
  call_->begin_events();
  json::object chunk = envelope(true);
  json::array choices;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    json::object choice = choice_chunk(i, "", nullptr, std::nullopt);
    if (request_.chat) choice["delta"] = {{"role", "assistant"}, {"content", ""}};
    if (!request_.chat) choice["text"] = request_.echoes[i / request_.choices];
    choices.push_back(std::move(choice));
  }
  chunk["choices"] = std::move(choices);
  if (!resume_) send(std::move(chunk), usage());
}

void Completion::send_piece(std::size_t index, const engine::Answer::Piece& piece) {
  Choice& choice = choices_[index];
  json::value logprobs = logprobs_of(choice, piece);
  const bool counts = piece.token || piece.end != EndReason::kDeadline;
  if (counts && is_new(index) && !(piece.text.empty() && logprobs.is_null())) {
    json::object chunk = envelope(true);
    chunk["choices"] =
        json::array{choice_chunk(index, piece.text, std::move(logprobs), std::nullopt)};
    send(std::move(chunk), usage_of(index));
  }
  if (!piece.end) return;
  // The end is an event of its own, as OpenAI's clients expect it. A deadline is no part of the
  // answer: who goes on after it finds what follows.
  if (piece.end != EndReason::kDeadline && !is_new(index)) return;
  json::object chunk = envelope(true);
  chunk["choices"] = json::array{choice_chunk(index, "", nullptr, piece.end)};
  send(std::move(chunk), usage_of(index));
}

// Counts an event of the choice, and says whether the client has not seen it.
bool Completion::is_new(std::size_t index) {
  return ++event_.sent[index] > (resume_ ? resume_->sent[index] : 0);
}

void Completion::send(json::object body, json::object so_far) {
  if (request_.continuous_usage) {
    body["usage"] = std::move(so_far);
  } else if (request_.include_usage) {
    body["usage"] = nullptr;
  }
  call_->event(event_.to_string(), json::serialize(body));
}

json::value Completion::logprobs_of(Choice& choice, const engine::Answer::Piece& piece) const {
  if (piece.logprobs.empty()) return nullptr;
  if (!request_.chat) return text_logprobs(model_.tokenizer, piece.logprobs, choice.offset);
  return json::object{{"content", json::array{chat_logprobs(model_.tokenizer, piece.logprobs)}},
                      {"refusal", nullptr}};
}

void Completion::keep_logprobs(Choice& choice, const engine::Answer::Piece& piece) const {
  json::value found = logprobs_of(choice, piece);
  json::object& own = found.get_object();
  for (auto& field : choice.logprobs) {
    if (!field.value().is_array()) continue;
    field.value().get_array().push_back(std::move(own.at(field.key()).get_array()[0]));
  }
}

json::object Completion::whole_choice(std::size_t index) {
  Choice& choice = choices_[index];
  json::object body{{"index", index}};
  if (request_.chat) {
    body["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  } else {
    body["text"] = request_.echoes[index / request_.choices] + choice.text;
  }
  body["logprobs"] = nullptr;
  if (request_.answer.logprobs) body["logprobs"] = std::move(choice.logprobs);
  body["finish_reason"] = finish_reason(*choice.end);
  return body;
}

void Completion::finish() {
  over_ = true;
  note_answer();
  if (request_.stream) {
    if (request_.include_usage) {
      json::object chunk = envelope(true);
      chunk["choices"] = json::array();
      chunk["usage"] = usage();
      call_->event(event_.to_string(), json::serialize(chunk));
    }
    call_->event("", "[DONE]");
    return call_->end_events();
  }
  if (call_->gone().stop_requested()) {
    return call_->fail({499, "the client closed the connection before the answer was there",
                        "invalid_request_error", "", "client_closed_request"});
  }
  json::object body = envelope(false);
  json::array choices;
  for (std::size_t i = 0; i < choices_.size(); ++i) choices.push_back(whole_choice(i));
  body["choices"] = std::move(choices);
  body["usage"] = usage();
  call_->reply(body);
}

}  // namespace tern::serve
