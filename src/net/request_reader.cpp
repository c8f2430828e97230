#include "net/request_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "net/request_head.h"

namespace tern::net {
namespace {

constexpr std::size_t kMostHeadBytes =
    60'000;  // a header of more than 65,535 would make Beast throw
constexpr std::size_t kMostSizeDigits = 16;

bool is_folded(std::string_view line) { return line.starts_with(' ') || line.starts_with('\t'); }

}  // namespace

RequestReader::RequestReader(const HttpLimits& limits) : limits_(limits) {
  limits_.head_bytes = std::min(limits_.head_bytes, kMostHeadBytes);
}

RequestReader::State RequestReader::feed(std::string_view bytes) {
  if (state_ == State::kError) return state_;
  pending_.append(bytes);
  if (!bytes.empty()) expects_continue_ = false;
  advance();
  return state_;
}

void RequestReader::advance() {
  if (state_ == State::kHead) read_head();
  while (state_ == State::kBody && read_body_part()) {
  }
  // The lines of a head are kept until its end.
  if (state_ != State::kHead) {
    pending_.erase(0, line_begin_);
    next_ -= std::exchange(line_begin_, 0);
  }
}

void RequestReader::fail(unsigned status, std::string message) {
  state_ = State::kError;
  error_ = {status, std::move(message)};
}

// The next line of a head, of a chunk's frame or of trailers, without its CR LF. No value where its
// end is not there yet, or something in it is wrong.
std::optional<std::string_view> RequestReader::next_line() {
  while (next_ < pending_.size()) {
    const char c = pending_[next_];
    const bool after_return = next_ > line_begin_ && pending_[next_ - 1] == '\r';
    if (++counted_bytes_ > limits_.head_bytes) {
      const std::string most = "of at most " + std::to_string(limits_.head_bytes) + " bytes";
      state_ == State::kHead
          ? fail(431, "expected a head " + most + ", found more")
          : fail(400, "expected chunk extensions and trailers " + most + ", found more");
      return std::nullopt;
    }
    if ((c == '\n') != after_return) {
      fail(400, "expected lines that end with CR LF, found one of them alone");
      return std::nullopt;
    }
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\r' && c != '\n') ||
        c == 0x7f) {
      fail(400, "a control character in the head of the request or of a chunk");
      return std::nullopt;
    }
    ++next_;
    if (c == '\n') {
      const std::size_t begin = std::exchange(line_begin_, next_);
      return std::string_view(pending_).substr(begin, next_ - 2 - begin);
    }
  }
  return std::nullopt;
}

void RequestReader::read_head() {
  while (const auto line = next_line()) {
    if (lines_ == 0 && line->empty()) {
      // Empty lines before a request are allowed (RFC 9112, 2.2): some clients end a body with one.
      head_begin_ = next_;
      continue;
    }
    if (line->empty()) {
      return begin_body(std::string_view(pending_).substr(head_begin_, next_ - head_begin_));
    }
    if (lines_ > 0 && is_folded(*line)) {
      return fail(400, "a folded header line: each header is one line");
    }
    if (lines_++ > limits_.headers) {
      return fail(431,
                  "expected at most " + std::to_string(limits_.headers) + " headers, found more");
    }
  }
}

void RequestReader::begin_body(std::string_view bytes) {
  auto parsed = parse_head(bytes);
  if (auto* const error = std::get_if<HttpError>(&parsed)) {
    return fail(error->status, std::move(error->message));
  }
  RequestHead& head = std::get<RequestHead>(parsed);
  request_ = std::move(head.request);
  if (head.length > limits_.body_bytes) {
    return fail(413, "expected a body of at most " + std::to_string(limits_.body_bytes) +
                         " bytes, found " + std::to_string(head.length));
  }
  missing_ = head.length;
  part_ = head.chunked ? Part::kChunkSize : Part::kBytes;
  counted_bytes_ = 0;
  state_ = State::kBody;
  expects_continue_ = head.expects_continue && next_ == pending_.size();
}

// False where more bytes are needed.
bool RequestReader::read_body_part() {
  if (part_ == Part::kBytes || part_ == Part::kChunkBytes) {
    const std::size_t size = std::min<std::uint64_t>(missing_, pending_.size() - next_);
    request_.body.append(pending_, next_, size);
    line_begin_ = next_ += size;
    missing_ -= size;
    if (missing_ > 0) return false;
    if (part_ == Part::kBytes) state_ = State::kDone;
    part_ = Part::kChunkEnd;
    return true;
  }
  const auto line = next_line();
  if (!line) return false;
  if (part_ == Part::kChunkSize) {
    read_chunk_size(*line);
  } else if (part_ == Part::kTrailers) {
    read_trailer(*line);
  } else if (line->empty()) {
    counted_bytes_ -= 2;
    part_ = Part::kChunkSize;
  } else {
    fail(400, "a chunk is longer than its size");
  }
  return true;
}

void RequestReader::read_chunk_size(std::string_view line) {
  const char* const begin = line.data();
  const auto [end, error] = std::from_chars(begin, begin + line.size(), missing_, 16);
  const auto digits = static_cast<std::size_t>(end - begin);
  if (error != std::errc() || digits > kMostSizeDigits) {
    return fail(400, "the size of a chunk is no number of 1 to 16 hexadecimal digits");
  }
  std::string_view rest = line.substr(digits);
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
  if (digits != line.size() && !rest.starts_with(';')) {
    return fail(400, "expected nothing but an extension behind the size of a chunk");
  }
  if (missing_ > limits_.body_bytes - request_.body.size()) {
    return fail(413, "expected a body of at most " + std::to_string(limits_.body_bytes) +
                         " bytes, found more");
  }
  counted_bytes_ -= digits + 2;  // extensions count, sizes do not
  part_ = missing_ == 0 ? Part::kTrailers : Part::kChunkBytes;
}

// Trailers are for whoever knows them (RFC 9110, 6.5.1); here nobody does.
void RequestReader::read_trailer(std::string_view line) {
  if (line.empty()) {
    state_ = State::kDone;
  } else if (const std::size_t colon = line.find(':');
             colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
    fail(400, "expected a trailer to be a name, a colon and a value");
  }
}

HttpRequest RequestReader::take() {
  HttpRequest request = std::exchange(request_, {});
  head_begin_ = lines_ = counted_bytes_ = 0;
  state_ = State::kHead;
  advance();
  return request;
}

}  // namespace tern::net
