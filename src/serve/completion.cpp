#include "serve/completion.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <functional>
#include <utility>

#include "core/random_hex.h"

namespace tern::serve {

namespace json = boost::json;
using engine::EndReason;

namespace {

// The beginning of an answer of which the request does not say how long it may be: so many tokens
// have to be there for it. What is longer overdraws what a key may use.
constexpr std::uint64_t kBeginning = 64;

json::object usage_json(std::uint64_t prompt, std::uint64_t completion) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion}};
}

// As OpenAI's typed clients know it: another end is "length", and itself beside that.
void add_end(json::object& choice, EndReason end) {
  const std::string_view reason = finish_reason(end);
  const bool is_known = reason == "stop" || reason == "length";
  choice["finish_reason"] = json::value(is_known ? reason : "length");
  if (!is_known) choice["end_reason"] = json::value(reason);
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
  if (request.prompt_logprobs) choice.prompt_logprobs = request.answer.logprobs;
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
      choices_(choice_count(), Choice(request_.chat)),
      paid_(request_.prompts.size()) {
  event_.completion = resume_ ? resume_->completion
                              : (request_.chat ? "chatcmpl-" : "cmpl-") + random_hex(8) +
                                    request_mark(request_, engine.context()) + model_.mark();
  event_.seed = request_.answer.sampling.seed;
  event_.created = request_.created;
  event_.sent = resume_ ? resume_->sent : std::vector<std::uint32_t>(choices_.size(), 0);
  // As the engine has it; that of an echoed prompt is found token by token.
  for (std::size_t i = 0; !request_.prompt_logprobs && i < choices_.size(); ++i) {
    const auto& prompt = request_.prompts[i / request_.choices];
    choices_[i].begins = model_.tokenizer.is_special(prompt.back());
  }
  for (const std::string& echo : request_.echoes) kept_bytes_ += echo.size() * request_.choices;
  if (!request_.stream) return;
  chunk_ = json::serialize(envelope(true));
  chunk_.back() = ',';
  chunk_ += R"("choices":)";
}

void Completion::start() {
  on_gone_.emplace(call_->gone(), [stop = stop_]() mutable { stop.request_stop(); });
  const std::lock_guard lock(mutex_);  // pieces wait for the head of a stream
  try {
    hand_over();
  } catch (const std::exception& thrown) {
    give_up(thrown);
  }
}

void Completion::hand_over() {
  if (request_.prompt_logprobs) {
    for (std::size_t i = 0; i < choices_.size(); ++i) keep_echoed(i, {});
  }
  if (const auto error = call_->reserve(request_.stream ? 0 : kept_bytes_)) {
    return call_->fail(*error);
  }
  if (const auto error = call_->open_answers(choices_.size())) return call_->fail(*error);
  const std::uint64_t most = most_tokens(UINT64_MAX);
  const std::uint64_t least = request_.names_length ? most : most_tokens(kBeginning);
  if (const auto error = call_->reserve_tokens(most, least)) return call_->fail(*error);
  std::vector<engine::Request> all;
  for (std::size_t i = 0; i < choices_.size(); ++i) all.push_back(ask(i));
  if (const auto taken = engine_.submit(std::move(all)); !taken) {
    over_ = true;
    return turn_away(*call_, engine_, api_error(taken.error(), text_field()), choices_.size());
  }
  if (request_.stream) call_->begin_events();
}

engine::Request Completion::ask(std::size_t index) {
  engine::Request request = choice_request(request_, index);
  if (request_.deadline) request.deadline = call_->arrived() + *request_.deadline;
  request.account = call_->account();
  request.cancel = stop_.get_token();
  request.on_update = [self = shared_from_this(), index](const engine::Update& update) {
    self->take(index, update);
  };
  return request;
}

// The engine's thread answers others, too: what throws here ends this request alone.
void Completion::take(std::size_t index, const engine::Update& update) {
  const std::lock_guard lock(mutex_);
  if (over_) return;
  try {
    hear(index, update);
  } catch (const std::exception& thrown) {
    give_up(thrown);
  }
}

void Completion::give_up(const std::exception& thrown) {
  over_ = true;
  stop_.request_stop();
  call_->give_up(thrown);
}

void Completion::hear(std::size_t index, const engine::Update& update) {
  if (update.failed) return fail(api_error(*update.failed, text_field()));
  // Nobody but the server cancels what a client still waits for.
  if (update.piece.end == EndReason::kCancelled && !call_->gone().stop_requested()) {
    return fail(draining());
  }
  pay_prompt(index, update);
  for (const auto& found : update.prompt_logprobs) keep_echoed(index, found);
  Choice& choice = choices_[index];
  if (update.piece.token) note_token(choice);
  choice.end = update.piece.end;
  if (!request_.stream || call_->logs_content()) choice.text += update.piece.text;
  if (call_->logs_content() && update.piece.token) choice.ids.push_back(*update.piece.token);
  if (request_.stream) {
    send_piece(index, update.piece);
  } else {
    kept_bytes_ += update.piece.text.size() + keep_logprobs(choice, update.piece);
    if (const auto error = call_->reserve(kept_bytes_)) return fail(*error);
  }
  if (update.piece.end && ++ended_ == choices_.size()) finish();
}

// Once for all of its choices, with the first that comes of it. Of one that was cut short before
// that, what was computed: if it ended in the queue it costs nothing.
void Completion::pay_prompt(std::size_t index, const engine::Update& update) {
  const auto end = update.piece.end;
  const bool is_cut = end == EndReason::kDeadline || end == EndReason::kCancelled;
  const std::size_t prompt = index / request_.choices;
  const std::size_t came_to =
      is_cut && !update.piece.token ? update.prompt_tokens : request_.prompts[prompt].size();
  if (came_to <= paid_[prompt]) return;
  call_->count_prompt(came_to - paid_[prompt]);
  paid_[prompt] = came_to;
}

void Completion::note_token(Choice& choice) {
  const auto now = std::chrono::steady_clock::now();
  const std::chrono::duration<double> seconds =
      now - (choice.tokens == 0 ? call_->arrived() : choice.last_token);
  if (!std::exchange(has_token_, true)) call_->note("first_token_seconds", seconds.count());
  (choice.tokens == 0 ? latency_.first_token : latency_.between_tokens).observe(seconds.count());
  choice.last_token = now;
  ++choice.tokens;
  call_->count_generated(1);
}

// Of the choices that have ended, each that there is once: "stop,length".
std::string Completion::finish_reasons() const {
  std::string reasons;
  for (const std::string_view reason : {"stop", "length", "cancelled", "deadline"}) {
    const bool found = std::any_of(choices_.begin(), choices_.end(), [&](const Choice& choice) {
      return choice.end && finish_reason(*choice.end) == reason;
    });
    if (found) reasons.append(reasons.empty() ? "" : ",").append(reason);
  }
  return reasons;
}

// For the log: how much it was and, where the operator asked for it, what.
void Completion::note_answer() {
  call_->note("prompt_tokens", prompt_tokens());
  call_->note("generated_tokens", generated_tokens());
  if (std::string reasons = finish_reasons(); !reasons.empty()) {
    call_->note("finish_reason", std::move(reasons));
  }
  for (const Choice& choice : choices_) {
    if (choice.end) call_->count_end(finish_reason(*choice.end));
  }
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
  // Who goes on after an event has seen the first one.
  const std::string id = begun_ || resume_ ? event_.to_string() : "";
  call_->event(id, json::serialize(to_json(error)));
  call_->end_events(error);
}

json::object Completion::envelope(bool chunk) const {
  const char* object = !request_.chat ? "text_completion"
                       : chunk        ? "chat.completion.chunk"
                                      : "chat.completion";
  return {{"id", event_.completion},
          {"object", object},
          {"created", request_.created},
          {"model", model_.id},
          {"system_fingerprint", model_.fingerprint_of(request_.chat)},
          {"seed", event_.seed}};
}

std::uint64_t Completion::prompt_tokens() const {
  std::uint64_t count = 0;
  for (const auto& tokens : request_.prompts) count += tokens.size();
  return count;
}

// Of its prompts and of all answers, where none ends before it has to.
std::uint64_t Completion::most_tokens(std::uint64_t answer) const {
  std::uint64_t count = prompt_tokens();
  for (const auto& prompt : request_.prompts) {
    const std::uint64_t room =
        engine_.context() - std::min<std::size_t>(prompt.size(), engine_.context());
    const std::uint64_t most = request_.answer.max_tokens.value_or(room);
    count += request_.choices * std::min({answer, most, room});
  }
  return count;
}

std::uint64_t Completion::generated_tokens() const {
  std::uint64_t count = 0;
  for (const Choice& choice : choices_) count += choice.tokens;
  return count;
}

json::object Completion::usage() const { return usage_json(prompt_tokens(), generated_tokens()); }

json::object Completion::choice_chunk(std::size_t index, std::string_view text,
                                      json::value logprobs, std::optional<EndReason> end) const {
  json::object choice{{"index", index}};
  if (request_.chat) {
    choice["delta"] = text.empty() ? json::object{} : json::object{{"content", text}};
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = nullptr;
  if (end) add_end(choice, *end);
  return choice;
}

// Not before a piece is there: load generators take the first event for the first token.
void Completion::send_first() {
  json::array choices;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    json::object choice = choice_chunk(i, "", nullptr, std::nullopt);
    if (request_.chat) choice["delta"] = {{"role", "assistant"}, {"content", ""}};
    if (!request_.chat) choice["text"] = request_.echoes[i / request_.choices];
    choices.push_back(std::move(choice));
  }
  send(choices, prompt_tokens(), 0);
}

void Completion::send_piece(std::size_t index, const engine::Answer::Piece& piece) {
  if (!std::exchange(begun_, true) && !resume_) send_first();
  const auto send_chunk = [&](std::string_view text, json::value logprobs,
                              std::optional<EndReason> end) {
    // The usage of one choice alone: that of all would depend on how far the others happen to be.
    send({choice_chunk(index, text, std::move(logprobs), end)},
         request_.prompts[index / request_.choices].size(), choices_[index].tokens);
  };
  // A deadline is no part of the answer and its event does not count: who goes on after it finds
  // what follows. So what was held back until then is in that event, and comes again.
  if (piece.end == EndReason::kDeadline) {
    return send_chunk(has_seen_more(index) ? "" : piece.text, nullptr, piece.end);
  }
  json::value logprobs = logprobs_of(choices_[index], piece);
  if (is_new(index) && !(piece.text.empty() && logprobs.is_null())) {
    send_chunk(piece.text, std::move(logprobs), std::nullopt);
  }
  // The end is an event of its own, as OpenAI's clients expect it.
  if (piece.end && is_new(index)) send_chunk("", nullptr, piece.end);
}

// Than has been computed here.
bool Completion::has_seen_more(std::size_t index) const {
  return event_.sent[index] > choices_[index].events;
}

// Than all of an answer is: no server has sent that, and what was seen is not this answer.
bool Completion::has_seen_too_much() const {
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const auto end = choices_[i].end;
    const bool is_all = end != EndReason::kDeadline && end != EndReason::kCancelled;
    if (is_all && has_seen_more(i)) return true;
  }
  return false;
}

