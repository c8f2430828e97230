#include "text/stream_decoder.h"

#include <utility>

#include "text/utf8.h"

namespace tern::text {

std::string StreamDecoder::push(TokenId token) {
  pending_ += tokenizer_->text_of(token, begins_, render_special_);
  std::string out;
  std::size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Sequence sequence = next_utf8(pending_, at);
    if (sequence.status == Utf8Status::kCut) break;
    out += sequence.status == Utf8Status::kValid
               ? std::string_view(pending_).substr(at, sequence.length)
               : kReplacementCharacter;
    at += sequence.length;
  }
  pending_.erase(0, at);
  return out;
}

std::string StreamDecoder::finish() {
  begins_ = true;
  return replace_invalid_utf8(std::exchange(pending_, std::string()));
}

}  // namespace tern::text
