#include "text/pre_tokenizer.h"

#include <array>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace tern::text {
namespace {

struct Char {
  char32_t code_point;
  CharClass kind;
  std::size_t length;
};

// The character at `at`, which is less than text.size().
Char char_at(std::string_view text, std::size_t at) {
  const Utf8Sequence sequence = next_utf8(text, at);
  if (sequence.status != Utf8Status::kValid) return {0xFFFD, CharClass::kOther, 1};
  return {sequence.code_point, char_class(sequence.code_point), sequence.length};
}

bool is_class_at(std::string_view text, std::size_t at, CharClass kind) {
  return at < text.size() && char_at(text, at).kind == kind;
}

// The end of the longest run of characters of a class that begins at `at`.
std::size_t run_end(std::string_view text, std::size_t at, CharClass kind) {
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (c.kind != kind) break;
    at += c.length;
  }
  return at;
}

bool is_line_break(char32_t code_point) { return code_point == '\r' || code_point == '\n'; }

// \s+(?!\S)|\s+ at a space: all spaces, but the last one belongs to what follows, if anything.
std::size_t spaces_end(std::string_view text, std::size_t begin) {
  std::size_t last = begin;
  std::size_t end = begin;
  while (end < text.size()) {
    const Char c = char_at(text, end);
    if (c.kind != CharClass::kSpace) break;
    last = end;
    end += c.length;
  }
  return end == text.size() || last == begin ? end : last;
}

// \s*[\r\n]+ at a space: up to the last line break of the run of spaces; `begin` if it has none.
std::size_t line_breaks_end(std::string_view text, std::size_t begin) {
  std::size_t result = begin;
  for (std::size_t at = begin; at < text.size();) {
    const Char c = char_at(text, at);
    if (c.kind != CharClass::kSpace) break;
    at += c.length;
    if (is_line_break(c.code_point)) result = at;
  }
  return result;
}

char32_t exact(char32_t code_point) { return code_point; }

// Simple case folding as far as the letters of the contractions need it: U+017F (long s) is an s
// to a regular expression that ignores case.
char32_t fold(char32_t code_point) {
  if (code_point >= 'A' && code_point <= 'Z') return code_point + ('a' - 'A');
  return code_point == 0x17F ? U's' : code_point;
}

// 's|'t|'re|'ve|'m|'ll|'d, letters compared after `normal`; `begin` where none is there.
std::size_t contraction_end(std::string_view text, std::size_t begin,
                            char32_t (*normal)(char32_t)) {
  if (text[begin] != '\'' || begin + 1 == text.size()) return begin;
  const Char first = char_at(text, begin + 1);
  const std::size_t after_first = begin + 1 + first.length;
  const char32_t a = normal(first.code_point);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return after_first;
  if (after_first == text.size()) return begin;
  const Char second = char_at(text, after_first);
  const char32_t b = normal(second.code_point);
  const bool found = ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l');
  return found ? after_first + second.length : begin;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::size_t gpt2_end(std::string_view text, std::size_t begin) {
  if (const auto end = contraction_end(text, begin, exact); end != begin) return end;
  const std::size_t body = text[begin] == ' ' ? begin + 1 : begin;
  if (body < text.size()) {
    const CharClass kind = char_at(text, body).kind;
    if (kind != CharClass::kSpace) return run_end(text, body, kind);
  }
  return spaces_end(text, begin);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,kDigits}|
//  ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
template <int kDigits>
std::size_t llama3_end(std::string_view text, std::size_t begin) {
  if (const auto end = contraction_end(text, begin, fold); end != begin) return end;
  const Char first = char_at(text, begin);
  const std::size_t after_first = begin + first.length;
  if (first.kind == CharClass::kLetter) return run_end(text, after_first, CharClass::kLetter);
  if (first.kind == CharClass::kNumber) {
    std::size_t end = after_first;
    for (int n = 1; n < kDigits && is_class_at(text, end, CharClass::kNumber); ++n) {
      end += char_at(text, end).length;
    }
    return end;
  }
  if (!is_line_break(first.code_point) && is_class_at(text, after_first, CharClass::kLetter)) {
    return run_end(text, after_first, CharClass::kLetter);
  }
  const std::size_t body = first.code_point == ' ' ? after_first : begin;
  if (is_class_at(text, body, CharClass::kOther)) {
    std::size_t end = run_end(text, body, CharClass::kOther);
    while (end < text.size() && is_line_break(static_cast<unsigned char>(text[end]))) ++end;
    return end;
  }
  if (const auto end = line_breaks_end(text, begin); end != begin) return end;
  return spaces_end(text, begin);
}

template <std::size_t (*kEnd)(std::string_view, std::size_t)>
void split(std::string_view text, std::vector<std::size_t>& ends) {
  for (std::size_t at = 0; at < text.size();) {
    at = kEnd(text, at);
    ends.push_back(at);
  }
}

// The end of the run of punctuation at `at`, or of what is none.
std::size_t punctuation_run_end(std::string_view text, std::size_t at, bool punctuation) {
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (is_punctuation(c.code_point) != punctuation) break;
    at += c.length;
  }
  return at;
}

// [0-9][0-9][0-9], each match a piece of its own, and so is what lies between.
void cut_digits(std::string_view text, std::size_t begin, std::size_t end,
                std::vector<std::size_t>& ends) {
  const auto is_digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '9'; };
  std::size_t uncut = begin;
  for (std::size_t at = begin; at < end;) {
    if (at + 3 > end || !is_digit(at) || !is_digit(at + 1) || !is_digit(at + 2)) {
      ++at;
      continue;
    }
    if (uncut != at) ends.push_back(at);
    at += 3;
    ends.push_back(at);
    uncut = at;
  }
  if (uncut != end) ends.push_back(end);
}

// One after the other: runs of punctuation; what GPT-2 makes of each piece between two of them, as
// if it were all of the text; digits in threes. The reference also parts digits from a space before
// them; no token of a vocabulary that was trained with it holds both, so that this changes nothing.
void split_falcon(std::string_view text, std::vector<std::size_t>& ends) {
  for (std::size_t at = 0; at < text.size();) {
    if (const auto end = punctuation_run_end(text, at, true); end != at) {
      ends.push_back(end);
      at = end;
    }
    const std::string_view piece = text.substr(0, punctuation_run_end(text, at, false));
    while (at < piece.size()) {
      const std::size_t end = gpt2_end(piece, at);
      cut_digits(text, at, end, ends);
      at = end;
    }
  }
}

constexpr std::array kPreTokenizers{
    PreTokenizer{"gpt-2", split<gpt2_end>, false, false},
    PreTokenizer{"llama-bpe", split<llama3_end<3>>, true, true},
    // Other names of llama-bpe that files of llama.cpp carry.
    PreTokenizer{"llama3", split<llama3_end<3>>, true, true},
    PreTokenizer{"llama-v3", split<llama3_end<3>>, true, true},
    PreTokenizer{"falcon3", split<llama3_end<3>>, true, true},
    PreTokenizer{"falcon", split_falcon, false, false},
    PreTokenizer{"qwen2", split<llama3_end<1>>, false, false, true},
    PreTokenizer{"olmo", split<gpt2_end>, false, false, true},  // of GPT-NeoX
};

}  // namespace

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  for (const PreTokenizer& p : kPreTokenizers) {
    if (p.name == name) return &p;
  }
  return nullptr;
}

std::string pre_tokenizer_names() {
  std::string out;
  for (const PreTokenizer& p : kPreTokenizers) {
    if (!out.empty()) out += ", ";
    out += p.name;
  }
  return out;
}

}  // namespace tern::text
