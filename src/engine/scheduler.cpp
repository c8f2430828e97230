#include "engine/scheduler.h"

#include <algorithm>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace tern::engine {

using backend::KvPool;

namespace {

void insert_by_seniority(std::vector<std::unique_ptr<Task>>& tasks, std::unique_ptr<Task> task) {
  const auto place =
      std::upper_bound(tasks.begin(), tasks.end(), task,
                       [](const auto& a, const auto& b) { return a->is_senior_to(*b); });
  tasks.insert(place, std::move(task));
}

std::uint32_t scored_rows(const model::Model& model, const SchedulerOptions& options) {
  return std::min(options.rows, options.scored == 0 ? most_logit_rows(model) : options.scored);
}

constexpr double kQueueSeconds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,  2.5,
                                    5,    10,    30,   60,  120,  300, 600};

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

Error refused(std::string message, const char* option) {
  return {ErrorCode::kUsage, std::move(message), option};
}

}  // namespace

Result<std::unique_ptr<Scheduler>> Scheduler::create(const model::Model& model,
                                                     const text::Tokenizer& tokenizer,
                                                     const SchedulerOptions& options,
                                                     telemetry::Telemetry& telemetry) {
  SchedulerOptions checked = options;
  TERN_ASSIGN(checked.context, checked_context(options.context, model.config().context));
  if (options.sequences < 1 || options.sequences >= options.rows) {
    return refused("expected 1 to " + std::to_string(options.rows - std::min(options.rows, 1u)) +
                       " sequences for steps of " + std::to_string(options.rows) +
                       " tokens, found " + std::to_string(options.sequences),
                   "sequences");
  }
  if (!(options.stretch > 1.0)) {
    return refused("expected more than 1, found " + std::to_string(options.stretch), "stretch");
  }
  if (options.beside < 1) return refused("expected at least 1 token, found 0", "beside");
  if (options.pages < 1) return refused("expected at least 1 page, found 0", "pages");
  const std::uint64_t logits = logit_bytes(model, scored_rows(model, options));
  TERN_ASSIGN(std::unique_ptr<Stepper> stepper,
              Stepper::create(model, {.rows = options.rows,
                                      .pages = options.pages,
                                      .sequences = options.sequences,
                                      .available_memory = options.available_memory > logits
                                                              ? options.available_memory - logits
                                                              : 0,
                                      .kv_type = options.kv_type}));
  return std::unique_ptr<Scheduler>(
      new Scheduler(tokenizer, checked, std::move(stepper), telemetry));
}

Scheduler::Scheduler(const text::Tokenizer& tokenizer, const SchedulerOptions& options,
                     std::unique_ptr<Stepper> stepper, telemetry::Telemetry& telemetry)
    : tokenizer_(tokenizer),
      options_(options),
      stepper_(std::move(stepper)),
      telemetry_(telemetry),
      steps_(telemetry.counter("scheduler.steps")),
      rows_(telemetry.counter("scheduler.rows")),
      prompt_tokens_(telemetry.counter("engine.prompt_tokens")),
      generated_tokens_(telemetry.counter("engine.generated_tokens")),
      queued_(telemetry.histogram("scheduler.queue_seconds", kQueueSeconds)),
      pace_(options.stretch) {
  const std::uint64_t held = std::uint64_t{options.pages} * KvPool::kPageTokens;
  context_ = static_cast<std::uint32_t>(std::min<std::uint64_t>(held, options.context));
}

Scheduler::~Scheduler() = default;

