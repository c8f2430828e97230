// Texts in the files of vectors of tests/reference/data: \xHH is a byte, all else stands for
// itself.
#pragma once

#include <cstddef>
#include <string>

namespace tern::test {

inline std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
    } else {
      out += static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16));
      i += 3;
    }
  }
  return out;
}

}  // namespace tern::test
