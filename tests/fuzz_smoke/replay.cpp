// Runs a fuzz target on files and on mutated copies of them, the same ones every time: what a
// fuzzer looks for stays looked for in every test run, with any compiler.
//
// usage: <target>_replay FILE_OR_DIRECTORY...
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr int kMutantsOfAFile = 40;

std::uint32_t next_random() {
  static std::uint64_t state = 1;
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return static_cast<std::uint32_t>(state >> 33);
}

// A cut, an overwritten byte, a flipped bit or a doubled run.
Bytes mutant(Bytes bytes) {
  if (bytes.empty()) return {static_cast<std::uint8_t>(next_random())};
  const std::size_t at = next_random() % bytes.size();
  const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (next_random() % 4) {
    case 0: bytes.resize(at); break;
    case 1: *place = static_cast<std::uint8_t>(next_random()); break;
    case 2: *place = static_cast<std::uint8_t>(*place ^ (1u << next_random() % 8)); break;
    default: bytes.insert(bytes.end(), place, bytes.end()); break;
  }
  return bytes;
}

int replay(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const Bytes seed{std::istreambuf_iterator<char>(file), {}};
  LLVMFuzzerTestOneInput(seed.data(), seed.size());
  Bytes bytes = seed;
  for (int i = 0; i < kMutantsOfAFile; ++i) {
    bytes = mutant(i % 8 == 0 ? seed : bytes);  // up to eight mutations deep
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  return 1 + kMutantsOfAFile;
}

}  // namespace

int main(int argc, char** argv) {
  int inputs = 0;
  for (int i = 1; i < argc; ++i) {
    if (!fs::is_directory(argv[i])) {
      inputs += replay(argv[i]);
      continue;
    }
    for (const auto& entry : fs::directory_iterator(argv[i])) inputs += replay(entry.path());
  }
  std::printf("%d inputs\n", inputs);
  return inputs > 0 ? 0 : 1;
}
