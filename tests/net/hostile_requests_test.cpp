// Requests that are refused, each with its status and its message, however they are cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/request_reader.h"

namespace tern::net {
namespace {

using State = RequestReader::State;

constexpr HttpLimits kLimits{.head_bytes = 300, .headers = 8, .body_bytes = 10};

struct Hostile {
  std::string name;
  unsigned status;
  std::string message;
  std::string bytes;
};

std::ostream& operator<<(std::ostream& out, const Hostile& hostile) { return out << hostile.name; }

std::string get(const std::string& target, const std::string& headers = "Host: h\r\n") {
  return std::string("GET ").append(target).append(" HTTP/1.1\r\n").append(headers) + "\r\n";
}
std::string with(const std::string& headers, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body;
}
std::string chunks(const std::string& body) { return with("Transfer-Encoding: chunked\r\n", body); }

std::string zero_behind(std::string text) { return text.append(1, '\0'); }

// Two readers that disagree on where a request ends.
std::vector<Hostile> smuggled() {
  const std::string no_number = "Content-Length is no number, or stands beside Transfer-Encoding";
  const std::string beside =
      "Transfer-Encoding stands beside Content-Length or another Transfer-Encoding";
  const std::string not_last = "expected chunked as the last Transfer-Encoding";
  const std::string not_one = "expected Content-Length to be one number";
  const std::string chunked = "Transfer-Encoding: chunked\r\n";
  return {
      {"LengthThenChunked", 400, beside, with("Content-Length: 4\r\n" + chunked, "0\r\n\r\n")},
      {"ChunkedThenLength", 400, no_number, with(chunked + "Content-Length: 4\r\n", "0\r\n\r\n")},
      {"LengthThenOtherEncoding", 400, beside,
       with("Content-Length: 4\r\nTransfer-Encoding: x\r\n")},
      {"OtherEncodingThenLength", 400, not_last,
       with("Transfer-Encoding: x\r\nContent-Length: 4\r\n")},
      {"ListThenLength", 400, no_number,
       with("Transfer-Encoding: gzip, chunked\r\nContent-Length: 4\r\n")},
      {"ChunkedTwice", 400, beside, with(chunked + chunked, "0\r\n\r\n")},
      {"IdentityThenChunked", 400, "expected one Transfer-Encoding, found 2",
       with("Transfer-Encoding: identity\r\n" + chunked, "0\r\n\r\n")},
      {"ChunkedThenIdentity", 400, beside, with(chunked + "Transfer-Encoding: identity\r\n")},
      {"TwoLengths", 400, "expected one Content-Length, found two that differ",
       with("Content-Length: 4\r\nContent-Length: 5\r\n", "abcd")},
      {"ALengthTwice", 400, "expected one Content-Length, found 2",
       with("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd")},
      {"ListOfLengths", 400, "expected one Content-Length, found two that differ",
       with("Content-Length: 4, 5\r\n", "abcd")},
      {"ListOfOneLength", 400, not_one, with("Content-Length: 4, 4\r\n", "abcd")},
      {"LengthAndComma", 400, no_number, with("Content-Length: 4,\r\n", "abcd")},
      {"LengthWithPlus", 400, no_number, with("Content-Length: +4\r\n", "abcd")},
      {"NegativeLength", 400, no_number, with("Content-Length: -4\r\n")},
      {"LengthWithSpace", 400, no_number, with("Content-Length: 1 0\r\n", "a")},
      {"HexadecimalLength", 400, no_number, with("Content-Length: 0x4\r\n", "abcd")},
      {"FractionalLength", 400, no_number, with("Content-Length: 4.0\r\n", "abcd")},
      {"EmptyLength", 400, no_number, with("Content-Length:\r\n")},
      {"LengthOverflows", 400, no_number, with("Content-Length: 18446744073709551617\r\n", "a")},
      {"EncodingX", 400, not_last, with("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")},
      {"EncodingChunkedx", 400, not_last, with("Transfer-Encoding: chunkedx\r\n", "0\r\n\r\n")},
      {"QuotedEncoding", 400, not_last, with("Transfer-Encoding: \"chunked\"\r\n")},
      {"EmptyEncoding", 400, not_last, with("Transfer-Encoding:\r\n")},
      {"IdentityEncoding", 400, not_last, with("Transfer-Encoding: identity\r\n")},
      {"ChunkedBeforeGzip", 400, not_last, with("Transfer-Encoding: chunked, gzip\r\n")},
      {"ChunkedAndComma", 400, not_last, with("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n")},
      {"ChunkedWithParameter", 400, not_last, with("Transfer-Encoding: chunked;q=1\r\n")},
      {"GzipThenChunked", 501, "expected no Transfer-Encoding but chunked",
       with("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")},
      {"ChunkedChunked", 501, "expected no Transfer-Encoding but chunked",
       with("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")},
      {"ChunkedInHttp10", 400, "HTTP/1.0 has no Transfer-Encoding",
       "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
  };
}

// Lines that are no lines.
std::vector<Hostile> broken_lines() {
  const std::string alone = "expected lines that end with CR LF, found one of them alone";
  const std::string control = "a control character in the head of the request or of a chunk";
  const std::string folded = "a folded header line: each header is one line";
  const std::string name = "the name of a header is not well-formed";
  return {
      {"LineFeedsAlone", 400, alone, "GET / HTTP/1.1\nHost: h\n\n"},
      {"LineFeedInFront", 400, alone, std::string("\n").append(get("/"))},
      {"LineFeedInAHeader", 400, alone, with("A: b\nContent-Length: 4\r\n", "abcd")},
      {"LineFeedAtTheEnd", 400, alone, "GET / HTTP/1.1\r\nHost: h\r\n\n"},
      {"ReturnInAHeader", 400, alone, with("A: b\rContent-Length: 4\r\n", "abcd")},
      {"ReturnTwice", 400, alone, "GET / HTTP/1.1\r\r\nHost: h\r\n\r\n"},
      {"ZeroInAValue", 400, control, with(zero_behind("A: ") + "b\r\n")},
      {"ZeroInAName", 400, control, with(zero_behind("Content-Length") + ": 4\r\n")},
      {"EscapeInAValue", 400, control, with("A: \x1b[2J\r\n")},
      {"DeleteInAValue", 400, control, with("A: \x7f\r\n")},
      {"HelloOfTls", 400, control, "\x16\x03\x01\x02\x01\x01"},
      {"FoldedWithSpace", 400, folded, with("A: b\r\n Content-Length: 4\r\n", "abcd")},
      {"FoldedWithTab", 400, folded, with("Transfer-Encoding:\r\n\tchunked\r\n", "0\r\n\r\n")},
      {"FoldedFirstHeader", 400, folded, "GET / HTTP/1.1\r\n Host: h\r\n\r\n"},
      {"SpaceBeforeColon", 400, name, with("Content-Length : 4\r\n", "abcd")},
      {"TabBeforeColon", 400, name, with("Transfer-Encoding\t: chunked\r\n")},
      {"SpaceInAName", 400, name, with("Content Length: 4\r\n", "abcd")},
      {"EmptyName", 400, name, with(": 4\r\n")},
      {"NoColon", 400, name, with("Content-Length\r\n")},
      {"NameInUtf8", 400, name, with("\xc3\xa9: 4\r\n")},
      {"BrokenConnection", 400, "the header Connection is not well-formed",
       with("Connection: close; \"\r\n")},
  };
}

std::vector<Hostile> first_lines() {
  const std::string method = "the method is no name";
  const std::string target = "the target of the request is not well-formed";
  const std::string version = "expected HTTP/1.0 or HTTP/1.1";
  const std::string no_version = "expected the first line to end with HTTP/1.1";
  const auto line = [](const std::string& text) { return text + "\r\nHost: h\r\n\r\n"; };
  return {
      {"NoMethod", 400, method, line(" / HTTP/1.1")},
      {"MethodWithColon", 400, method, line("GE:T / HTTP/1.1")},
      {"MethodInUtf8", 400, method, line("G\xc3\x89T / HTTP/1.1")},
      {"MethodAlone", 400, method, line("GET")},
      {"TabBehindMethod", 400, method, line("GET\t/ HTTP/1.1")},
      {"TwoSpaces", 400, target, line("GET  / HTTP/1.1")},
      {"TargetAlone", 400, target, line("GET /")},
      {"TabBehindTarget", 400, target, line("GET /\tHTTP/1.1")},
      {"NoVersion", 400, no_version, line("GET / ")},
      {"CutVersion", 400, no_version, line("GET / HTTP/1")},
      {"CutName", 400, no_version, "GET / H\r\n\r\n"},
      {"SpaceInTarget", 400, no_version, line("GET /a b HTTP/1.1")},
      {"SpaceBehindVersion", 400, no_version, line("GET / HTTP/1.1 ")},
      {"LowerCaseVersion", 400, no_version, line("GET / http/1.1")},
      {"LongVersion", 400, no_version, line("GET / HTTP/1.10")},
      {"Version09", 505, version, line("GET / HTTP/0.9")},
      {"Version12", 505, version, line("GET / HTTP/1.2")},
      {"Version2", 505, version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
  };
}

std::vector<Hostile> targets_and_hosts() {
  const std::string ascii = "expected a target of printable ASCII without #";
  const std::string slash = "expected a target that begins with /";
  const std::string path =
      "the path is not well-formed: a broken escape, a control character or no UTF-8";
  const std::string host = "the header Host is no name and no address";
  const std::string host_in_target = "the host in the target is no name and no address";
  return {
      {"TargetInUtf8", 400, ascii, get("/caf\xc3\xa9")},
      {"QueryInUtf8", 400, ascii, get("/?\xc3\xa9")},
      {"Fragment", 400, ascii, get("/a#b")},
      {"Authority", 400, slash, "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"Asterisk", 400, slash, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"},
      {"QueryAlone", 400, slash, get("?a")},
      {"RelativeTarget", 400, slash, get("v1/models")},
      {"SchemeWithoutHost", 400, slash, get("http:///a")},
      {"OtherScheme", 400, slash, get("file://h/a")},
      {"UserInTarget", 400, host_in_target, get("http://user@h/a")},
      {"BackslashInTargetsHost", 400, host_in_target, get("http://h\\evil/a")},
      {"CutEscape", 400, path, get("/%4")},
      {"EscapeAlone", 400, path, get("/%")},
      {"EscapeOfNoNumber", 400, path, get("/%4g")},
      {"EscapeWithSign", 400, path, get("/%-1")},
      {"EscapedZero", 400, path, get("/%00")},
      {"EscapedLineEnd", 400, path, get("/%0d%0aA")},
      {"EscapedDelete", 400, path, get("/%7F")},
      {"PathOfContinuations", 400, path, get("/%80")},
      {"OverlongPath", 400, path, get("/%c0%af")},
      {"OverlongPathOfThree", 400, path, get("/%e0%80%af")},
      {"OverlongPathOfFour", 400, path, get("/%f0%80%80%af")},
      {"SurrogateInPath", 400, path, get("/%ed%a0%80")},
      {"PathBeyondUnicode", 400, path, get("/%f4%90%80%80")},
      {"PathOfALeadTooLarge", 400, path, get("/%f5%80%80%80")},
      {"CutCharacterInPath", 400, path, get("/%e2%82")},
      {"CharacterCutByAnother", 400, path, get("/%e2%82a")},
      {"NoHost", 400, "expected one Host, found 0", get("/", "")},
      {"TwoHosts", 400, "expected one Host, found 2", get("/", "Host: h\r\nHost: h\r\n")},
      {"TwoHostsInHttp10", 400, "expected one Host, found 2",
       "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
      {"HostWithPath", 400, host, get("/", "Host: h/a\r\n")},
      {"HostWithUser", 400, host, get("/", "Host: u@h\r\n")},
      {"HostWithSpace", 400, host, get("/", "Host: a b\r\n")},
      {"HostInUtf8", 400, host, get("/", "Host: \xc3\xa9\r\n")},
      {"OtherExpectation", 417, "expected no Expect but 100-continue", with("Expect: tea\r\n")},
      {"SecondExpectation", 417, "expected no Expect but 100-continue",
       with("Expect: 100-continue\r\nExpect: tea\r\n")},
  };
}

std::vector<Hostile> bodies() {
  const std::string size = "the size of a chunk is no number of 1 to 16 hexadecimal digits";
  const std::string extension = "expected nothing but an extension behind the size of a chunk";
  const std::string trailer = "expected a trailer to be a name, a colon and a value";
  const std::string longer = "a chunk is longer than its size";
  const std::string alone = "expected lines that end with CR LF, found one of them alone";
  const std::string control = "a control character in the head of the request or of a chunk";
  return {
      {"ChunkOfNoSize", 400, size, chunks("\r\na\r\n")},
      {"ChunkOfNegativeSize", 400, size, chunks("-1\r\na\r\n")},
      {"ChunkSizeWithPlus", 400, size, chunks("+1\r\na\r\n")},
      {"ChunkSizeWithSpaceInFront", 400, size, chunks(" 1\r\na\r\n")},
      {"ExtensionWithoutSize", 400, size, chunks(";a\r\n")},
      {"ChunkSizeOverflows", 400, size, chunks("10000000000000001\r\na\r\n")},
      {"ChunkSizeOf17Digits", 400, size, chunks("00000000000000001\r\na\r\n0\r\n\r\n")},
      {"ChunkSizeWith0x", 400, extension, chunks("0x1\r\na\r\n")},
      {"SpaceBehindChunkSize", 400, extension, chunks("1 \r\na\r\n")},
      {"TwoChunkSizes", 400, extension, chunks("1 1\r\na\r\n")},
      {"WrongDigitInChunkSize", 400, extension, chunks("1g\r\na\r\n")},
      {"LineFeedBehindChunkSize", 400, alone, chunks("1\na\r\n")},
      {"LineFeedInExtension", 400, alone, chunks("1;a=\"\n\"\r\na\r\n")},
      {"ReturnInExtension", 400, alone, chunks("1;\ra\r\na\r\n")},
      {"ZeroInExtension", 400, control, chunks(zero_behind("1;") + "\r\na\r\n")},
      {"ChunkLongerThanItsSize", 400, longer, chunks("1\r\nab\r\n0\r\n\r\n")},
      {"LineFeedBehindChunk", 400, alone, chunks("1\r\na\n0\r\n\r\n")},
      {"TrailerWithoutColon", 400, trailer, chunks("0\r\nabc\r\n\r\n")},
      {"TrailerWithoutName", 400, trailer, chunks("0\r\n: a\r\n\r\n")},
      {"TrailerWithSpaceBeforeColon", 400, trailer, chunks("0\r\na : b\r\n\r\n")},
      {"FoldedTrailer", 400, trailer, chunks("0\r\na: b\r\n c: d\r\n\r\n")},
      {"RequestInTrailers", 400, trailer, chunks("0\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n")},
  };
}

std::vector<Hostile> beyond_limits() {
  const std::string head = "expected a head of at most 300 bytes, found more";
  const std::string frame =
      "expected chunk extensions and trailers of at most 300 bytes, found more";
  std::string nine_headers = "Host: h\r\n";
  for (int i = 1; i < 9; ++i) nine_headers += "A: b\r\n";
  std::string extensions;
  for (int i = 0; i < 6; ++i) extensions += "1;" + std::string(50, 'x') + "\r\na\r\n";
  return {
      {"LongTarget", 431, head, get("/" + std::string(300, 'a'))},
      {"LongValue", 431, head, with("A: " + std::string(300, 'a') + "\r\n")},
      {"EndlessMethod", 431, head, std::string(301, 'G')},
      {"EndlessEmptyLines", 431, head,
       [] {
         std::string lines;
         for (int i = 0; i < 151; ++i) lines += "\r\n";
         return lines;
       }()},
      {"NineHeaders", 431, "expected at most 8 headers, found more", get("/", nine_headers)},
      {"DeclaredBody", 413, "expected a body of at most 10 bytes, found 11",
       with("Content-Length: 11\r\n")},
      {"DeclaredHugeBody", 413, "expected a body of at most 10 bytes, found 18446744073709551615",
       with("Content-Length: 18446744073709551615\r\n")},
      {"BodyOfChunks", 413, "expected a body of at most 10 bytes, found more",
       chunks("6\r\nabcdef\r\n5\r\n")},
      {"HugeChunk", 413, "expected a body of at most 10 bytes, found more",
       chunks("6\r\nabcdef\r\nffffffffffffffff\r\n")},
      {"LongExtension", 400, frame, chunks("1;" + std::string(300, 'x'))},
      {"ManyExtensions", 400, frame, chunks(extensions)},
      {"LongTrailer", 400, frame, chunks("0\r\na: " + std::string(300, 'x'))},
      {"ManyTrailers", 400, frame,
       chunks("0\r\n" + std::string(60, 'a') + ":\r\n" + std::string(240, 'b') + ":\r\n\r\n")},
  };
}

std::vector<Hostile> hostile_requests() {
  std::vector<Hostile> all;
  for (const auto& rows : {smuggled(), broken_lines(), first_lines(), targets_and_hosts(), bodies(),
                           beyond_limits()}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

class HostileRequest : public testing::TestWithParam<Hostile> {};

TEST_P(HostileRequest, IsRefusedHoweverItIsCut) {
  const Hostile& hostile = GetParam();
  // Neither it nor what is hidden behind it becomes a request.
  const std::string bytes = hostile.bytes + get("/hidden");
  const auto expect_refused = [&](std::size_t first, std::size_t piece) {
    RequestReader reader(kLimits);
    reader.feed(std::string_view(bytes).substr(0, first));
    for (std::size_t at = first; at < bytes.size(); at += piece) {
      reader.feed(std::string_view(bytes).substr(at, piece));
    }
    ASSERT_EQ(reader.state(), State::kError);
    EXPECT_EQ(reader.error().status, hostile.status);
    EXPECT_EQ(reader.error().message, hostile.message);
  };
  expect_refused(bytes.size(), 1);
  expect_refused(0, 1);
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) expect_refused(cut, bytes.size());
}

INSTANTIATE_TEST_SUITE_P(All, HostileRequest, testing::ValuesIn(hostile_requests()),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace tern::net
