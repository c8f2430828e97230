// Completions on their way: the answers of one request to /v1/completions or /v1/chat/completions,
// from the engine to the client.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "serve/call.h"
#include "serve/completion_request.h"
#include "serve/logprobs_json.h"
#include "serve/served_model.h"

namespace tern::serve {

// In seconds, of choices.
struct Latency {
  telemetry::Histogram& first_token;     // from the request's arrival
  telemetry::Histogram& between_tokens;  // of one choice
};

// "stop", "length": what OpenAI's clients call an end.
std::string_view finish_reason(engine::EndReason end);
// What the engine is asked for choice `index` of all, but for who hears of it and may cancel it.
engine::Request choice_request(const CompletionRequest& request, std::size_t index);

// Lives as long as the engine works on it. Any thread.
class Completion : public std::enable_shared_from_this<Completion> {
 public:
  // `resume`: what the client has seen of this answer already.
  Completion(std::shared_ptr<Call> call, const ServedModel& model, engine::Engine& engine,
             const Latency& latency, CompletionRequest request, std::optional<EventId> resume);

  // Hands the request to the engine; the reply comes by itself.
  void start();

 private:
  struct Choice {
    explicit Choice(bool chat) : logprobs(chat) {}
    std::string text;                // where the answer is sent whole, or logged
    std::vector<text::TokenId> ids;  // where it is logged
    std::uint32_t tokens = 0;
    std::uint32_t events = 0;  // of a stream, those that a client has seen already included
    std::chrono::steady_clock::time_point last_token{};
    std::optional<engine::EndReason> end;
    LogprobsText logprobs;   // of all tokens, where the answer is sent whole
    std::size_t offset = 0;  // in characters, of the next token's text
    std::size_t echoed = 0;  // tokens of the prompt among the logprobs
    bool begins = true;      // so does the text of the next token
  };

  std::size_t choice_count() const { return request_.prompts.size() * request_.choices; }
  void hand_over();  // mutex_ held, as for
  void hear(std::size_t index, const engine::Update& update);
  void give_up(const std::exception& thrown);
  Result<void> submit(std::size_t index);
  void take(std::size_t index, const engine::Update& update);
  void note_token(Choice& choice);
  std::string finish_reasons() const;
  void note_answer();
  // Of the next token of an echoed prompt; the first has none.
  void keep_echoed(std::size_t index, std::span<const engine::TokenLogprob> found);
  void fail(const ApiError& error);
  void send_first();
  void send_piece(std::size_t index, const engine::Answer::Piece& piece);
  bool has_seen_more(std::size_t index) const;
  bool has_seen_too_much() const;
  bool is_new(std::size_t index);
  void finish();
  // `so_far`: the usage, for clients that want it in each event.
  void send(boost::json::object body, boost::json::object so_far);

  boost::json::object envelope(bool chunk) const;
  std::uint64_t prompt_tokens() const;
  // With `answer` tokens of each answer, or fewer where it may have fewer.
  std::uint64_t most_tokens(std::uint64_t answer) const;
  void pay_prompt(std::size_t index, const engine::Update& update);
  std::uint64_t generated_tokens() const;
  boost::json::object usage() const;
  boost::json::object usage_of(std::size_t index) const;
  boost::json::value logprobs_of(Choice& choice, const engine::Answer::Piece& piece) const;
  std::size_t keep_logprobs(Choice& choice, const engine::Answer::Piece& piece) const;
  boost::json::object choice_chunk(std::size_t index, std::string_view text,
                                   boost::json::value logprobs,
                                   std::optional<engine::EndReason> end) const;
  void add_whole_choice(std::size_t index, std::string& body);
  std::string whole_body();

  const std::shared_ptr<Call> call_;
  const ServedModel& model_;
  engine::Engine& engine_;
  const Latency latency_;
  const CompletionRequest request_;
  const std::optional<EventId> resume_;
  EventId event_;
  std::stop_source stop_;
  std::optional<std::stop_callback<std::function<void()>>> on_gone_;

  std::mutex mutex_;
  std::vector<Choice> choices_;
  std::vector<std::size_t> paid_;  // tokens of each prompt, by what their key may use
  std::size_t ended_ = 0;
  std::size_t kept_bytes_ = 0;  // of the reply, where the answer is sent whole
  bool begun_ = false;          // a piece has come
  bool has_token_ = false;      // of any choice
  bool over_ = false;           // the reply is complete
};

}  // namespace tern::serve
