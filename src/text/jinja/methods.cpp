// The methods of strings, lists and dictionaries that a template may call: those that only read.
#include "text/jinja/methods.h"

#include <utf8proc.h>

#include <algorithm>
#include <span>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace tern::text::jinja {
namespace {

char32_t code_point(std::string_view character) {
  const Utf8Sequence sequence = next_utf8(character, 0);
  return sequence.status == Utf8Status::kValid ? sequence.code_point : 0xFFFD;
}

bool is_space(std::string_view character) {
  const char32_t c = code_point(character);
  return (c >= 0x1c && c <= 0x1f) || char_class(c) == CharClass::kSpace;
}

bool is_letter(std::string_view character) {
  return char_class(code_point(character)) == CharClass::kLetter;
}

template <bool kLeft, bool kRight>
Result<Value> strip(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string what, text_argument(given, 0, "chars", ""));
  TERN_TRY(interpreter.spend(of.string()->size() / 64 * what.size()));
  const Value* chars = given.find(0, "chars");
  if (chars != nullptr && chars->string() && what.empty()) return of;
  return interpreter.made(stripped(*of.string(), what, kLeft, kRight));
}

Result<Value> split_spaces(Interpreter& interpreter, const std::string& text, std::int64_t most) {
  std::vector<Value> parts;
  std::string part;
  const auto all = characters(text);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (is_space(all[i])) {
      if (!part.empty()) parts.emplace_back(std::exchange(part, {}));
      continue;
    }
    if (part.empty() && most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
      parts.emplace_back(text.substr(static_cast<std::size_t>(all[i].data() - text.data())));
      return interpreter.made(std::move(parts));
    }
    part += all[i];
  }
  if (!part.empty()) parts.emplace_back(std::move(part));
  return interpreter.made(std::move(parts));
}

template <bool kFromRight>
Result<Value> split(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string by, text_argument(given, 0, "sep", ""));
  TERN_ASSIGN(const std::int64_t most, whole_argument(given, 1, "maxsplit", -1));
  const std::string& text = *of.string();
  TERN_TRY(interpreter.spend(text.size() / 16, text.size()));
  if (by.empty()) {
    if (given.find(0, "sep") != nullptr && given.find(0, "sep")->string() != nullptr) {
      return refused("expected a separator that is not empty");
    }
    return split_spaces(interpreter, text, most);
  }
  std::vector<std::size_t> cuts;
  const auto enough = [&] { return most >= 0 && static_cast<std::int64_t>(cuts.size()) >= most; };
  if (kFromRight) {
    TERN_TRY(interpreter.spend(text.size() / 64 * by.size()));
    for (std::size_t end = text.size(); !enough() && end >= by.size();) {
      const std::size_t at = text.rfind(by, end - by.size());
      if (at == std::string::npos) break;
      cuts.push_back(at);
      end = at;
    }
    std::reverse(cuts.begin(), cuts.end());
  } else {
    for (std::size_t at = find_in(text, by); at != std::string::npos && !enough();
         at = find_in(text, by, at + by.size())) {
      cuts.push_back(at);
    }
  }
  std::vector<Value> parts;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    parts.emplace_back(text.substr(begin, cut - begin));
    begin = cut + by.size();
  }
  parts.emplace_back(text.substr(begin));
  return interpreter.made(std::move(parts));
}

Result<Value> split_lines(Interpreter& interpreter, const Value& of, const Arguments& given) {
  const Value* keep = given.find(0, "keepends");
  std::vector<Value> lines;
  std::string line;
  const std::string& text = *of.string();
  TERN_TRY(interpreter.spend(text.size() / 16, text.size()));
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool pair = text[i] == '\r' && text[i + 1] == '\n';  // or the NUL of its end
    if (text[i] != '\n' && text[i] != '\r') {
      line += text[i];
      continue;
    }
    if (keep != nullptr && keep->truth()) line += pair ? "\r\n" : std::string(1, text[i]);
    if (pair) ++i;
    lines.emplace_back(std::exchange(line, {}));
  }
  if (!line.empty()) lines.emplace_back(std::move(line));
  return interpreter.made(std::move(lines));
}

