// Methods of strings that pad a text, take it apart at one place, fill it in, or ask what it is.
#include <utf8proc.h>

#include <algorithm>
#include <charconv>

#include "text/jinja/methods.h"
#include "text/utf8.h"

namespace tern::text::jinja {
namespace {

enum class Side { kLeft, kRight, kBoth };

// A text of at least so many characters; kSide says where the text stands.
template <Side kSide>
Result<Value> padded(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::int64_t width, whole_argument(given, 0, "width", -1));
  TERN_ASSIGN(const std::string fill, text_argument(given, 1, "fillchar", " "));
  if (given.positional.empty()) return refused("expected a width");
  if (character_count(fill) != 1) return refused("expected one character to fill with");
  const auto size = static_cast<std::int64_t>(character_count(*of.string()));
  const std::int64_t pad = width > size ? width - size : 0;
  TERN_TRY(interpreter.spend(0, static_cast<std::uint64_t>(pad)));
  std::int64_t left = kSide == Side::kLeft ? 0 : pad;
  if (kSide == Side::kBoth) left = pad / 2 + (pad & width & 1);
  TERN_TRY(interpreter.spend(0, static_cast<std::uint64_t>(pad) * fill.size()));
  std::string text;
  for (std::int64_t i = 0; i < left; ++i) text += fill;
  text += *of.string();
  for (std::int64_t i = left; i < pad; ++i) text += fill;
  return interpreter.made(std::move(text));
}

Result<Value> zero_filled(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::int64_t width, whole_argument(given, 0, "width", -1));
  if (given.positional.empty()) return refused("expected a width");
  const std::string& text = *of.string();
  const auto size = static_cast<std::int64_t>(character_count(text));
  const std::int64_t pad = width > size ? width - size : 0;
  TERN_TRY(interpreter.spend(0, static_cast<std::uint64_t>(pad)));
  const std::size_t sign = text.starts_with('+') || text.starts_with('-') ? 1 : 0;
  return interpreter.made(text.substr(0, sign) + std::string(static_cast<std::size_t>(pad), '0') +
                          text.substr(sign));
}

// What is before a separator, the separator, and what is behind it.
template <bool kFromRight>
Result<Value> parted(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string by, text_argument(given, 0, "sep", ""));
  if (by.empty()) return refused("expected a separator that is not empty");
  const std::string& text = *of.string();
  if (kFromRight) TERN_TRY(interpreter.spend(text.size() / 64 * by.size()));
  TERN_TRY(interpreter.spend(0, text.size()));
  const std::size_t at = kFromRight ? text.rfind(by) : find_in(text, by);
  if (at == std::string::npos) {
    return kFromRight ? Value(List{{"", "", of}, true}) : Value(List{{of, "", ""}, true});
  }
  return Value(List{{text.substr(0, at), by, text.substr(at + by.size())}, true});
}

// find() and rfind() that refuse what is not there.
template <bool kFromRight>
Result<Value> place_of(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const Value found, attribute(interpreter, of, kFromRight ? "rfind" : "find"));
  TERN_ASSIGN(const Value place, interpreter.call(found, given));
  if (place.whole() < 0) return refused("expected a part of the string");
  return place;
}

template <bool (*kIs)(char32_t)>
Result<Value> all_are(Interpreter&, const Value& of, const Arguments&) {
  bool all = !of.string()->empty();
  for (const std::string_view c : characters(*of.string())) {
    const Utf8Sequence sequence = next_utf8(c, 0);
    all = all && sequence.status == Utf8Status::kValid && kIs(sequence.code_point);
  }
  return Value(all);
}
bool is_decimal(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_ND;
}

Result<Value> is_ascii(Interpreter&, const Value& of, const Arguments&) {
  const std::string& text = *of.string();
  return Value(std::all_of(text.begin(), text.end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
}

Result<Value> swapped(Interpreter& interpreter, const Value& of, const Arguments&) {
  std::string out;
  for (const std::string_view c : characters(*of.string())) {
    const std::string upper = with_case(c, true);
    out += upper == c ? with_case(c, false) : upper;
  }
  return interpreter.made(std::move(out));
}

// The value that the inside of "{...}" names; `next` is the place of the next that has no name.
Result<Value> named_value(const std::string& name, const Arguments& given, std::size_t& next) {
  if (name.find_first_of(".[!:") != std::string::npos) {
    return refused("expected {}, {0} or {name} in a format, found {" + name + "}");
  }
  std::size_t place = next;
  const char* const end = name.data() + name.size();
  const auto outcome = std::from_chars(name.data(), end, place);
  const bool is_place = !name.empty() && outcome.ec == std::errc() && outcome.ptr == end;
  if (name.empty()) ++next;
  if (name.empty() || is_place) {
    if (place < given.positional.size()) return given.positional[place];
    return refused("expected more values to format");
  }
  const Value* value = given.find(given.positional.size(), name);
  if (value == nullptr) return refused("expected a value '" + name + "' to format");
  return *value;
}

Result<Value> format(Interpreter& interpreter, const Value& of, const Arguments& given) {
  const std::string& pattern = *of.string();
  std::string out;
  std::size_t next = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const bool twice = i + 1 < pattern.size() && pattern[i + 1] == c;
    if ((c != '{' && c != '}') || twice) {
      out += c;
      if (c == '{' || c == '}') ++i;
      continue;
    }
    const std::size_t end = c == '{' ? pattern.find('}', i) : std::string::npos;
    if (end == std::string::npos) return refused("expected pairs of braces in a format");
    TERN_ASSIGN(const Value value, named_value(pattern.substr(i + 1, end - i - 1), given, next));
    TERN_ASSIGN(const std::string shown, interpreter.shown(value));
    TERN_TRY(interpreter.spend(1 + given.named.size() / 16, shown.size()));
    out += shown;
    i = end;
  }
  return interpreter.made(std::move(out));
}

}  // namespace

const Methods& layout_methods() {
  static const Methods methods{{"center", padded<Side::kBoth>},
                               {"format", format},
                               {"index", place_of<false>},
                               {"isascii", is_ascii},
                               {"isdecimal", all_are<is_decimal>},
                               {"ljust", padded<Side::kLeft>},
                               {"partition", parted<false>},
                               {"rindex", place_of<true>},
                               {"rjust", padded<Side::kRight>},
                               {"rpartition", parted<true>},
                               {"swapcase", swapped},
                               {"zfill", zero_filled}};
  return methods;
}

}  // namespace tern::text::jinja
