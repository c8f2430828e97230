// Continuous batching: many answers at once over one stepper.
//
// In each step every request that has its prompt behind it gets its next token, and prompts share
// what room is left. A place that is free goes to the highest priority, of those to the account
// that has the fewest places, or whose last turn is longest ago, and there to who came first. Those
// that have a place are senior to each other by priority, then by when they first had it: a senior
// one that needs pages takes them from the most junior, which waits, before those that had none,
// and is computed again later: it loses no token. What shares a step with what, and who was set
// back, changes no answer.
//
// One thread at a time, but for prepare(), which any thread may call. Model, tokenizer and
// telemetry outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "engine/step_pace.h"
#include "engine/task.h"
#include "telemetry/telemetry.h"
#include "text/tokenizer.h"

namespace tern::engine {

struct SchedulerOptions {
  std::uint32_t rows = 256;      // most tokens of a step
  std::uint32_t beside = 64;     // most tokens of prompts in a step in which others wait for theirs
  double stretch = 2.6;          // and how much longer than without them such a step may be
  std::uint32_t scored = 0;      // most of a step of which all logits are wanted, of prompts; 0:
                                 // most_logit_rows()
  std::uint32_t sequences = 64;  // that are computed at once; fewer than rows
  std::uint32_t pages = 0;       // for keys and values, of backend::KvPool::kPageTokens tokens each
  std::uint32_t context = 0;     // most tokens of a request; 0: what the model was trained for
  std::uint64_t available_memory = std::numeric_limits<std::uint64_t>::max();
  format::KvType kv_type = format::KvType::kF16;
};

class Scheduler {
 public:
  // Errors: kUsage for options that contradict each other, kOutOfMemory.
  static Result<std::unique_ptr<Scheduler>> create(const model::Model& model,
                                                   const text::Tokenizer& tokenizer,
                                                   const SchedulerOptions& options,
                                                   telemetry::Telemetry& telemetry);
  ~Scheduler();

  // Most tokens of a request, prompt and answer: what is asked for and what the pages hold.
  std::uint32_t context() const { return context_; }

  // Errors: those of Answer::create; kContextLength for a prompt that leaves no room for a token,
  // or of which states are asked for and that is longer than the context; kUsage for a token
  // outside of the vocabulary.
  Result<std::unique_ptr<Task>> prepare(Request request) const;
  void add(std::unique_ptr<Task> task);

  // Ends what was cancelled or is late, and starts what there is room for.
  void admit();
  // Admits, says so, computes one step and tells owners what it brought.
  void step(const std::function<void()>& admitted = {});
  // Ends all requests.
  void cancel_all();

  // Most requests that are computed at once.
  std::uint32_t places() const { return options_.sequences; }
  std::size_t running() const { return running_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  // Those that ended, of those that count, of which something was computed.
  std::uint64_t answered() const { return answered_; }
  bool idle() const { return running_.empty() && waiting_.empty(); }
  const backend::KvPool& pool() const { return stepper_->pool(); }

 private:
  using Tasks = std::vector<std::unique_ptr<Task>>;  // by seniority

  Scheduler(const text::Tokenizer& tokenizer, const SchedulerOptions& options,
            std::unique_ptr<Stepper> stepper, telemetry::Telemetry& telemetry);

  void drop_ended(Tasks& tasks);
  void note_start(Task& task);
  bool has_room(const Task& task, std::size_t running, std::uint32_t free_pages) const;
  bool make_room(const Task& task);
  std::size_t next() const;
  void start(std::unique_ptr<Task> task);
  std::uint32_t unpromised_pages(std::size_t running, std::uint32_t free_pages) const;
  void set_back_most_junior();
  void share_rows();
  bool take_pages(std::size_t index);
  void compute();
  void note_pace(Clock::duration took);
  void take_scores(Task& task);
  template <typename Work>
  void ending_alone(Task& task, const Work& work);
  void take_piece(Task& task);
  void take_states(Task& task);
  void end(Task& task, EndReason reason);
  void fail(Task& task, Error error);
  void tell(Task& task, Update update);

  const text::Tokenizer& tokenizer_;
  SchedulerOptions options_;
  std::uint32_t context_;
  std::unique_ptr<Stepper> stepper_;
  telemetry::Telemetry& telemetry_;
  telemetry::Counter& steps_;
  telemetry::Counter& rows_;
  telemetry::Counter& prompt_tokens_;
  telemetry::Counter& generated_tokens_;
  telemetry::Histogram& queued_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t starts_ = 0;
  std::map<std::string, std::uint64_t> turns_;  // the last start of each account
  std::uint64_t answered_ = 0;
  Tasks running_;
  Tasks waiting_;
  std::vector<Advance> work_;   // of the step at hand
  std::vector<Task*> workers_;  // whose they are
  StepPace pace_;
};

}  // namespace tern::engine
