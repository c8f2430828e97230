#include "net/request_reader.h"

#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

namespace tern::net {

namespace http = boost::beast::http;

struct RequestReader::Parser {
  http::request_parser<http::string_body> beast;
};

namespace {

// Lines that Beast would forgive.
std::optional<HttpError> check_lines(std::string_view head, const HttpLimits& limits) {
  std::size_t lines = 0;
  for (std::size_t at = 0; at < head.size();) {
    const std::size_t end = head.find("\r\n", at);
    const std::string_view line = head.substr(at, end - at);
    const bool control = std::any_of(line.begin(), line.end(), [](char c) {
      return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
    });
    if (control) return HttpError{400, "a control character in the head of the request"};
    if (lines > 0 && (line.front() == ' ' || line.front() == '\t')) {
      return HttpError{400, "a folded header line: each header is one line"};
    }
    if (lines++ > limits.headers) {
      return HttpError{
          431, "expected at most " + std::to_string(limits.headers) + " headers, found more"};
    }
    at = end + 2;
  }
  return std::nullopt;
}

HttpError error_of(const boost::beast::error_code& code, const HttpLimits& limits) {
  using http::error;
  if (code == error::header_limit || code == error::buffer_overflow) {
    return {431, "expected a head of at most " + std::to_string(limits.head_bytes) +
                     " bytes, found more"};
  }
  if (code == error::body_limit) {
    return {413, "expected a body of at most " + std::to_string(limits.body_bytes) +
                     " bytes, found more"};
  }
  if (code == error::bad_version) return {505, "expected HTTP/1.0 or HTTP/1.1"};
  if (code == error::bad_method) return {400, "the method is no name"};
  if (code == error::bad_target) return {400, "the target of the request is not well-formed"};
  if (code == error::bad_field) return {400, "the name of a header is not well-formed"};
  if (code == error::bad_value) return {400, "the value of a header is not well-formed"};
  if (code == error::bad_content_length) {
    return {400, "Content-Length is no number, or there are two"};
  }
  if (code == error::bad_transfer_encoding) {
    return {400, "Transfer-Encoding is not well-formed, or stands beside Content-Length"};
  }
  if (code == error::bad_chunk) return {400, "a chunk of the body is not well-formed"};
  if (code == error::bad_chunk_extension) return {400, "a chunk's extension is not well-formed"};
  if (code == error::bad_line_ending) return {400, "expected lines that end with CR LF"};
  return {400, "the request is not HTTP: " + code.message()};
}

bool is_chunked(std::string_view value) {
  return value.size() == 7 &&
         boost::beast::iequals(boost::beast::string_view(value.data(), 7), "chunked");
}

}  // namespace

RequestReader::RequestReader(const HttpLimits& limits) : limits_(limits) {}
RequestReader::~RequestReader() = default;

RequestReader::State RequestReader::feed(std::string_view bytes) {
  pending_.append(bytes);
  advance();
  return state_;
}

void RequestReader::advance() {
  if (state_ == State::kHead) read_head();
  if (state_ == State::kBody) read_body();
}

void RequestReader::fail(HttpError error) {
  state_ = State::kError;
  error_ = std::move(error);
}

void RequestReader::read_head() {
  // Empty lines before a request are allowed (RFC 9112, 2.2): some clients end a body with one.
  while (pending_.starts_with("\r\n")) pending_.erase(0, 2);
  const std::size_t end = pending_.find("\r\n\r\n");
  const std::size_t head = end == std::string::npos ? pending_.size() : end + 4;
  if (head > limits_.head_bytes) {
    return fail(error_of(http::error::header_limit, limits_));
  }
  if (end == std::string::npos) {
    // A line break alone would keep us waiting for the end.
    if (const std::size_t at = pending_.find('\n');
        at != std::string::npos && (at == 0 || pending_[at - 1] != '\r')) {
      fail(error_of(http::error::bad_line_ending, limits_));
    }
    return;
  }
  if (auto wrong = check_lines(std::string_view(pending_).substr(0, end), limits_)) {
    return fail(std::move(*wrong));
  }
  parser_ = std::make_unique<Parser>();
  parser_->beast.eager(false);
  parser_->beast.header_limit(static_cast<std::uint32_t>(limits_.head_bytes));
  parser_->beast.body_limit(limits_.body_bytes);
  boost::beast::error_code code;
  const std::size_t used = parser_->beast.put(boost::asio::buffer(pending_.data(), head), code);
  if (code) return fail(error_of(code, limits_));
  pending_.erase(0, used);
  if (auto wrong = check_head()) return fail(std::move(*wrong));
  parser_->beast.eager(true);
  state_ = parser_->beast.is_done() ? State::kDone : State::kBody;
}

std::optional<HttpError> RequestReader::check_head() const {
  const auto& message = parser_->beast.get();
  const auto count = [&](http::field field) { return message.count(field); };
  if (message.version() == 11 && count(http::field::host) != 1) {
    return HttpError{400,
                     "expected one Host header, found " + std::to_string(count(http::field::host))};
  }
  if (count(http::field::content_length) > 1) {
    return HttpError{400, "expected one Content-Length, found " +
                              std::to_string(count(http::field::content_length))};
  }
  const std::size_t encodings = count(http::field::transfer_encoding);
  if (encodings > 0 && count(http::field::content_length) > 0) {
    return HttpError{400, "Transfer-Encoding beside Content-Length: one of them is wrong"};
  }
  if (encodings > 0 && message.version() == 10) {
    return HttpError{400, "HTTP/1.0 has no Transfer-Encoding"};
  }
  const auto encoding = message[http::field::transfer_encoding];
  if (encodings > 1 || (encodings == 1 && !is_chunked({encoding.data(), encoding.size()}))) {
    return HttpError{501, "expected no Transfer-Encoding but chunked"};
  }
  const auto expect = message[http::field::expect];
  if (!expect.empty() && !boost::beast::iequals(expect, "100-continue")) {
    return HttpError{417, "expected no Expect but 100-continue"};
  }
  const auto target = message.target();
  if (target.empty() || target[0] != '/') {
    return HttpError{400, "expected a target that begins with /"};
  }
  const std::string_view path(target.data(), target.size());
  if (!decode_path(path.substr(0, path.find('?')))) {
    return HttpError{400, "the path is not well-formed: a broken escape or a control character"};
  }
  return std::nullopt;
}

void RequestReader::read_body() {
  auto& beast = parser_->beast;
  const auto expect = beast.get()[http::field::expect];
  expects_continue_ = !expect.empty() && pending_.empty();
  boost::beast::error_code code;
  while (!pending_.empty() && !beast.is_done()) {
    const std::size_t used = beast.put(boost::asio::buffer(pending_.data(), pending_.size()), code);
    pending_.erase(0, used);
    if (code == http::error::need_more) {
      // A chunk's head that never ends would be kept forever.
      if (pending_.size() > limits_.head_bytes) {
        return fail(
            {400, "a chunk's head of more than " + std::to_string(limits_.head_bytes) + " bytes"});
      }
      return;
    }
    if (code) return fail(error_of(code, limits_));
    if (used == 0) break;
  }
  if (beast.is_done()) state_ = State::kDone;
}

HttpRequest RequestReader::take() {
  auto message = parser_->beast.release();
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string target(message.target());
  const std::size_t mark = target.find('?');
  request.path = decode_path(std::string_view(target).substr(0, mark)).value_or("");
  if (mark != std::string::npos) request.query = target.substr(mark + 1);
  for (const auto& field : message) {
    request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  request.keep_alive = message.keep_alive();
  request.is_http_1_0 = message.version() == 10;
  request.body = std::move(message.body());
  parser_.reset();
  expects_continue_ = false;
  state_ = State::kHead;
  advance();
  return request;
}

}  // namespace tern::net
