#include "cli/embed_files.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <string_view>
#include <utility>

#include "core/json.h"
#include "format/npy.h"

namespace tern::cli {
namespace {

// Of a line of JSON Lines.
std::optional<std::string> text_of(std::string_view line) {
  const auto value = parse_json(line);
  if (!value) return std::nullopt;
  const boost::json::value* text = &*value;
  if (const auto* object = value->if_object()) text = object->if_contains("text");
  const auto* string = text == nullptr ? nullptr : text->if_string();
  if (string == nullptr) return std::nullopt;
  return std::string(std::string_view(*string));
}

}  // namespace

Result<std::vector<std::string>> read_texts(const std::string& path, bool json_lines) {
  TERN_ASSIGN(const std::string content, read_all(path));
  std::vector<std::string> texts;
  std::string_view left = content;
  for (std::size_t number = 1; !left.empty(); ++number) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    std::string_view line = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!json_lines) {
      texts.emplace_back(line);
      continue;
    }
    auto text = text_of(line);
    if (!text) {
      return Error{ErrorCode::kMalformed,
                   "expected a JSON string, or an object whose \"text\" is one",
                   (path == "-" ? "standard input" : path) + ": line " + std::to_string(number)};
    }
    texts.push_back(std::move(*text));
  }
  return texts;
}

Result<VectorWriter> VectorWriter::create(Output& output, const std::string& path,
                                          std::size_t texts, std::size_t width) {
  const bool is_npy = path.ends_with(".npy");
  if (path.empty()) return VectorWriter(output, std::nullopt, false);
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path));
  if (is_npy) {
    const std::string header = format::npy_f32_header(texts, width);
    TERN_TRY(file.require_space(header.size() + texts * width * sizeof(float)));
    TERN_TRY(file.write(std::as_bytes(std::span(header))));
  }
  return VectorWriter(output, std::move(file), is_npy);
}

Result<void> VectorWriter::put(std::span<const std::byte> bytes) {
  if (file_) return file_->write(bytes);
  return output_->write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Result<void> VectorWriter::write(std::size_t text, std::size_t tokens,
                                 std::span<const float> vector) {
  if (is_npy_) return put(std::as_bytes(vector));  // little-endian, as all that Tern runs on is
  const std::string line = fmt::format("{{\"index\":{},\"tokens\":{},\"embedding\":[{}]}}\n", text,
                                       tokens, fmt::join(vector, ","));
  return put(std::as_bytes(std::span(line)));
}

Result<void> VectorWriter::finish() { return file_ ? file_->commit() : Result<void>(); }

}  // namespace tern::cli
