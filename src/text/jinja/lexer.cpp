#include "text/jinja/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "text/utf8.h"

namespace tern::text::jinja {
namespace {

using Kind = LexToken::Kind;

constexpr std::string_view kSpaces = " \t\n\r\f\v";
constexpr std::array<std::string_view, 29> kOperators{
    "//", "**", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=",
    "(",  ")",  "[",  "]",  "{",  "}",  ".", ",", ":", "|", ";", "!", "?", "@"};

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_name_start(c) || is_digit(c); }

// "\r\n" and "\r" are line breaks, and the one at the end of a template is none.
std::string with_plain_line_breaks(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 == source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

// Behind the last byte of a std::string stands a NUL, which is no part of any token: the byte
// behind one that is there can be looked at.
class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(with_plain_line_breaks(source)) {}

  Result<std::vector<LexToken>> run() {
    for (;;) {
      const std::size_t tag = next_tag();
      add_text(tag);
      if (tag == source_.size()) break;
      at_ = tag + 2;
      if (source_[tag + 1] == '#') {
        TERN_TRY(skip_comment());
      } else {
        TERN_TRY(lex_tag(source_[tag + 1] == '%'));
      }
    }
    add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void add(Kind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }
  bool at(std::string_view what) const {
    return std::string_view(source_).substr(at_, what.size()) == what;
  }
  void advance(std::size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  std::size_t next_tag() const {
    for (std::size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] != '{') continue;
      if (source_[i + 1] == '%' || source_[i + 1] == '{' || source_[i + 1] == '#') return i;
    }
    return source_.size();
  }

  // The text up to a tag, without what the marks on both of its sides take away.
  void add_text(std::size_t tag) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (strip_next_) text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
    if (trim_next_ && text.starts_with('\n')) text.remove_prefix(1);
    if (tag < source_.size()) {
      const char mark = source_[tag + 2];
      if (mark == '-') {
        text = text.substr(0, text.find_last_not_of(kSpaces) + 1);
      } else if (source_[tag + 1] != '{' && mark != '+') {
        text = without_indent(text, tag);
      }
    }
    if (!text.empty()) add(Kind::kText, std::string(text));
    strip_next_ = trim_next_ = false;
    advance(tag);
  }

  // The spaces before a block go where nothing else stands before it on its line.
  std::string_view without_indent(std::string_view text, std::size_t tag) const {
    const std::size_t last = text.find_last_not_of(" \t\f\v");
    if (last != std::string_view::npos) {
      return text[last] == '\n' ? text.substr(0, last + 1) : text;
    }
    // Nothing but spaces: whether the line begins with them.
    const std::size_t begin = tag - text.size();
    return begin == 0 || source_[begin - 1] == '\n' ? std::string_view() : text;
  }

  Result<void> skip_comment() {
    const std::size_t begin = at_ + (at("-") || at("+") ? 1 : 0);
    const std::size_t end = source_.find("#}", begin);
    if (end == std::string::npos) return template_error(line_, "expected '#}', found none");
    const char mark = end > begin ? source_[end - 1] : ' ';
    strip_next_ = mark == '-';
    trim_next_ = mark != '-' && mark != '+';
    advance(end + 2);
    return {};
  }

  Result<void> lex_tag(bool block) {
    if (source_[at_] == '-' || (source_[at_] == '+' && block)) ++at_;
    if (block && is_raw()) return lex_raw();
    add(block ? Kind::kBlockBegin : Kind::kOutputBegin, "");
    const std::string_view close = block ? "%}" : "}}";
    std::vector<char> open;  // brackets: those of a dictionary do not end the tag
    for (;;) {
      skip_spaces();
      if (at_ == source_.size()) {
        return template_error(line_, "expected '" + std::string(close) + "', found the end");
      }
      if (open.empty() && ends_tag(close, block)) return {};
      TERN_TRY(lex_one(open));
    }
  }

  bool ends_tag(std::string_view close, bool block) {
    const bool strips = source_[at_] == '-';
    const bool keeps = block && source_[at_] == '+';
    const std::size_t skipped = strips || keeps ? 1 : 0;
    if (std::string_view(source_).substr(at_ + skipped, 2) != close) return false;
    add(block ? Kind::kBlockEnd : Kind::kOutputEnd, "");
    strip_next_ = strips;
    trim_next_ = block && !strips && !keeps;
    at_ += skipped + 2;
    return true;
  }

