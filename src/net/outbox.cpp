#include "net/outbox.h"

#include <exception>
#include <utility>

namespace tern::net {
namespace {

// Replies that have no body and no length of one (RFC 9110, 8.6).
bool is_bodyless(unsigned status) { return status == 204 || status == 304; }

}  // namespace

void Outbox::wake() {
  if (wake_) wake_(overflowed_);
}

void Outbox::add(std::string_view bytes) {
  if (overflowed_) return;
  if (bytes_.size() + bytes.size() > shape_.most_unread && !bytes_.empty()) {
    overflowed_ = true;
    bytes_.clear();
    return;
  }
  bytes_.append(bytes);
}

Room Outbox::reserve(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (begun_) return Room::kYes;  // of one that nobody waits for any more
  if (share_.resize(bytes <= shape_.most_unread ? 0 : bytes)) return Room::kYes;
  return bytes > share_.most() ? Room::kNever : Room::kNotNow;
}

void Outbox::reply(const HttpResponse& response) {
  const std::lock_guard lock(mutex_);
  if (begun_) return;
  HeadFraming framing{.length = std::nullopt, .close = close_};
  if (!is_bodyless(response.status)) framing.length = response.body.size();
  std::string bytes = format_head(response, framing, now_in_seconds());
  if (shape_.with_body && framing.length) bytes.append(response.body);
  bytes_ = std::move(bytes);
  begun_ = ended_ = true;  // not where there is no memory: another reply can follow
  wake();
}

void Outbox::begin(const HttpResponse& head) {
  const std::lock_guard lock(mutex_);
  if (begun_) return;
  bodyless_ = !shape_.with_body || is_bodyless(head.status);
  pause_ = head.pause;
  close_ |= !shape_.chunks;
  const bool chunked = shape_.chunks && !is_bodyless(head.status);
  bytes_ = format_head(head, {.length = std::nullopt, .chunked = chunked, .close = close_},
                       now_in_seconds());
  begun_ = true;
  wake();
}

void Outbox::write(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (!begun_ || ended_ || bytes.empty() || bodyless_) return;
  add(shape_.chunks ? format_chunk(bytes) : std::string(bytes));
  wake();
}

void Outbox::end() {
  const std::lock_guard lock(mutex_);
  if (!begun_ || ended_) return;
  if (shape_.chunks && !bodyless_) bytes_.append(kLastChunk);
  ended_ = true;
  wake();
}

void Outbox::drop() noexcept try {
  try {
    reply({500, "text/plain", "the request was dropped\n"});
  } catch (const std::exception&) {  // no memory even for this: closed without a word
  }
  const std::lock_guard lock(mutex_);
  if (ended_) return;
  begun_ = ended_ = close_ = true;
  wake();
} catch (const std::exception&) {  // by `wake`: the connection sees it after its next pause
}

void Outbox::close_after() {
  const std::lock_guard lock(mutex_);
  close_ = true;
}

void Outbox::fill_pause() {
  const std::lock_guard lock(mutex_);
  if (!begun_ || ended_ || bodyless_ || pause_.empty()) return;
  add(shape_.chunks ? format_chunk(pause_) : pause_);
}

void Outbox::disconnect() {
  const std::lock_guard lock(mutex_);
  wake_ = nullptr;
  begun_ = ended_ = true;
  bytes_.clear();
  share_.give_back();
}

Outbox::Taken Outbox::take() {
  const std::lock_guard lock(mutex_);
  return {std::exchange(bytes_, {}), ended_, overflowed_, close_};
}

}  // namespace tern::net