// Counts an event of the choice, and says whether the client has not seen it.
bool Completion::is_new(std::size_t index) {
  const std::uint32_t made = ++choices_[index].events;
  if (made <= event_.sent[index]) return false;
  event_.sent[index] = made;
  return true;
}

void Completion::send(const json::array& choices, std::uint64_t prompt, std::uint64_t completion) {
  std::string body = chunk_ + json::serialize(choices);
  if (request_.continuous_usage) {
    body += R"(,"usage":)" + json::serialize(usage_json(prompt, completion));
  } else if (request_.include_usage) {
    body += R"(,"usage":null)";
  }
  call_->event(event_.to_string(), body += '}');
}

json::value Completion::logprobs_of(Choice& choice, const engine::Answer::Piece& piece) const {
  if (piece.logprobs.empty()) return nullptr;
  // What ended an answer is none of its tokens, but evaluation harnesses count on a token behind
  // the prompt.
  if (!piece.token && !request_.prompt_logprobs) return nullptr;
  if (!request_.chat) {
    const text::TokenId token = piece.logprobs[0].token;
    return text_logprobs(model_.tokenizer, token, piece.logprobs, next_offset(choice, token));
  }
  return json::object{{"content", json::array{chat_logprobs(model_.tokenizer, piece.logprobs)}},
                      {"refusal", nullptr}};
}