Result<std::unique_ptr<Task>> Scheduler::prepare(Request request) const {
  if (request.pooling && request.prompt.size() > context_) {
    return Error{ErrorCode::kContextLength,
                 std::to_string(request.prompt.size()) + " tokens do not fit into the context of " +
                     std::to_string(context_) + "; shorten the text or divide it",
                 "prompt"};
  }
  if (!request.pooling && request.prompt.size() >= context_) {
    return Error{ErrorCode::kContextLength,
                 "expected fewer than " + std::to_string(context_) +
                     " tokens, so that the context has room for an answer, found " +
                     std::to_string(request.prompt.size()) + "; shorten the prompt",
                 "prompt"};
  }
  const std::uint32_t vocab = known_tokens(stepper_->model(), tokenizer_);
  for (const text::TokenId token : request.prompt) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < vocab) continue;
    return refused(
        "expected 0 to " + std::to_string(vocab - 1) + ", found " + std::to_string(token), "token");
  }
  TERN_ASSIGN(Answer answer, Answer::create(tokenizer_, request.prompt, std::move(request.answer)));
  request.prompt = {};  // the answer holds it
  return std::make_unique<Task>(std::move(request), std::move(answer));
}

void Scheduler::add(std::unique_ptr<Task> task) {
  task->order = arrivals_++;
  insert_by_seniority(waiting_, std::move(task));
}

void Scheduler::step(const std::function<void()>& admitted) {
  admit();
  if (admitted) admitted();
  if (running_.empty()) return;
  share_rows();
  work_.clear();
  workers_.clear();
  for (std::size_t i = 0; i < running_.size(); ++i) {
    if (running_[i]->share == 0 || !take_pages(i)) continue;
    Task& task = *running_[i];
    Advance advance{&*task.sequence, task.answer.tokens().subspan(task.computed(), task.share)};
    advance.logits = Advance::Logits::kNone;
    if (task.pooler) {
      advance.hidden = true;
    } else {
      if (task.share == task.pending()) {
        advance.top = task.answer.wanted(stepper_->model());
        if (!advance.top) advance.logits = Advance::Logits::kLast;
      }
      if (task.scores()) advance.logits = Advance::Logits::kEvery;
    }
    work_.push_back(advance);
    workers_.push_back(&task);
  }
  compute();
  std::erase_if(running_, [](const auto& task) { return task->over; });
}

void Scheduler::cancel_all() {
  for (Tasks* tasks : {&running_, &waiting_}) {
    for (const auto& task : *tasks) end(*task, EndReason::kCancelled);
    tasks->clear();
  }
}

void Scheduler::drop_ended(Tasks& tasks) {
  const Clock::time_point now = Clock::now();
  for (const auto& task : tasks) {
    if (task->request.cancel.stop_requested()) {
      end(*task, EndReason::kCancelled);
    } else if (task->request.deadline && *task->request.deadline <= now) {
      end(*task, EndReason::kDeadline);
    }
  }
  std::erase_if(tasks, [](const auto& task) { return task->over; });
}

// What each that runs may take until the prompt is computed: else it would be set back then.
bool Scheduler::has_room(const Task& task, std::size_t running, std::uint32_t free_pages) const {
  if (running == 0) return true;
  const std::size_t steps = task.tokens() / options_.beside;  // of its prompt beside the others
  const std::size_t spare = running * (1 + steps / KvPool::kPageTokens);
  return running < options_.sequences && task.wanted_pages() + spare <= free_pages;
}

// A place that a request has for the first time: one that was set back computes its prompt again.
void Scheduler::note_start(Task& task) {
  if (std::exchange(task.started, true)) return;
  task.order = turns_[task.request.account] = ++starts_;
  if (!task.request.counts) return;
  queued_.observe(seconds(Clock::now() - task.arrived));
  prompt_tokens_.add(task.answer.prompt_tokens());
}

void Scheduler::admit() {
  drop_ended(running_);
  drop_ended(waiting_);
  while (!waiting_.empty()) {
    const int highest = waiting_.front()->request.priority;
    const bool is_full = running_.size() == options_.sequences;
    if (is_full && running_.back()->request.priority >= highest) return;  // whoever it would be
    const std::size_t index = next();  // stays so: lower ones are set back
    const Task& task = *waiting_[index];
    while (!has_room(task, running_.size(),
                     unpromised_pages(running_.size(), stepper_->pool().free_pages()))) {
      if (!make_room(task)) return;
    }
    std::unique_ptr<Task> taken = std::move(waiting_[index]);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(index));
    start(std::move(taken));
  }
}