template <bool kStart>
Result<Value> has_affix(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_TRY(only(given, 1));
  const Value* affix = given.find(0, kStart ? "prefix" : "suffix");
  if (affix == nullptr) return refused("expected a string to look for");
  TERN_TRY(interpreter.spend_on(*affix));
  for (const Value& one : affix->list() ? std::span(affix->list()->items) : std::span(affix, 1)) {
    if (one.string() == nullptr) {
      return refused("expected a string to look for, found a '" + one.type_name() + "'");
    }
    const std::string& text = *of.string();
    if (kStart ? text.starts_with(*one.string()) : text.ends_with(*one.string()))
      return Value(true);
  }
  return Value(false);
}

template <bool kStart>
Result<Value> remove_affix(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string affix, text_argument(given, 0, kStart ? "prefix" : "suffix", ""));
  std::string_view text = *of.string();
  if (kStart && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!kStart && text.ends_with(affix)) text.remove_suffix(affix.size());
  return interpreter.made(std::string(text));
}

Result<Value> replace(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_ASSIGN(const std::string from, text_argument(given, 0, "old", ""));
  TERN_ASSIGN(const std::string to, text_argument(given, 1, "new", ""));
  TERN_ASSIGN(const std::int64_t most, whole_argument(given, 2, "count", -1));
  return replaced(interpreter, *of.string(), from, to, most);
}

// Places are those of characters.
template <bool kFromRight>
Result<Value> find_text(Interpreter& interpreter, const Value& of, const Arguments& given) {
  TERN_TRY(only(given, 1));
  TERN_ASSIGN(const std::string what, text_argument(given, 0, "sub", ""));
  const std::string& text = *of.string();
  if (kFromRight) TERN_TRY(interpreter.spend(text.size() / 64 * what.size()));
  const std::size_t at = kFromRight ? text.rfind(what) : find_in(text, what);
  if (at == std::string::npos) return Value(-1);
  return Value(character_count(std::string_view(text).substr(0, at)));
}

Result<Value> count_text(Interpreter&, const Value& of, const Arguments& given) {
  TERN_TRY(only(given, 1));
  TERN_ASSIGN(const std::string what, text_argument(given, 0, "sub", ""));
  if (what.empty()) return Value(character_count(*of.string()) + 1);
  std::int64_t count = 0;
  for (std::size_t at = find_in(*of.string(), what); at != std::string::npos;
       at = find_in(*of.string(), what, at + what.size())) {
    ++count;
  }
  return Value(count);
}

Result<Value> join(Interpreter& interpreter, const Value& of, const Arguments& given) {
  const Value* all = given.find(0, "iterable");
  if (all == nullptr) return refused("expected something to join");
  TERN_ASSIGN(const std::vector<Value> items, items_of(interpreter, *all));
  std::string text;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].string() == nullptr) {
      return refused("expected strings to join, found a '" + items[i].type_name() + "'");
    }
    if (i > 0) text += *of.string();
    text += *items[i].string();
    TERN_TRY(interpreter.spend(1, items[i].string()->size() + of.string()->size()));
  }
  return Value(std::move(text));
}

template <std::string (*kChange)(std::string_view)>
Result<Value> changed(Interpreter& interpreter, const Value& of, const Arguments&) {
  return interpreter.made(kChange(*of.string()));
}
std::string uppered(std::string_view text) { return with_case(text, true); }
std::string lowered(std::string_view text) { return with_case(text, false); }

template <bool (*kIs)(std::string_view)>
Result<Value> all_are(Interpreter&, const Value& of, const Arguments&) {
  const auto all = characters(*of.string());
  return Value(!all.empty() && std::all_of(all.begin(), all.end(), kIs));
}
bool is_digit(std::string_view character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point(character))) ==
         UTF8PROC_CATEGORY_ND;
}

// Whether there are letters with a case, and all have this one.
template <bool kUpper>
Result<Value> has_case(Interpreter&, const Value& of, const Arguments&) {
  const std::string& text = *of.string();
  return Value(with_case(text, kUpper) == text && with_case(text, !kUpper) != text);
}