void Completion::keep_echoed(std::size_t index, std::span<const engine::TokenLogprob> found) {
  Choice& choice = choices_[index];
  const text::TokenId token = request_.prompts[index / request_.choices][choice.echoed++];
  kept_bytes_ += choice.logprobs.add(
      text_logprobs(model_.tokenizer, token, found, next_offset(choice, token)));
  if (choice.echoed == request_.prompts[index / request_.choices].size()) choice.offset.end();
}

std::size_t Completion::next_offset(Choice& choice, text::TokenId token) const {
  return choice.offset.next(model_.tokenizer.text_of(token, choice.begins, false));
}

// Returns how many bytes of the reply they are.
std::size_t Completion::keep_logprobs(Choice& choice, const engine::Answer::Piece& piece) const {
  const json::value found = logprobs_of(choice, piece);
  return found.is_null() ? 0 : choice.logprobs.add(found.get_object());
}

void Completion::add_whole_choice(std::size_t index, std::string& body) {
  Choice& choice = choices_[index];
  if (request_.prompt_logprobs) {  // all of it stands in the text, though a deadline came before
    const std::size_t tokens = request_.prompts[index / request_.choices].size();
    while (choice.echoed < tokens) keep_echoed(index, {});
  }
  json::object begin{{"index", index}};
  if (request_.chat) {
    begin["message"] = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  } else {
    begin["text"] = request_.echoes[index / request_.choices] + choice.text;
  }
  body += json::serialize(begin);
  body.back() = ',';  // goes on
  body += R"("logprobs":)";
  if (request_.answer.logprobs) {
    choice.logprobs.move_to(body);
  } else {
    body += "null";
  }
  json::object end;
  add_end(end, *choice.end);
  body += ',' + json::serialize(end).substr(1);
}

// As text at once: what is kept is most of it.
std::string Completion::whole_body() {
  std::string body = json::serialize(envelope(false));
  body.reserve(body.size() + kept_bytes_ + choices_.size() * 128);
  body.back() = ',';
  body += R"("choices":[)";
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (i > 0) body += ',';
    add_whole_choice(i, body);
  }
  return body += R"(],"usage":)" + json::serialize(usage()) + "}\n";
}

void Completion::finish() {
  if (has_seen_too_much()) {
    return fail({400, "Last-Event-ID: expected the id of an event of this answer, which has fewer",
                 "invalid_request_error", "Last-Event-ID"});
  }
  over_ = true;
  note_answer();
  const bool left = call_->gone().stop_requested();
  if (request_.stream) {
    if (request_.include_usage) {
      call_->event(event_.to_string(), chunk_ + R"([],"usage":)" + json::serialize(usage()) + "}");
    }
    call_->event(event_.to_string(), "[DONE]");
    return left ? call_->end_events(client_left()) : call_->end_events();
  }
  if (left) return call_->fail(client_left());
  call_->reply_text("application/json", whole_body());
}

}  // namespace tern::serve
