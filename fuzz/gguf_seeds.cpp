// gguf_seeds DIRECTORY: writes the first corpus of gguf_fuzz.
#include <cstdio>
#include <exception>
#include <filesystem>

#include "format/gguf_builder.h"
#include "format/malformed_gguf.h"
#include "write_seed.h"

namespace {

using namespace tern::test;

constexpr std::size_t kLargestSeed = 4096;

std::vector<std::byte> well_formed() {
  return GgufBuilder()
      .key("general.alignment", 64)
      .key("text", kString, Bytes().text("words"))
      .key("yes", kBool, Bytes().u8(1))
      .array("tokens", kString, 3, Bytes().text("a").text("").text("\xff"))
      .array("scores", kF32, 2, Bytes().put(1.0f).put(2.0f))
      .array("flags", kBool, 2, Bytes().u8(0).u8(1))
      .tensor("i", {64, 2}, kTypeI2_S, 0)
      .tensor("q", {32}, kTypeQ8_0, 128)
      .tensor("k", {256}, kTypeQ6_K, 192)
      .tensor("f", {1, 1, 1, 3}, kTypeF32, 64)
      .file(448, 64);
}

// The types of blocks that the one above has not; bytes of zeros are trits of -1 in all of them.
std::vector<std::byte> more_types() {
  return GgufBuilder()
      .tensor("t", {256, 2}, kTypeTQ1_0, 0)
      .tensor("u", {256, 2}, kTypeTQ2_0, 128)
      .tensor("q", {32}, kTypeQ4_0, 288)
      .file(320);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: gguf_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  std::filesystem::create_directories(directory);
  tern::fuzz::write(directory / "well_formed", well_formed());
  tern::fuzz::write(directory / "more_types", more_types());
  tern::fuzz::write(directory / "empty_model", GgufBuilder().version(2).head());
  for (const MalformedGguf& file : malformed_gguf_files()) {
    if (file.bytes.size() <= kLargestSeed) tern::fuzz::write(directory / file.name, file.bytes);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "gguf_seeds: %s\n", error.what());
  return 1;
}