  bool is_raw() const {
    std::size_t i = std::min(source_.find_first_not_of(kSpaces, at_), source_.size());
    if (source_.compare(i, 3, "raw") != 0) return false;
    i = std::min(source_.find_first_not_of(kSpaces, i + 3), source_.size());
    return source_.compare(i, 2, "%}") == 0 || source_.compare(i, 3, "-%}") == 0;
  }

  // {% raw %} text {% endraw %}
  Result<void> lex_raw() {
    const std::size_t end = source_.find("%}", at_);
    const bool strips = source_[end - 1] == '-';
    advance(end + 2);
    for (std::size_t tag = source_.find("{%", at_); tag != std::string::npos;
         tag = source_.find("{%", tag + 2)) {
      std::size_t i = tag + 2;
      const bool before = source_[i] == '-';
      if (before || source_[i] == '+') ++i;
      i = std::min(source_.find_first_not_of(kSpaces, i), source_.size());
      if (source_.compare(i, 6, "endraw") != 0) continue;
      i = std::min(source_.find_first_not_of(kSpaces, i + 6), source_.size());
      const bool after = source_.compare(i, 1, "-") == 0;
      if (source_.compare(i + (after ? 1 : 0), 2, "%}") != 0) continue;
      std::string_view text = std::string_view(source_).substr(at_, tag - at_);
      if (strips) text.remove_prefix(std::min(text.find_first_not_of(kSpaces), text.size()));
      if (before) {
        text = text.substr(0, text.find_last_not_of(kSpaces) + 1);
      } else {
        text = without_indent(text, tag);
      }
      if (!text.empty()) add(Kind::kText, std::string(text));
      advance(i + (after ? 3 : 2));
      strip_next_ = after;
      trim_next_ = !after;
      return {};
    }
    return template_error(line_, "expected '{% endraw %}', found none");
  }

  void skip_spaces() { advance(std::min(source_.find_first_not_of(kSpaces, at_), source_.size())); }

  Result<void> lex_one(std::vector<char>& open) {
    const char c = source_[at_];
    if (is_name_start(c)) {
      std::size_t end = at_;
      while (is_name(source_[end])) ++end;
      add(Kind::kName, source_.substr(at_, end - at_));
      at_ = end;
      return {};
    }
    if (is_digit(c)) return lex_number();
    if (c == '"' || c == '\'') return lex_string(c);
    for (const std::string_view op : kOperators) {
      if (!at(op)) continue;
      TERN_TRY(match_brackets(c, open));
      add(Kind::kOperator, std::string(op));
      at_ += op.size();
      return {};
    }
    return template_error(line_, "expected an expression, found '" + std::string(1, c) + "'");
  }

