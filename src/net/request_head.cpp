#include "net/request_head.h"

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>

namespace tern::net {

namespace http = boost::beast::http;
using Parser = http::request_parser<http::empty_body>;
using Wrong = std::optional<HttpError>;

namespace {

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_version(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return text.size() == 8 && text.starts_with("HTTP/") && digit(text[5]) && text[6] == '.' &&
         digit(text[7]);
}

// Of what Beast refuses.
HttpError error_of(const boost::beast::error_code& code, std::string_view head) {
  using http::error;
  if (code == error::bad_method) return {400, "the method is no name"};
  if (code == error::bad_target) return {400, "the target of the request is not well-formed"};
  if (code == error::bad_field) return {400, "the name of a header is not well-formed"};
  if (code == error::bad_value) return {400, "the header Connection is not well-formed"};
  if (code == error::bad_content_length) {
    return {400, "Content-Length is no number, or stands beside Transfer-Encoding"};
  }
  if (code == error::multiple_content_length) {
    return {400, "expected one Content-Length, found two that differ"};
  }
  if (code == error::bad_transfer_encoding) {
    return {400, "Transfer-Encoding stands beside Content-Length or another Transfer-Encoding"};
  }
  // All that remains is the version, or that the line ends before it.
  std::string_view line = head.substr(0, head.find("\r\n"));
  line.remove_prefix(std::min(line.find(' ') + 1, line.size()));
  line.remove_prefix(std::min(line.find(' ') + 1, line.size()));
  if (is_version(line)) {
    return {505, "expected HTTP/1.0 or HTTP/1.1"};
  }
  return {400, "expected the first line to end with HTTP/1.1"};
}

HttpError expected_one(const char* name, std::size_t found) {
  return {400, std::string("expected one ") + name + ", found " + std::to_string(found)};
}

Wrong read_encoding(const Parser& parser, RequestHead& head) {
  // Beside Content-Length, Beast has refused what ends with chunked; the rest is refused here.
  const auto& fields = parser.get();
  const std::size_t found = fields.count(http::field::transfer_encoding);
  if (found == 0) return std::nullopt;
  if (fields.version() == 10) return HttpError{400, "HTTP/1.0 has no Transfer-Encoding"};
  if (found > 1) return expected_one("Transfer-Encoding", found);
  const std::string_view value = view(fields[http::field::transfer_encoding]);
  const std::size_t last = value.find_last_of(", \t") + 1;
  if (!boost::beast::iequals(fields[http::field::transfer_encoding].substr(last), "chunked")) {
    return HttpError{400, "expected chunked as the last Transfer-Encoding"};
  }
  if (last != 0) return HttpError{501, "expected no Transfer-Encoding but chunked"};
  head.chunked = true;
  return std::nullopt;
}

Wrong read_length(const Parser& parser, RequestHead& head) {
  const auto& fields = parser.get();
  const std::size_t found = fields.count(http::field::content_length);
  if (found == 0) return std::nullopt;
  if (found > 1) return expected_one("Content-Length", found);
  const std::string_view value = view(fields[http::field::content_length]);
  const char* const last = value.data() + value.size();
  const auto [end, error] = std::from_chars(value.data(), last, head.length);
  if (error != std::errc() || end != last) {
    return HttpError{400, "expected Content-Length to be one number"};
  }
  return std::nullopt;
}

Wrong read_expectation(const Parser& parser, RequestHead& head) {
  const auto& fields = parser.get();
  if (fields.version() == 10) return std::nullopt;  // does not know it (RFC 9110, 10.1.1)
  const auto [first, last] = fields.equal_range(http::field::expect);
  for (auto field = first; field != last; ++field) {
    if (!boost::beast::iequals(field->value(), "100-continue")) {
      return HttpError{417, "expected no Expect but 100-continue"};
    }
    head.expects_continue = true;
  }
  return std::nullopt;
}

// A name or an address, and perhaps a port.
bool is_host(std::string_view host) {
  return std::all_of(host.begin(), host.end(), [](char c) {
    return is_alphanumeric(c) ||
           std::string_view("-._~%!$&'()*+,;=:[]").find(c) != std::string::npos;
  });
}

Wrong check_host(const Parser& parser) {
  const auto& fields = parser.get();
  const std::size_t found = fields.count(http::field::host);
  if (found > 1 || (found == 0 && fields.version() == 11)) return expected_one("Host", found);
  if (!is_host(view(fields[http::field::host]))) {
    return HttpError{400, "the header Host is no name and no address"};
  }
  return std::nullopt;
}

// "http://host/path" is "/path" of that host (RFC 9112, 3.2.2); empty where it is not that form.
std::string_view authority_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (boost::beast::iequals({target.data(), std::min(target.size(), scheme.size())},
                              {scheme.data(), scheme.size()})) {
      target.remove_prefix(scheme.size());
      return target.substr(0, target.find_first_of("/?"));
    }
  }
  return {};
}

Wrong read_target(std::string_view target, HttpRequest& request) {
  const auto printable = [](char c) { return c > 0x20 && c < 0x7f && c != '#'; };
  if (!std::all_of(target.begin(), target.end(), printable)) {
    return HttpError{400, "expected a target of printable ASCII without #"};
  }
  const std::string_view authority = authority_of(target);
  if (!authority.empty()) {
    if (!is_host(authority)) {
      return HttpError{400, "the host in the target is no name and no address"};
    }
    std::erase_if(request.headers, [](const HttpHeader& header) {
      return boost::beast::iequals(header.name, "Host");
    });
    request.headers.push_back({"Host", std::string(authority)});
    target.remove_prefix(static_cast<std::size_t>(authority.data() - target.data()) +
                         authority.size());
  }
  const std::size_t mark = target.find('?');
  std::string_view path = target.substr(0, mark);
  if (path.empty() && !authority.empty()) path = "/";
  if (!path.starts_with('/')) return HttpError{400, "expected a target that begins with /"};
  auto decoded = decode_path(path);
  if (!decoded) {
    return HttpError{
        400, "the path is not well-formed: a broken escape, a control character or no UTF-8"};
  }
  request.path = std::move(*decoded);
  return std::nullopt;
}

}  // namespace

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return is_alphanumeric(c) || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string::npos;
  });
}

std::variant<RequestHead, HttpError> parse_head(std::string_view bytes) {
  Parser parser;
  parser.skip(true);
  parser.header_limit(static_cast<std::uint32_t>(bytes.size() + 1));
  boost::beast::error_code code;
  parser.put(boost::asio::buffer(bytes.data(), bytes.size()), code);
  if (code) return error_of(code, bytes);
  const auto& message = parser.get();
  RequestHead head;
  head.request.method = std::string(message.method_string());
  head.request.is_http_1_0 = message.version() == 10;
  head.request.keep_alive = parser.keep_alive() && !head.request.is_http_1_0;
  for (const auto& field : message) {
    head.request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  Wrong wrong = check_host(parser);
  if (!wrong) wrong = read_encoding(parser, head);
  if (!wrong) wrong = read_length(parser, head);
  if (!wrong) wrong = read_expectation(parser, head);
  if (!wrong) wrong = read_target(view(message.target()), head.request);
  if (wrong) return std::move(*wrong);
  return head;
}

}  // namespace tern::net
