// kernel_config.ini of bitnet.cpp: how the matrices of each shape are tiled in TL1 and TL2. A
// section a shape, with m (rows), k (columns), bm, bk and bmm. A GGUF file that Tern writes has the
// same text under a key of its own, because nothing in tiled bytes shows that they are read with
// another tiling. Source: utils/codegen_tl1.py and codegen_tl2.py of microsoft/BitNet, which write
// it, and utils/convert-hf-to-gguf-bitnet.py, which reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "core/result.h"
#include "format/ternary/tl_tiling.h"

namespace tern::format {

inline constexpr std::string_view kKernelConfigFile = "kernel_config.ini";
inline constexpr std::string_view kKernelConfigKey = "tern.kernel_config";
inline constexpr std::size_t kMostKernelConfig = 65536;  // bytes

class KernelConfig {
 public:
  // Errors: kMalformed with the line: a section without one of its numbers, a number out of range,
  // a shape that has two tilings. Other keys and comments are passed over.
  static Result<KernelConfig> parse(std::string_view text);

  // Not known() where there is none.
  TlTiling find(std::uint64_t rows, std::uint64_t columns) const;
  void add(std::uint64_t rows, std::uint64_t columns, const TlTiling& tiling);
  bool empty() const { return tilings_.empty(); }

  // As parse() reads it, shapes in ascending order.
  std::string text() const;

 private:
  std::map<std::pair<std::uint64_t, std::uint64_t>, TlTiling> tilings_;
};

}  // namespace tern::format
