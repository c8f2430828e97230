// A conversation with a model: answers to lists of messages, each computed from where the one
// before and the new one part.
//
// The keys and values of the last prompt and answer are kept. Which of them a new list of messages
// can use changes no result. Belongs to one thread at a time; model and tokenizer outlive it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/result.h"
#include "engine/generate.h"
#include "engine/sequence.h"
#include "text/chat_prompt.h"

namespace tern::engine {

class ChatSession {
 public:
  // Errors: those of Sequence::create.
  static Result<ChatSession> create(const model::Model& model, const text::Tokenizer& tokenizer,
                                    text::ChatTemplate chat, const SequenceOptions& options);

  // Answers the last of the messages; `request.prompt` is not used. Errors: those of chat_prompt()
  // and generate(); kContextLength, and nothing is computed, where the messages leave no room for
  // an answer.
  Result<Generation> answer(std::span<const text::ChatMessage> messages, GenerateRequest request,
                            telemetry::Telemetry& telemetry);

  std::uint32_t context() const { return context_; }
  // Of the last prompt and answer.
  std::size_t tokens() const { return sequence_ == nullptr ? 0 : sequence_->tokens().size(); }
  std::size_t reused() const { return reused_; }  // of the last prompt's tokens, not computed again

 private:
  ChatSession(const model::Model& model, const text::Tokenizer& tokenizer, text::ChatTemplate chat,
              const SequenceOptions& options)
      : model_(&model), tokenizer_(&tokenizer), chat_(std::move(chat)), options_(options) {}

  Result<void> start();

  const model::Model* model_;
  const text::Tokenizer* tokenizer_;
  text::ChatTemplate chat_;
  SequenceOptions options_;
  std::uint32_t context_ = 0;
  std::unique_ptr<Sequence> sequence_;  // none after an error
  std::size_t reused_ = 0;
};

}  // namespace tern::engine