// Of those that wait. One that was set back had its turn, and is the first of its priority.
std::size_t Scheduler::next() const {
  const Task& first = *waiting_.front();
  if (first.started) return 0;
  using Turn = std::pair<std::size_t, std::uint64_t>;  // its places, and its last start
  std::map<std::string_view, Turn> turns;              // of those that wait, and of more
  const auto turn_of = [&](const Task& task) -> Turn& {
    const auto [turn, is_new] = turns.try_emplace(task.request.account);
    if (is_new) {
      const auto last = turns_.find(task.request.account);
      turn->second.second = last == turns_.end() ? 0 : last->second;
    }
    return turn->second;
  };
  for (const auto& task : running_) ++turn_of(*task).first;
  std::size_t best = 0;
  for (std::size_t i = 1; i < waiting_.size(); ++i) {
    const Request& request = waiting_[i]->request;
    if (request.priority != first.request.priority) break;
    if (turn_of(*waiting_[i]) < turn_of(*waiting_[best])) best = i;
  }
  return best;
}

void Scheduler::start(std::unique_ptr<Task> task) {
  ending_alone(*task, [&] {
    auto sequence = Sequence::create(*stepper_, context_);
    if (!sequence) return fail(*task, std::move(sequence.error()));
    task->start(std::move(*sequence));
    note_start(*task);
  });
  if (task->over) return;
  insert_by_seniority(running_, std::move(task));
}

// Sets back one request of lower priority, if setting back such makes room.
bool Scheduler::make_room(const Task& task) {
  std::uint32_t free_pages = stepper_->pool().free_pages();
  std::size_t running = running_.size();
  while (running > 0 && running_[running - 1]->request.priority < task.request.priority) {
    free_pages += running_[--running]->pages();
    if (!has_room(task, running, unpromised_pages(running, free_pages))) continue;
    set_back_most_junior();
    return true;
  }
  return false;
}

// What is left of free pages once the most senior that run have what their tokens need.
std::uint32_t Scheduler::unpromised_pages(std::size_t running, std::uint32_t free_pages) const {
  for (std::size_t i = 0; i < running; ++i) {
    free_pages -= std::min(free_pages, running_[i]->missing_pages());
  }
  return free_pages;
}

void Scheduler::set_back_most_junior() {
  std::unique_ptr<Task> task = std::move(running_.back());
  running_.pop_back();
  task->sequence.reset();
  telemetry_.counter("scheduler.set_back").add();
  insert_by_seniority(waiting_, std::move(task));
}

// A row for each that decodes; of the rest, the same for each prompt that can use it. Who has none
// goes first in the next step: else a long one would wait for ever while short ones come.
void Scheduler::share_rows() {
  std::vector<Task*> prompts;
  std::uint32_t decoding = 0;
  for (const auto& task : running_) {
    task->decoded = task->decodes();
    task->share = task->decoded ? 1 : 0;
    decoding += task->share;
    if (!task->decodes()) prompts.push_back(task.get());
  }
  const std::uint32_t left = options_.rows - decoding;
  std::uint32_t rows = decoding == 0 ? left : std::min(left, pace_.prompt_tokens(options_.beside));
  if (rows == 0) return;  // nobody's turn
  std::stable_sort(prompts.begin(), prompts.end(), [](const Task* a, const Task* b) {
    return a->passed_over != b->passed_over ? a->passed_over > b->passed_over
                                            : a->pending() < b->pending();
  });
  std::uint32_t scored = scored_rows(stepper_->model(), options_);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    Task& prompt = *prompts[i];
    const auto others = static_cast<std::uint32_t>(prompts.size() - i);
    prompt.share = std::min(prompt.pending(), (rows + others - 1) / others);
    if (prompt.scores()) {
      prompt.share = std::min(prompt.share, scored);
      scored -= prompt.share;
    }
    rows -= prompt.share;
    prompt.passed_over = prompt.share == 0 ? prompt.passed_over + 1 : 0;
  }
}

