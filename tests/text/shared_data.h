// Vocabularies and vectors that are not ours to give away: beside the tree, or where
// TERN_SHARED_DATA says. Tests that need them skip without.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "text/token.h"

namespace tern::text {

inline std::filesystem::path shared_data() {
  const char* given = std::getenv("TERN_SHARED_DATA");
  return given != nullptr ? std::filesystem::path(given)
                          : std::filesystem::path(TERN_SOURCE_DIR) / "../shared/data";
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct Vector {
  std::string text;
  std::vector<TokenId> ids;
};

// vectors.inp: texts, each with a line __ggml_vocab_test__ behind it; vectors.out: a line of ids
// for each.
inline std::vector<Vector> read_vectors(const std::filesystem::path& folder) {
  const std::string texts = read_file(folder / "vectors.inp");
  std::istringstream lines(read_file(folder / "vectors.out"));
  const std::string divider = "\n__ggml_vocab_test__\n";
  std::vector<Vector> vectors;
  for (std::size_t begin = 0; begin < texts.size();) {
    const std::size_t end = texts.find(divider, begin);
    std::string line;
    if (end == std::string::npos || !std::getline(lines, line)) {
      ADD_FAILURE() << folder << ": expected a divider and a line of ids for each text";
      break;
    }
    vectors.push_back({texts.substr(begin, end - begin), {}});
    std::istringstream in(line);
    for (TokenId id = 0; in >> id;) vectors.back().ids.push_back(id);
    begin = end + divider.size();
  }
  return vectors;
}

}  // namespace tern::text
