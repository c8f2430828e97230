// Feeds any bytes to the GGUF reader, and what it accepts to everything that reads tensors.
//   cmake --preset fuzz && cmake --build build/fuzz --target gguf_fuzz gguf_seeds
//   build/fuzz/fuzz/gguf_seeds corpus && build/fuzz/fuzz/gguf_fuzz -max_len=65536 corpus
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "format/float_blocks.h"
#include "format/gguf/gguf_file.h"
#include "format/ternary/i2_s.h"

namespace {

using namespace tern::format;

// A promise of the reader that does not hold is a crash, which is what libFuzzer looks for.
void require(bool holds) {
  if (!holds) std::abort();
}

void read_ternary(const Tensor& tensor) {
  const auto matrix = I2sMatrix::bind(tensor.data, tensor.rows(), tensor.columns());
  if (!matrix.ok()) return;  // its scale is not the reader's business
  std::vector<std::int8_t> trits(tensor.elements());
  matrix->decode_rows(0, tensor.rows(), trits.data());
  const auto counts = matrix->count_codes(0, tensor.rows());
  require(counts[0] + counts[1] + counts[2] + counts[3] == tensor.elements());
  require(matrix->find_code3(0, tensor.rows()).has_value() == (counts[3] != 0));
  if (counts[3] != 0) return;
  const auto encoded = encode_i2_s(trits, matrix->scale());
  const auto codes = tensor.data.size() - kI2sTailBytes;
  require(encoded.ok() &&
          std::ranges::equal(std::span(*encoded).first(codes), tensor.data.first(codes)));
}

void read_float(const Tensor& tensor) {
  const std::uint64_t stride = row_bytes(tensor.type, tensor.columns());
  require(stride * tensor.rows() == tensor.data.size());
  std::vector<float> row(tensor.columns());
  dequantize_row(tensor.type, tensor.data.data(), row.size(), row.data());
  dequantize_row(tensor.type, tensor.data.data() + (tensor.rows() - 1) * stride, row.size(),
                 row.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = GgufFile::parse(bytes, "fuzz");
  if (!file.ok()) {
    require(!file.error().message.empty() && file.error().context.rfind("fuzz: ", 0) == 0);
    return 0;
  }
  for (const std::string_view key : file->keys()) {
    require(file->find(key) != nullptr && !type_name(*file->find(key)).empty());
    (void)file->get_uint(key);
    (void)file->get_strings(key);
  }
  for (const Tensor& tensor : file->tensors()) {
    require(file->tensor(tensor.name) == &tensor);
    require(tensor.data.data() >= bytes.data());
    require(tensor.data.data() + tensor.data.size() <= bytes.data() + bytes.size());
    if (tensor.type == TensorType::kI2_S) {
      read_ternary(tensor);
    } else {
      read_float(tensor);
    }
  }
  return 0;
}