// Whether the request can have its share: juniors make room. The most senior always can, since no
// request is longer than the pool.
bool Scheduler::take_pages(std::size_t index) {
  Task& task = *running_[index];
  const std::uint32_t after = task.computed() + task.share;
  for (;;) {
    const auto reserved = task.sequence->cache().reserve(after);
    if (reserved) return true;
    if (running_.size() == index + 1) {
      if (index == 0) fail(task, reserved.error());  // the system has no memory
      return false;
    }
    set_back_most_junior();
  }
}

void Scheduler::compute() {
  if (work_.empty()) return pace_.skip();
  steps_.add();
  const Clock::time_point start = Clock::now();
  bool computed = false;
  ending_alone(*workers_.back(), [&] {  // fewer next time; so it ends
    const auto done = stepper_->step(work_);
    computed = done.ok();
    if (!computed) fail(*workers_.back(), done.error());
  });
  if (!computed) return;
  for (std::size_t i = 0; i < work_.size(); ++i) {
    if (work_[i].logits != Advance::Logits::kEvery || work_[i].failed) continue;
    ending_alone(*workers_[i], [&] { take_scores(*workers_[i]); });
  }
  note_pace(Clock::now() - start);
  for (std::size_t i = 0; i < work_.size(); ++i) {
    rows_.add(work_[i].tokens.size());
    Task& task = *workers_[i];
    if (task.over) continue;
    ending_alone(task, [&] {
      if (work_[i].failed) return fail(task, std::move(*work_[i].failed));
      if (task.pooler) return take_states(task);
      if (task.pending() == 0) take_piece(task);
    });
  }
}

// A want of memory ends this request, and not the thread of all.
template <typename Work>
void Scheduler::ending_alone(Task& task, const Work& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    fail(task, {ErrorCode::kOutOfMemory, "no memory is left for it", "step"});
  }
}

void Scheduler::note_pace(Clock::duration took) {
  std::uint32_t decoding = 0;
  std::uint32_t of_prompts = 0;
  for (std::size_t i = 0; i < work_.size(); ++i) {
    const auto tokens = static_cast<std::uint32_t>(work_[i].tokens.size());
    (workers_[i]->decoded ? decoding : of_prompts) += tokens;
  }
  if (decoding > 0) pace_.note(of_prompts, seconds(took));
}

void Scheduler::take_scores(Task& task) {
  Update update;
  update.prompt_logprobs = task.answer.score(*task.sequence, *task.request.prompt_logprobs);
  task.sequence->keep_last_logits();
  if (!update.prompt_logprobs.empty()) tell(task, std::move(update));
}

void Scheduler::take_piece(Task& task) {
  auto piece = task.answer.next(*task.sequence);
  if (!piece) return fail(task, std::move(piece.error()));
  if (piece->token && task.request.counts) generated_tokens_.add();
  tell(task, {.piece = std::move(*piece)});
}

void Scheduler::take_states(Task& task) {
  task.pooler->add(task.sequence->hidden());
  if (task.pending() > 0) return;
  Update update;
  update.pooled = task.pooler->result(false);
  update.piece.end = EndReason::kPooled;
  tell(task, std::move(update));
}

void Scheduler::end(Task& task, EndReason reason) {
  Update update;
  update.piece.end = reason;
  update.piece.text = task.answer.finish();
  tell(task, std::move(update));
}

void Scheduler::fail(Task& task, Error error) {
  Update update;
  update.failed = std::move(error);
  tell(task, std::move(update));
}

void Scheduler::tell(Task& task, Update update) {
  if (update.last()) {
    const auto prompt = static_cast<std::uint32_t>(task.answer.prompt_tokens());
    update.prompt_tokens = std::min(task.computed(), prompt);
  }
  if (task.request.on_update) task.request.on_update(update);
  task.over = update.last();
  if (!task.over || !task.request.counts) return;
  answered_ += task.started ? 1 : 0;
  telemetry_.counter("scheduler.finished").add();
  telemetry_.counter("engine.head_searches").add(task.answer.searches());
  telemetry_.counter("engine.head_rows").add(task.answer.head_rows());
}

}  // namespace tern::engine
