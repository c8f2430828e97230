#include "net/outbox.h"

namespace tern::net {

void Outbox::add(std::string_view bytes) {
  if (overflowed_) return;
  if (bytes_.size() + bytes.size() > most_unread_ && !bytes_.empty()) {
    overflowed_ = true;
    bytes_.clear();
    return;
  }
  bytes_.append(bytes);
}

void Outbox::reply(const HttpResponse& response, bool with_body) {
  {
    const std::lock_guard lock(mutex_);
    if (begun_) return;
    begun_ = ended_ = true;
    add(format_head(response, {.length = response.body.size(), .close = close_}));
    if (with_body) bytes_.append(response.body);
  }
  wake_();
}

void Outbox::begin(const HttpResponse& head, bool with_body) {
  {
    const std::lock_guard lock(mutex_);
    if (begun_) return;
    begun_ = true;
    with_body_ = with_body;
    close_ |= !chunks_;
    add(format_head(head, {.length = std::nullopt, .chunked = chunks_, .close = close_}));
  }
  wake_();
}

void Outbox::write(std::string_view bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (!begun_ || ended_ || bytes.empty() || !with_body_) return;
    add(chunks_ ? format_chunk(bytes) : std::string(bytes));
  }
  wake_();
}

void Outbox::end() {
  {
    const std::lock_guard lock(mutex_);
    if (!begun_ || ended_) return;
    ended_ = true;
    if (chunks_ && with_body_) add(kLastChunk);
  }
  wake_();
}

void Outbox::close_after() {
  const std::lock_guard lock(mutex_);
  close_ = true;
}

Outbox::Taken Outbox::take() {
  const std::lock_guard lock(mutex_);
  return {std::exchange(bytes_, {}), ended_, overflowed_, close_};
}

}  // namespace tern::net
