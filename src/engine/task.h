// A request to the scheduler, and what becomes of it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "arch/decoder_config.h"
#include "core/result.h"
#include "engine/answer.h"
#include "engine/pooler.h"
#include "engine/sequence.h"

namespace tern::engine {

using Clock = std::chrono::steady_clock;

// What a request's owner is told: a piece at a time, the last of which has an end, or a failure.
struct Update {
  Answer::Piece piece;
  // Before the first piece, of the prompt's tokens behind the first in their order: as many at a
  // time as were computed.
  std::vector<std::vector<TokenLogprob>> prompt_logprobs = {};
  std::vector<float> pooled = {};  // with kPooled: not brought to length 1
  std::optional<Error> failed = {};
  std::uint32_t prompt_tokens = 0;  // with the last: those of the prompt that were computed

  bool last() const { return failed || piece.end; }
};

struct Request {
  std::vector<text::TokenId> prompt;
  AnswerOptions answer;
  // Of each token of the prompt, and of so many others beside it: costs all logits of all of them.
  std::optional<std::uint32_t> prompt_logprobs = {};
  // Instead of an answer: the hidden states of the prompt, pooled. `answer` is not looked at.
  std::optional<arch::Pooling> pooling = {};
  int priority = 0;          // the higher goes first
  std::string account = {};  // whose it is: of one priority, accounts share the places
  // Submitted from the last update of another, whose place it takes: neither a full queue nor
  // Engine::close() refuses it.
  bool follows = false;
  bool counts = true;  // among what is counted and measured of requests; a probe is nobody's
  std::optional<Clock::time_point> deadline = {};
  std::stop_token cancel = {};
  // Called by the scheduler's thread, which it must not keep waiting.
  std::function<void(const Update&)> on_update;
};

// A request that a scheduler has prepared: tokens that a sequence must compute, and what they
// became.
struct Task {
  Task(Request made, Answer begun) : request(std::move(made)), answer(std::move(begun)) {}

  Request request;
  Answer answer;
  std::uint64_t order = 0;           // in which they came; once it started, in which they did
  std::optional<Sequence> sequence;  // while it runs
  std::optional<Pooler> pooler;      // then, too, where states are asked for
  std::uint32_t share = 0;           // of the tokens of the step at hand
  std::uint32_t passed_over = 0;     // steps since it last had one, of a prompt
  bool decoded = false;              // in that step
  bool started = false;              // it has had its place once, and may wait for it again
  bool over = false;                 // its owner was told the end
  Clock::time_point arrived = Clock::now();

  void start(Sequence made) {
    sequence.emplace(std::move(made));
    if (request.pooling) pooler.emplace(*request.pooling, sequence->model().config().hidden);
  }
  bool is_senior_to(const Task& other) const {
    if (request.priority != other.request.priority) {
      return request.priority > other.request.priority;
    }
    return started != other.started ? started : order < other.order;
  }
  std::uint32_t tokens() const { return static_cast<std::uint32_t>(answer.tokens().size()); }
  std::uint32_t computed() const {
    return sequence ? static_cast<std::uint32_t>(sequence->tokens().size()) : 0;
  }
  std::uint32_t pending() const { return tokens() - computed(); }
  bool decodes() const { return !request.pooling && computed() > 0 && pending() == 1; }
  bool scores() const { return request.prompt_logprobs && answer.unscored() > 0; }
  std::uint32_t pages() { return sequence ? sequence->cache().pages() : 0; }
  // What its tokens and the one after them take.
  std::uint32_t wanted_pages() const {
    return backend::KvPool::pages_for(tokens() + (request.pooling ? 0 : 1));
  }
  // Beyond what it has.
  std::uint32_t missing_pages() { return wanted_pages() - std::min(wanted_pages(), pages()); }
};

}  // namespace tern::engine
