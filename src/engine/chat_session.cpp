#include "engine/chat_session.h"

#include <algorithm>
#include <utility>

namespace tern::engine {

using text::TokenId;

Result<ChatSession> ChatSession::create(const model::Model& model, const text::Tokenizer& tokenizer,
                                        text::ChatTemplate chat, const SequenceOptions& options) {
  ChatSession session(model, tokenizer, std::move(chat), options);
  TERN_TRY(session.start());
  session.context_ = session.sequence_->context();
  return session;
}

Result<void> ChatSession::start() {
  TERN_ASSIGN(Sequence made, Sequence::create(*model_, options_));
  sequence_ = std::make_unique<Sequence>(std::move(made));
  return {};
}

Result<Generation> ChatSession::answer(std::span<const text::ChatMessage> messages,
                                       GenerateRequest request, telemetry::Telemetry& telemetry) {
  if (sequence_ == nullptr) TERN_TRY(start());
  TERN_ASSIGN(std::vector<TokenId> prompt, text::chat_prompt(chat_, *tokenizer_, messages));
  if (prompt.size() >= context()) {
    return Error{ErrorCode::kContextLength,
                 "expected fewer than the " + std::to_string(context()) +
                     " tokens of the context, found " + std::to_string(prompt.size()),
                 "conversation"};
  }
  const auto old = sequence_->tokens();
  const auto parted = std::mismatch(prompt.begin(), prompt.end(), old.begin(), old.end()).first;
  // The last token is always computed: its logits are what the answer begins with.
  reused_ = std::min(static_cast<std::size_t>(parted - prompt.begin()),
                     prompt.empty() ? 0 : prompt.size() - 1);
  TERN_TRY(sequence_->truncate(reused_));
  request.prompt.assign(prompt.begin() + static_cast<std::ptrdiff_t>(reused_), prompt.end());
  auto generation = generate(*sequence_, *tokenizer_, request, telemetry);
  if (!generation) sequence_.reset();  // which may be unusable
  return generation;
}

}  // namespace tern::engine
