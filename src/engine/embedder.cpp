#include "engine/embedder.h"

#include <algorithm>
#include <string>

#include "core/fp_env.h"
#include "engine/pooler.h"
#include "engine/sequence.h"

namespace tern::engine {

namespace {

constexpr std::uint32_t kMostTexts = 64;  // of a step, each of which has pages of its own

std::string name_of(std::size_t text) { return "text " + std::to_string(text + 1); }

// A text that is cut by the end of a step has its pages until then, those that share steps with it
// fit into one.
std::uint32_t pages_for(std::uint32_t context, std::uint32_t rows) {
  using backend::KvPool;
  return KvPool::pages_for(context) + KvPool::pages_for(rows) + kMostTexts;
}

}  // namespace

// One that is being computed.
class Embedder::Text {
 public:
  Text(std::size_t index, std::span<const text::TokenId> tokens, Sequence sequence, Pooler pooler)
      : index_(index), left_(tokens), sequence_(std::move(sequence)), pooler_(std::move(pooler)) {}

  std::size_t index() const { return index_; }
  bool done() const { return left_.empty(); }
  std::vector<float> result(bool normalize) const { return pooler_.result(normalize); }

  // The next tokens, `most` of them.
  Advance next(std::size_t most) {
    const auto tokens = left_.first(std::min(most, left_.size()));
    left_ = left_.subspan(tokens.size());
    Advance advance{&sequence_, tokens, Advance::Logits::kNone};
    advance.hidden = true;
    return advance;
  }
  void take_hidden() { pooler_.add(sequence_.hidden()); }

 private:
  std::size_t index_;
  std::span<const text::TokenId> left_;
  Sequence sequence_;
  Pooler pooler_;
};

Result<Embedder> Embedder::create(const model::Model& model, const EmbedderOptions& options) {
  const std::uint32_t trained = model.config().context;
  EmbedderOptions wanted = options;
  if (wanted.context == 0) wanted.context = trained;
  StepperOptions stepper;
  stepper.rows = options.rows;
  stepper.pages = pages_for(std::min(wanted.context, trained), options.rows);
  stepper.sequences = 0;  // none asks for logits
  stepper.available_memory = options.available_memory;
  stepper.kv_type = options.kv_type;
  TERN_ASSIGN(std::unique_ptr<Stepper> made, Stepper::create(model, stepper));
  TERN_TRY(Sequence::create(*made, wanted.context));  // which knows what a context may be
  return Embedder(wanted, std::move(made));
}

Result<void> Embedder::check(std::span<const Tokens> texts) const {
  const std::uint32_t vocab = stepper_->model().config().vocab;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    for (const text::TokenId token : texts[i]) {
      if (token >= 0 && static_cast<std::uint32_t>(token) < vocab) continue;
      return Error{
          ErrorCode::kUsage,
          "expected tokens below " + std::to_string(vocab) + ", found " + std::to_string(token),
          name_of(i)};
    }
    if (texts[i].empty()) {
      return Error{ErrorCode::kUsage,
                   "expected at least one token, found none: the text is empty and the vocabulary "
                   "adds no token",
                   name_of(i)};
    }
    if (texts[i].size() > options_.context) {
      return Error{ErrorCode::kContextLength,
                   std::to_string(texts[i].size()) + " tokens do not fit into the context of " +
                       std::to_string(options_.context) + "; shorten the text or divide it",
                   name_of(i)};
    }
  }
  return {};
}

Result<void> Embedder::step(std::span<const Tokens> texts, std::size_t& taken,
                            std::vector<std::unique_ptr<Text>>& running) {
  std::vector<Advance> work;
  std::size_t room = stepper_->rows();
  for (std::size_t at = 0; room > 0 && work.size() < kMostTexts; ++at) {
    if (at == running.size()) {
      if (taken == texts.size()) break;
      TERN_ASSIGN(Sequence sequence, Sequence::create(*stepper_, options_.context));
      Pooler pooler(options_.pooling, stepper_->model().config().hidden);
      running.push_back(
          std::make_unique<Text>(taken, texts[taken], std::move(sequence), std::move(pooler)));
      ++taken;
    }
    work.push_back(running[at]->next(room));
    room -= work.back().tokens.size();
  }
  if (auto computed = stepper_->step(work); !computed) {
    return in_context(name_of(running.front()->index()) + " and those beside it",
                      std::move(computed.error()));
  }
  for (std::size_t at = 0; at < work.size(); ++at) {
    if (work[at].failed) return in_context(name_of(running[at]->index()), *work[at].failed);
    running[at]->take_hidden();
  }
  return {};
}

Result<std::size_t> Embedder::embed(std::span<const Tokens> texts, const Sink& sink,
                                    const std::stop_token& stop) {
  const ScopedFpEnv fp_env;
  TERN_TRY(check(texts));
  std::size_t taken = 0;
  std::size_t done = 0;
  std::vector<std::unique_ptr<Text>> running;
  while (done < texts.size() && !stop.stop_requested()) {
    TERN_TRY(step(texts, taken, running));
    auto first = running.begin();
    for (; first != running.end() && (*first)->done(); ++first) {
      TERN_TRY(sink((*first)->index(), (*first)->result(options_.normalize)));
      ++done;
    }
    running.erase(running.begin(), first);
  }
  return done;
}

}  // namespace tern::engine
