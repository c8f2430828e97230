#include "format/npy.h"

namespace tern::format {
namespace {

constexpr std::size_t kAlignment = 64;  // of the values in the file
constexpr std::size_t kPrefix = 10;     // magic, version, length of the text

}  // namespace

std::string npy_f32_header(std::uint64_t rows, std::uint64_t columns) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  text += std::to_string(rows) + ", " + std::to_string(columns) + "), }";
  while ((kPrefix + text.size() + 1) % kAlignment != 0) text += ' ';
  text += '\n';
  std::string header = "\x93NUMPY";
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace tern::format
