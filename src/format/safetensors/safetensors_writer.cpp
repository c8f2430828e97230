#include "format/safetensors/safetensors_writer.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>

namespace tern::format {

namespace json = boost::json;

std::string write_safetensors_header(std::vector<SafetensorsTensor>& tensors) {
  constexpr std::size_t kAlignment = 8;
  json::object header{{"__metadata__", json::object{{"format", "pt"}}}};
  std::uint64_t end = 0;
  for (SafetensorsTensor& tensor : tensors) {
    tensor.bytes = element_bytes(tensor.type);
    for (const std::uint64_t dimension : tensor.shape) tensor.bytes *= dimension;
    tensor.offset = end;
    end += tensor.bytes;
    const std::string_view type = name(tensor.type);
    header[tensor.name] =
        json::object{{"dtype", json::string_view(type.data(), type.size())},
                     {"shape", json::array(tensor.shape.begin(), tensor.shape.end())},
                     {"data_offsets", json::array{tensor.offset, end}}};
  }
  std::string text = json::serialize(header);
  text.append((kAlignment - text.size() % kAlignment) % kAlignment, ' ');
  const std::uint64_t length = text.size();
  std::string out(sizeof length, '\0');
  std::memcpy(out.data(), &length, sizeof length);
  for (SafetensorsTensor& tensor : tensors) tensor.offset += sizeof length + length;
  return out + text;
}

}  // namespace tern::format
