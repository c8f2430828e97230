// What an output's type asks for beside the tensors: the number of llama.cpp for it, and the
// tilings of tl1 and tl2.
#pragma once

#include <cstdint>
#include <filesystem>

#include "core/result.h"
#include "format/gguf/gguf_writer.h"
#include "format/kernel_config.h"
#include "format/tensor.h"

namespace tern::convert {

// For general.file_type, of a file whose linears have this type.
std::uint32_t file_type_of(format::TensorType ternary);

// kernel_config.ini beside the output decides where it is there; else tilings are canonical, and it
// is written: bitnet.cpp builds its kernels from it. The output carries what was chosen, too.
class OutputTilings {
 public:
  // Errors: kIo, kMalformed for the file that is there.
  static Result<OutputTilings> open(const std::filesystem::path& output);

  // None for other types than tl1 and tl2. Errors: kUnsupported for a shape that the type cannot
  // have, or that the file that is there does not list.
  Result<format::TlTiling> choose(format::TensorType type, std::uint64_t rows,
                                  std::uint64_t columns);
  // Those chosen so far, if any.
  void add_key(format::GgufWriter& writer) const;
  // Writes the file where there was none and tilings were chosen. Errors: kIo.
  Result<void> write() const;

 private:
  std::filesystem::path path_;
  bool found_ = false;
  format::KernelConfig listed_;
  format::KernelConfig chosen_;
};

}  // namespace tern::convert
