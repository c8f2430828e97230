// Values as JSON, in the form of Python's json.dumps.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/value.h"
#include "text/utf8.h"

namespace tern::text::jinja {
namespace {

class JsonWriter {
 public:
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}

  Result<void> write(const Value& value, int depth) {
    if (const auto* s = value.string()) {
      write_string(*s);
    } else if (value.is_none()) {
      out_ += "null";
    } else if (const bool* b = value.boolean()) {
      out_ += *b ? "true" : "false";
    } else if (value.is_number()) {
      out_ += number_text(value);
    } else if (const List* list = value.list(); list != nullptr && !list->is_iterator) {
      return write_list(*list, depth);
    } else if (const Dict* dict = value.dict()) {
      return write_dict(*dict, depth);
    } else {
      return Error{ErrorCode::kUsage,
                   "expected a value that JSON has, found a '" + value.type_name() + "'", "tojson"};
    }
    return {};
  }
  std::string take() { return std::move(out_); }

 private:
  static std::string number_text(const Value& value) {
    const std::string text = value.repr();
    if (text == "nan") return "NaN";
    return text == "inf" ? "Infinity" : text == "-inf" ? "-Infinity" : text;
  }

  void new_line(int depth) {
    if (style_.indent < 0) return;
    out_ += '\n';
    out_.append(static_cast<std::size_t>(style_.indent * depth), ' ');
  }
  Result<void> write_list(const List& list, int depth) {
    out_ += '[';
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out_ += style_.between;
      new_line(depth + 1);
      TERN_TRY(write(list.items[i], depth + 1));
    }
    if (!list.items.empty()) new_line(depth);
    out_ += ']';
    return {};
  }

  Result<void> write_dict(const Dict& dict, int depth) {
    auto items = dict.items;
    if (style_.sort_keys) {
      std::stable_sort(items.begin(), items.end(), [](const auto& a, const auto& b) {
        return a.first.text() < b.first.text();
      });
    }
    out_ += '{';
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.between;
      new_line(depth + 1);
      const Value& key = items[i].first;
      write_string(key.string() ? *key.string() : key_text(key));
      out_ += style_.after_key;
      TERN_TRY(write(items[i].second, depth + 1));
    }
    if (!items.empty()) new_line(depth);
    out_ += '}';
    return {};
  }

  static std::string key_text(const Value& key) {
    if (key.is_none()) return "null";
    if (const bool* b = key.boolean()) return *b ? "true" : "false";
    return number_text(key);
  }

  void write_string(std::string_view text) {
    out_ += '"';
    for (const std::string_view c : characters(text)) {
      const auto byte = static_cast<unsigned char>(c[0]);
      if (c == "\"" || c == "\\") {
        out_ += '\\';
        out_ += c;
      } else if (byte < 0x20) {
        write_control(byte);
      } else if (style_.ascii && byte >= 0x7f) {
        write_escaped(c);
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  void write_control(unsigned char byte) {
    constexpr std::string_view kNamed = "\b\t\n\f\r";
    constexpr std::string_view kNames = "btnfr";
    const auto place = kNamed.find(static_cast<char>(byte));
    if (place == std::string_view::npos) {
      out_ += fmt::format("\\u{:04x}", byte);
    } else {
      out_ += '\\';
      out_ += kNames[place];
    }
  }

  void write_escaped(std::string_view character) {
    const Utf8Sequence sequence = next_utf8(character, 0);
    std::uint32_t code = sequence.code_point;
    if (sequence.status != Utf8Status::kValid) code = 0xFFFD;
    if (code >= 0x10000) {
      code -= 0x10000;
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF));
    } else {
      out_ += fmt::format("\\u{:04x}", code);
    }
  }

  JsonStyle style_;
  std::string out_;
};

}  // namespace

Result<std::string> to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer(style);
  TERN_TRY(writer.write(value, 0));
  return writer.take();
}

}  // namespace tern::text::jinja
