// Options that commands share: which model, on which tier, with how many threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "arch/decoder_config.h"
#include "core/result.h"
#include "format/gguf/gguf_file.h"
#include "format/kv_type.h"
#include "kernels/kernel_table.h"
#include "model/model.h"

namespace CLI {  // NOLINT: not ours to name
class App;
}

namespace tern::cli {

enum class CacheUse { kAuto, kOn, kOff };  // auto: of models that take long to pack
// What is kept, also measured where something is missing, or measured again.
enum class TuneUse { kOff, kLoad, kAuto, kFull };

struct ComputeOptions {
  std::string tier;           // empty: the environment's, else the best of this machine
  std::uint32_t threads = 0;  // 0: as tuned, else the cores that may be used
  CacheUse cache = CacheUse::kAuto;
  bool compare_cache = false;  // all that it gives with the file: what differs is an error
  TuneUse tune = TuneUse::kLoad;
  format::KvType kv = format::KvType::kF16;
};

void add_model_option(CLI::App& parser, std::string& path);
void add_team_options(CLI::App& parser, ComputeOptions& options);     // threads and tier
void add_compute_options(CLI::App& parser, ComputeOptions& options);  // and the type of keys
// How an embedding is made of hidden states; no value: as the file says.
void add_pooling_option(CLI::App& parser, std::optional<arch::Pooling>& pooling);
std::string_view name(arch::Pooling pooling);  // "last"
void add_head_option(CLI::App& parser, model::HeadMode& mode);
// For commands that load a model once; what `use` holds is the default.
void add_cache_option(CLI::App& parser, CacheUse& use);
void add_tune_option(CLI::App& parser, TuneUse& use);

// The file at `path`, or the embedded model where it is empty. Errors: those of GgufFile.
Result<format::GgufFile> open_model(const std::string& path);

// The tier by option, by TERN_FORCE_ISA, or the best one. Errors: kUsage, kUnsupported.
Result<const kernels::KernelTable*> choose_tier(const std::string& option);

}  // namespace tern::cli