Result<Value> keys(Interpreter& interpreter, const Value& of, const Arguments&) {
  TERN_ASSIGN(std::vector<Value> items, items_of(interpreter, of));
  return interpreter.made(std::move(items));
}
Result<Value> values(Interpreter& interpreter, const Value& of, const Arguments&) {
  std::vector<Value> items;
  for (const auto& [key, value] : of.dict()->items) items.push_back(value);
  return interpreter.made(std::move(items));
}
Result<Value> pairs(Interpreter& interpreter, const Value& of, const Arguments&) {
  std::vector<Value> items;
  for (const auto& [key, value] : of.dict()->items) items.emplace_back(List{{key, value}, true});
  TERN_TRY(interpreter.spend(items.size(), 2 * items.size() * sizeof(Value)));
  return interpreter.made(std::move(items));
}
Result<Value> get(Interpreter& interpreter, const Value& of, const Arguments& given) {
  if (given.positional.empty()) return refused("expected a key in get()");
  TERN_TRY(check_hashable(interpreter, given.positional[0]));
  TERN_TRY(interpreter.spend_on_search(given.positional[0], of.dict()->items.size()));
  const Value* found = of.dict()->find(given.positional[0]);
  if (found != nullptr) return *found;
  const Value* otherwise = given.find(1, "default");
  return otherwise == nullptr ? Value() : *otherwise;
}

Result<Value> index_of(Interpreter& interpreter, const Value& of, const Arguments& given) {
  const auto& items = of.list()->items;
  if (!given.positional.empty()) {
    TERN_TRY(interpreter.spend_on_search(given.positional[0], items.size()));
  }
  for (std::size_t i = 0; i < items.size() && !given.positional.empty(); ++i) {
    if (equal(items[i], given.positional[0])) return Value(i);
  }
  return refused("expected an item of the list in index()");
}
Result<Value> count_items(Interpreter& interpreter, const Value& of, const Arguments& given) {
  const auto& items = of.list()->items;
  if (given.positional.empty()) return refused("expected an item to count");
  TERN_TRY(interpreter.spend_on_search(given.positional[0], items.size()));
  return Value(static_cast<std::int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& v) { return equal(v, given.positional[0]); })));
}

// What would change its object, which nothing here can.
Result<Value> immutable(Interpreter&, const Value& of, const Arguments&) {
  return refused("expected a method that only reads: a template cannot change a '" +
                 of.type_name() + "'");
}

const Methods& methods_of_strings() {
  static const Methods methods{{"strip", strip<true, true>},
                               {"lstrip", strip<true, false>},
                               {"rstrip", strip<false, true>},
                               {"split", split<false>},
                               {"rsplit", split<true>},
                               {"splitlines", split_lines},
                               {"startswith", has_affix<true>},
                               {"endswith", has_affix<false>},
                               {"removeprefix", remove_affix<true>},
                               {"removesuffix", remove_affix<false>},
                               {"replace", replace},
                               {"find", find_text<false>},
                               {"rfind", find_text<true>},
                               {"count", count_text},
                               {"join", join},
                               {"upper", changed<uppered>},
                               {"lower", changed<lowered>},
                               {"capitalize", changed<capitalized>},
                               {"title", changed<titled>},
                               {"isdigit", all_are<is_digit>},
                               {"isalpha", all_are<is_letter>},
                               {"isalnum", all_are<is_alphanumeric>},
                               {"isspace", all_are<is_space>},
                               {"isupper", has_case<true>},
                               {"islower", has_case<false>}};
  return methods;
}

const Methods& methods_of_dicts() {
  static const Methods methods{{"items", pairs},     {"keys", keys},           {"values", values},
                               {"get", get},         {"update", immutable},    {"pop", immutable},
                               {"clear", immutable}, {"setdefault", immutable}};
  return methods;
}

const Methods& methods_of_lists() {
  static const Methods methods{
      {"index", index_of},    {"count", count_items}, {"append", immutable}, {"extend", immutable},
      {"insert", immutable},  {"remove", immutable},  {"pop", immutable},    {"sort", immutable},
      {"reverse", immutable}, {"clear", immutable}};
  return methods;
}

}  // namespace

Result<void> only(const Arguments& given, std::size_t most) {
  if (given.positional.size() <= most) return {};
  return refused("expected at most " + std::to_string(most) + " arguments, found " +
                 std::to_string(given.positional.size()));
}

Result<std::string> text_argument(const Arguments& given, std::size_t place, std::string_view name,
                                  std::string otherwise) {
  const Value* value = given.find(place, name);
  if (value == nullptr || value->is_none()) return otherwise;
  if (value->string() == nullptr) {
    return refused("expected a string as " + std::string(name) + ", found a '" +
                   value->type_name() + "'");
  }
  return *value->string();
}

