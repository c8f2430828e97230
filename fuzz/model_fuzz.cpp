// Changes any bytes of a small model's file. What Model::load() accepts and the self-proof has
// proved runs to numbers or to an error, and to the same bits on the fastest tier of this CPU as on
// the scalar one.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "check.h"
#include "core/cpu_features.h"
#include "engine/sequence.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "support/tiny_model.h"

namespace {

using tern::fuzz::Input;
using tern::fuzz::require;

constexpr std::uint64_t kMemory = 64u << 20;  // a context or a shape may ask for more

std::vector<std::byte> small_model() {
  tern::test::TinyModel tiny;
  tiny.layers = 1;
  tiny.hidden = 128;
  tiny.ffn = 128;
  tiny.vocab = 16;
  tiny.context = 16;
  const std::string folder =
      std::filesystem::temp_directory_path() / ("model_fuzz." + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto file = tern::format::GgufFile::open(write_tiny_model(folder, tiny));
  require(file.ok());
  std::vector<std::byte> bytes(file->bytes().begin(), file->bytes().end());
  std::filesystem::remove_all(folder);
  return bytes;
}

struct Outcome {
  bool loaded = false;
  std::string error;  // empty where there are logits
  std::vector<float> logits;
};

Outcome run(const std::vector<std::byte>& bytes, const tern::kernels::KernelTable& table,
            bool verify) {
  auto file = tern::format::GgufFile::parse(bytes, "fuzz");
  if (!file.ok()) return {false, file.error().to_string(), {}};
  tern::backend::CpuBackend backend(table, 1);
  const auto model = tern::model::Model::load(std::move(*file), backend,
                                              {.verify = verify, .available_memory = kMemory});
  if (!model.ok()) return {false, model.error().to_string(), {}};
  auto sequence = tern::engine::Sequence::create(*model, {.available_memory = kMemory});
  if (!sequence.ok()) return {true, sequence.error().to_string(), {}};
  const auto last = static_cast<std::int32_t>(model->config().vocab - 1);
  const auto done = sequence->append(std::vector<std::int32_t>{0, last, 1 % (last + 1)});
  if (!done.ok()) return {true, done.error().to_string(), {}};
  return {true, {}, {sequence->logits().begin(), sequence->logits().end()}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::byte> kOriginal = small_model();
  std::vector<std::byte> bytes = kOriginal;
  Input in(data, size);
  while (!in.empty()) {  // a change: where, how many bytes, which
    const std::size_t at = in.take<std::uint32_t>() % bytes.size();
    std::ranges::copy(in.copy(std::min<std::size_t>(in.byte(), bytes.size() - at)),
                      bytes.begin() + static_cast<std::ptrdiff_t>(at));
  }
  const auto& fastest = tern::kernels::best_table(tern::detect_cpu_features());
  const Outcome best = run(bytes, fastest, true);
  // What one tier has proved need not be proved again, and the scalar one takes long.
  const Outcome scalar = run(bytes, tern::kernels::scalar_table(), !best.loaded);
  require(scalar.loaded == best.loaded);
  require(scalar.error == best.error);
  require(std::ranges::equal(std::as_bytes(std::span(scalar.logits)),
                             std::as_bytes(std::span(best.logits))));
  require(std::ranges::all_of(scalar.logits, [](float logit) { return std::isfinite(logit); }));
  return 0;
}
