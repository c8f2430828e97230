#include "hub/remote_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tern::hub {

// One request for [at, end), and how far it came.
struct RemoteFile::Try {
  std::uint64_t at = 0;
  std::uint64_t end = 0;
  bool whole = false;      // no range was asked for
  std::uint64_t skip = 0;  // bytes of the reply that are there already
};

Error RemoteFile::lie(std::string message) const {
  return Error{ErrorCode::kMalformed, std::move(message), name_};
}

void RemoteFile::accept_change() {
  const std::scoped_lock lock(mutex_);
  target_.clear();
  etag_.clear();
  changed_ = false;
}

Result<void> RemoteFile::check_same(const HttpHead& head) const {
  const auto found = head.find("ETag");
  if (!found) return {};
  const std::scoped_lock lock(mutex_);
  if (etag_.empty()) etag_ = etag_text(*found);
  if (etag_ == etag_text(*found)) return {};
  changed_ = true;
  return Error{ErrorCode::kIo, "the file changed on the server while it was read (its ETag did)",
               name_};
}

// The reply must begin where the request did, and belong to a file of the size that was listed.
Result<void> RemoteFile::check_range(const HttpHead& head, const Try& attempt) const {
  const auto text = head.find("Content-Range");
  const auto range = text ? parse_content_range(*text) : std::nullopt;
  if (!range) return lie("the server sends a part of the file and does not say which");
  if (range->total != entry_.size) {
    return lie("expected a file of " + std::to_string(entry_.size) +
               " bytes, as listed, the server says " + std::to_string(range->total));
  }
  if (range->begin != attempt.at || range->end > attempt.end) {
    return lie("asked for the bytes " + std::to_string(attempt.at) + " to " +
               std::to_string(attempt.end - 1) + ", the server sends " +
               std::to_string(range->begin) + " to " + std::to_string(range->end - 1));
  }
  return {};
}

Result<void> RemoteFile::check_whole(const HttpHead& head, const Try& attempt) const {
  const auto text = head.find("Content-Length");
  const auto length = text ? parse_number(*text) : std::nullopt;
  if (length && *length != entry_.size) {
    return lie("expected a file of " + std::to_string(entry_.size) +
               " bytes, as listed, the server says " + std::to_string(*length));
  }
  if (attempt.whole || attempt.at == 0) return {};
  ignores_ranges_ = true;
  return Error{ErrorCode::kUnsupported,
               "the server ignores ranges: asked for a part, it sends the whole file; `tern pull` "
               "can bring it in one stream",
               name_};
}

Result<bool> RemoteFile::check_head(const HttpHead& head, Try& attempt) const {
  if (head.status != 200 && head.status != 206) return false;  // judged when the try is over
  if (head.status == 206 && attempt.whole) return lie("the server sends a part, asked for all");
  TERN_TRY(head.status == 206 ? check_range(head, attempt) : check_whole(head, attempt));
  TERN_TRY(check_same(head));
  attempt.skip = head.status == 200 ? attempt.at : 0;
  return true;
}

Result<bool> RemoteFile::take_body(std::span<const std::byte> bytes, Try& attempt,
                                   const Sink& sink) const {
  const std::uint64_t skipped = std::min<std::uint64_t>(attempt.skip, bytes.size());
  attempt.skip -= skipped;
  bytes = bytes.subspan(skipped);
  bytes = bytes.first(std::min<std::uint64_t>(bytes.size(), attempt.end - attempt.at));
  if (!bytes.empty()) TERN_TRY(sink(attempt.at, bytes));
  attempt.at += bytes.size();
  return attempt.at != attempt.end;
}

// What the hub itself says of the file that it leads to.
Result<void> RemoteFile::check_links(const Reply& reply) const {
  if (reply.linked_size && *reply.linked_size != entry_.size) {
    return lie("expected a file of " + std::to_string(entry_.size) +
               " bytes, as listed, the server says " + std::to_string(*reply.linked_size));
  }
  if (reply.linked_etag.empty() || reply.linked_etag == entry_.hash) return {};
  changed_ = true;
  return Error{ErrorCode::kIo, "the file changed on the server since it was listed", name_};
}

// Where to ask: at the end of the redirects, where that is known.
Target RemoteFile::target_of(const Try& attempt) const {
  const std::scoped_lock lock(mutex_);
  Target target{target_.empty() ? url_ : target_, std::nullopt, target_.empty()};
  if (!attempt.whole) target.range = ByteRange{attempt.at, attempt.end};
  return target;
}

void RemoteFile::keep_target(const Reply& reply, bool good) const {
  const std::scoped_lock lock(mutex_);
  if (!good) {
    target_.clear();
  } else if (reply.redirected) {
    target_ = reply.url;
  }
}

Result<void> RemoteFile::fetch_from(std::uint64_t begin, std::uint64_t end, bool whole,
                                    const Sink& sink, const std::stop_token& stop) const {
  Try attempt{begin, end, whole};
  for (unsigned failures = 0; attempt.at != end;) {
    const Target target = target_of(attempt);
    const Reply reply = server_.get_once(
        target, [&](const HttpHead& head) { return check_head(head, attempt); },
        [&](std::span<const std::byte> bytes) { return take_body(bytes, attempt, sink); }, stop);
    const HttpOutcome& outcome = reply.outcome;
    if (outcome.failed && !outcome.may_retry) return *outcome.failed;
    const int status = outcome.head.status;
    const bool good = status == 200 || status == 206;
    keep_target(reply, good && !outcome.failed);
    if (good) TERN_TRY(check_links(reply));
    if (attempt.at == end) break;
    Error why = status_error(status, name_, !server_.options().token.empty());
    if (good) why.message = "the server ended before the last byte";
    if (outcome.failed) why.message = outcome.failed->message;
    // An address that a redirect once gave ends to be good, and is asked for again.
    const bool expired = !target.with_token && status >= 400 && status < 500;
    const bool final = !good && !expired && !is_transient_status(status);
    if (!outcome.failed && final) return why;
    const auto after = good ? std::nullopt : outcome.head.find("Retry-After");
    TERN_TRY(server_.wait(++failures, after ? parse_retry_after(*after) : std::nullopt, name_,
                          why.message, stop));
  }
  return {};
}

Result<void> RemoteFile::fetch(std::uint64_t begin, std::uint64_t end, const Sink& sink,
                               const std::stop_token& stop) const {
  return fetch_from(begin, end, false, sink, stop);
}

Result<void> RemoteFile::fetch_whole(const Sink& sink, const std::stop_token& stop) const {
  return fetch_from(0, entry_.size, true, sink, stop);
}

Result<void> RemoteFile::read(std::uint64_t offset, std::span<std::byte> bytes) const {
  return fetch(
      offset, offset + bytes.size(),
      [&](std::uint64_t at, std::span<const std::byte> part) -> Result<void> {
        std::memcpy(bytes.data() + (at - offset), part.data(), part.size());
        return {};
      },
      server_.options().stop);
}

}  // namespace tern::hub