Result<std::int64_t> whole_argument(const Arguments& given, std::size_t place,
                                    std::string_view name, std::int64_t otherwise) {
  const Value* value = given.find(place, name);
  if (value == nullptr) return otherwise;
  if (!value->integer() && !value->boolean()) {
    return refused("expected a whole number as " + std::string(name) + ", found a '" +
                   value->type_name() + "'");
  }
  return value->whole();
}

std::optional<Value> method(const Value& of, const std::string& name) {
  const Methods* methods = of.string() ? &methods_of_strings()
                           : of.dict() ? &methods_of_dicts()
                           : of.list() ? &methods_of_lists()
                                       : nullptr;
  if (methods == nullptr) return std::nullopt;
  auto found = methods->find(name);
  if (found == methods->end()) {
    found = layout_methods().find(name);
    if (of.string() == nullptr || found == layout_methods().end()) return std::nullopt;
  }
  return Value(Function{
      name,
      [of, run = found->second](Interpreter& interpreter, const Arguments& given) -> Result<Value> {
        TERN_TRY(interpreter.spend_on_surface(of));
        TERN_TRY(interpreter.spend_on_surface(given));
        return run(interpreter, of, given);
      },
      {32, of.measure().depth + 1, false}});
}

std::string stripped(std::string_view text, std::string_view what, bool left, bool right) {
  const auto all = characters(text);
  const auto chosen = characters(what);
  const auto goes = [&](std::string_view c) {
    return what.empty() ? is_space(c) : std::find(chosen.begin(), chosen.end(), c) != chosen.end();
  };
  std::size_t begin = 0;
  std::size_t end = all.size();
  while (left && begin < end && goes(all[begin])) ++begin;
  while (right && end > begin && goes(all[end - 1])) --end;
  if (begin == end) return {};
  const char* const from = all[begin].data();
  return {from, all[end - 1].data() + all[end - 1].size()};
}

std::string with_case(std::string_view text, bool upper) {
  std::string out;
  for (const std::string_view c : characters(text)) {
    const char32_t point = code_point(c);
    if (next_utf8(c, 0).status != Utf8Status::kValid) {
      out += c;
    } else if (upper && point == 0xDF) {
      out += "SS";
    } else {
      const auto plain = static_cast<utf8proc_int32_t>(point);
      append_utf8(out,
                  static_cast<char32_t>(upper ? utf8proc_toupper(plain) : utf8proc_tolower(plain)));
    }
  }
  return out;
}

bool is_alphanumeric(std::string_view character) {
  return is_letter(character) || char_class(code_point(character)) == CharClass::kNumber;
}

// A character as a word begins with it.
std::string leading(std::string_view character) {
  const char32_t point = code_point(character);
  if (next_utf8(character, 0).status != Utf8Status::kValid) return std::string(character);
  if (point == 0xDF) return "Ss";
  std::string out;
  append_utf8(out, static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(point))));
  return out;
}

std::string capitalized(std::string_view text) {
  const auto all = characters(text);
  if (all.empty()) return {};
  return leading(all[0]) + with_case(text.substr(all[0].size()), false);
}

std::string titled(std::string_view text) {
  std::string out;
  bool inside = false;
  for (const std::string_view c : characters(text)) {
    out += inside ? with_case(c, false) : leading(c);
    inside = is_letter(c);
  }
  return out;
}

Result<Value> replaced(Interpreter& interpreter, std::string_view text, std::string_view from,
                       std::string_view to, std::int64_t most) {
  std::string out;
  std::int64_t done = 0;
  const auto more = [&] { return most < 0 || done < most; };
  TERN_TRY(interpreter.spend(text.size() / 16, text.size()));
  if (from.empty()) {  // before each character, and at the end
    for (const std::string_view c : characters(text)) {
      if (more()) {
        TERN_TRY(interpreter.spend(1, to.size()));
        out += to;
      }
      ++done;
      out += c;
    }
    return Value(more() ? out.append(to) : std::move(out));
  }
  std::size_t begin = 0;
  for (std::size_t at = find_in(text, from); at != std::string_view::npos && more();
       at = find_in(text, from, begin)) {
    TERN_TRY(interpreter.spend(1, to.size()));
    out += text.substr(begin, at - begin);
    out += to;
    begin = at + from.size();
    ++done;
  }
  return Value(out.append(text.substr(begin)));
}

}  // namespace tern::text::jinja
