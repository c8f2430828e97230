#include "convert/output_types.h"

#include <span>
#include <string>

#include "core/atomic_file.h"
#include "core/folder.h"
#include "format/ternary/tl.h"

namespace tern::convert {

using format::TensorType;

std::uint32_t file_type_of(TensorType ternary) {
  switch (ternary) {
    case TensorType::kTQ1_0: return 36;
    case TensorType::kTQ2_0: return 37;
    case TensorType::kTL1: return 38;
    case TensorType::kTL2: return 39;
    case TensorType::kIQ1_BN: return 136;  // ik_llama.cpp's
    case TensorType::kIQ2_BN: return 137;
    default: return 40;  // bitnet.cpp's, of i2_s
  }
}

Result<OutputTilings> OutputTilings::open(const std::filesystem::path& output) {
  OutputTilings tilings;
  tilings.path_ = output.parent_path() / format::kKernelConfigFile;
  std::error_code ignored;
  tilings.found_ = std::filesystem::exists(tilings.path_, ignored);
  if (!tilings.found_) return tilings;
  TERN_ASSIGN(const std::string text, read_text(tilings.path_, format::kMostKernelConfig));
  auto config = format::KernelConfig::parse(text);
  if (!config) return in_context(tilings.path_.string(), std::move(config.error()));
  tilings.listed_ = std::move(*config);
  return tilings;
}

Result<format::TlTiling> OutputTilings::choose(TensorType type, std::uint64_t rows,
                                               std::uint64_t columns) {
  if (type != TensorType::kTL1 && type != TensorType::kTL2) return format::TlTiling{};
  const auto layout = type == TensorType::kTL1 ? format::TlLayout::kTl1 : format::TlLayout::kTl2;
  TERN_TRY(format::check_tl_shape(layout, rows, columns));
  format::TlTiling tiling = format::canonical_tl_tiling(layout, rows, columns);
  if (found_) tiling = listed_.find(rows, columns);
  if (!tiling.known()) {
    return Error{ErrorCode::kUnsupported,
                 "no section has m = " + std::to_string(rows) +
                     " and k = " + std::to_string(columns) +
                     ", a shape of the model; add it, or write into another folder",
                 path_.string()};
  }
  if (auto fits = format::check_tl_tiling(layout, rows, columns, tiling); !fits) {
    return in_context(path_.string(), std::move(fits.error()));
  }
  chosen_.add(rows, columns, tiling);
  return tiling;
}

void OutputTilings::add_key(format::GgufWriter& writer) const {
  if (!chosen_.empty()) writer.set(std::string(format::kKernelConfigKey), chosen_.text());
}

Result<void> OutputTilings::write() const {
  if (found_ || chosen_.empty()) return {};
  const std::string text = chosen_.text();
  TERN_ASSIGN(AtomicFile file, AtomicFile::create(path_));
  TERN_TRY(file.write(std::as_bytes(std::span(text))));
  return file.commit();
}

}  // namespace tern::convert
