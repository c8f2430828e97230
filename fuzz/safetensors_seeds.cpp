// safetensors_seeds DIRECTORY: writes the first corpus of safetensors_fuzz.
#include <cstdio>
#include <exception>
#include <filesystem>

#include "format/malformed_safetensors.h"
#include "write_seed.h"

using namespace tern::test;

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: safetensors_seeds DIRECTORY\n");
    return 2;
  }
  const std::filesystem::path directory = argv[1];
  std::filesystem::create_directories(directory);
  tern::fuzz::write(
      directory / "well_formed",
      safetensors(R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],)"
                  R"("data_offsets":[4,16]},"b":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})",
                  16));
  constexpr std::string_view kIndex =
      R"({"metadata":{"total_size":4},"weight_map":{"a":"model-1.safetensors","b":"model-2"}})";
  tern::fuzz::write(directory / "index", std::as_bytes(std::span(kIndex)));
  for (const auto& file : malformed_safetensors_files()) {
    tern::fuzz::write(directory / file.name, file.bytes);
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "safetensors_seeds: %s\n", error.what());
  return 1;
}
