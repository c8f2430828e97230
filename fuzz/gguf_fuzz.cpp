// Feeds any bytes to the GGUF reader, and what it accepts to everything that reads tensors.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "check.h"
#include "format/float_blocks.h"
#include "format/gguf/gguf_file.h"
#include "format/ternary_matrix.h"

namespace {

using namespace tern::format;
using tern::fuzz::require;

void read_ternary(const Tensor& tensor) {
  const auto matrix = TernaryMatrix::bind(tensor);
  if (!matrix.ok()) return;  // its scales and its rank are not the reader's business
  std::vector<std::int8_t> trits(tensor.elements());
  matrix->decode_rows(0, tensor.rows(), trits.data());
  const auto counts = matrix->count_codes(0, tensor.rows());
  require(counts[0] + counts[1] + counts[2] + counts[3] == tensor.elements());
  require(matrix->find_invalid(0, tensor.rows()).has_value() || counts[3] == 0);
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
    if (is_ternary(tensor.type)) read_ternary(tensor);
    if (block_elements(tensor.type) != 0) read_float(tensor);
  }
  return 0;
}