  Result<void> match_brackets(char c, std::vector<char>& open) const {
    if (c == '(' || c == '[' || c == '{') {
      open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) {
        return template_error(line_, "expected " +
                                         (open.empty() ? "no closing bracket"
                                                       : "'" + std::string(1, open.back()) + "'") +
                                         ", found '" + std::string(1, c) + "'");
      }
      open.pop_back();
    }
    return {};
  }

  // 0x1F, 0o17, 0b11: true where there is one.
  bool lex_based_number() {
    if (source_[at_] != '0') return false;
    const char mark = static_cast<char>(source_[at_ + 1] | 0x20);
    const std::size_t base = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (base == 0) return false;
    const std::string_view digits =
        base == 16 ? "0123456789abcdefABCDEF" : std::string_view("01234567").substr(0, base);
    std::size_t end = at_ + 2;
    const auto is_one = [&](std::size_t i) {
      return digits.find(source_[i]) != std::string_view::npos;
    };
    while (is_one(end) || (source_[end] == '_' && is_one(end + 1))) ++end;
    if (end == at_ + 2) return false;
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    add(Kind::kInteger, std::move(text));
    at_ = end;
    return true;
  }

  Result<void> lex_number() {
    if (lex_based_number()) return {};
    std::size_t end = at_;
    const auto digits = [&] {
      while (is_digit(source_[end]) || source_[end] == '_') ++end;
    };
    digits();
    bool real = false;
    if (source_[end] == '.' && is_digit(source_[end + 1])) {
      real = true;
      ++end;
      digits();
    }
    if (source_[end] == 'e' || source_[end] == 'E') {
      std::size_t exponent = end + 1;
      if (source_[exponent] == '+' || source_[exponent] == '-') ++exponent;
      if (is_digit(source_[exponent])) {
        real = true;
        end = exponent;
        digits();
      }
    }
    std::string text = source_.substr(at_, end - at_);
    std::erase(text, '_');
    add(real ? Kind::kReal : Kind::kInteger, std::move(text));
    at_ = end;
    return {};
  }

  Result<void> lex_string(char quote) {
    std::string text;
    const int line = line_;
    std::size_t i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\' || i + 1 == source_.size()) {
        text += source_[i];
        continue;
      }
      TERN_TRY(lex_escape(++i, text));
    }
    if (i >= source_.size()) {
      return template_error(line, "expected the end of a string, found none");
    }
    tokens_.push_back({Kind::kString, std::move(text), line});
    advance(i + 1);
    return {};
  }

  // source_[i] follows a backslash; leaves i at the last byte of the escape.
  Result<void> lex_escape(std::size_t& i, std::string& text) {
    constexpr std::string_view kLetters = "nrtbfva\\'\"";
    constexpr std::string_view kMeant{"\n\r\t\b\f\v\a\\'\"", 10};
    const char c = source_[i];
    if (const auto place = kLetters.find(c); place != std::string_view::npos) {
      text += kMeant[place];
    } else if (c >= '0' && c <= '7') {
      lex_octal(i, text);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      return lex_hexadecimal(i, text);
    } else if (c == 'N') {
      return template_error(line_, "expected a character by its number, found one by name, '\\N'");
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      keep_escaped(i, text);
    } else if (c != '\n') {
      text += '\\';
      text += c;
    }
    return {};
  }

  // Up to three digits.
  void lex_octal(std::size_t& i, std::string& text) const {
    char32_t code = 0;
    const std::size_t end = std::min(i + 3, source_.size());
    for (; i < end && source_[i] >= '0' && source_[i] <= '7'; ++i) {
      code = code * 8 + static_cast<char32_t>(source_[i] - '0');
    }
    --i;
    append_utf8(text, code);
  }

  Result<void> lex_hexadecimal(std::size_t& i, std::string& text) const {
    const char c = source_[i];
    const std::size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
    const std::string digits = source_.substr(i + 1, count);
    const auto wrong = digits.find_first_not_of("0123456789abcdefABCDEF");
    if (digits.size() != count || wrong != std::string::npos) {
      return template_error(line_, "expected " + std::to_string(count) +
                                       " hexadecimal digits after '\\" + std::string(1, c) + "'");
    }
    const auto code = static_cast<char32_t>(std::stoul(digits, nullptr, 16));
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
      return template_error(line_, "expected the number of a character, found '\\" +
                                       std::string(1, c) + digits + "'");
    }
    append_utf8(text, code);
    i += count;
    return {};
  }

  // Jinja escapes what is not ASCII before it reads escapes: of a backslash before it remains the
  // text of its number.
  void keep_escaped(std::size_t& i, std::string& text) const {
    const Utf8Sequence sequence = next_utf8(source_, i);
    const auto code = static_cast<std::uint32_t>(sequence.code_point);
    text += '\\';
    text += code < 0x100     ? fmt::format("x{:02x}", code)
            : code < 0x10000 ? fmt::format("u{:04x}", code)
                             : fmt::format("U{:08x}", code);
    i += sequence.length - 1;
  }

  std::string source_;
  std::size_t at_ = 0;
  int line_ = 1;
  bool strip_next_ = false;  // "-%}" stands before: no spaces after it
  bool trim_next_ = false;   // a block does: no line break
  std::vector<LexToken> tokens_;
};

}  // namespace

Error template_error(int line, std::string message) {
  return {ErrorCode::kMalformed, std::move(message), "chat template, line " + std::to_string(line)};
}

Result<std::vector<LexToken>> lex(std::string_view source) { return Lexer(source).run(); }

}  // namespace tern::text::jinja
