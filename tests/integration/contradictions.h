// Models that contradict themselves, each a good file with one change.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "core/result.h"
#include "format/tensor.h"
#include "support/tiny_model.h"

namespace tern::test {

struct TensorPart {
  std::string name;
  format::TensorType type;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

// A file in pieces that can be changed.
struct ModelParts {
  KeyMap keys;
  std::vector<TensorPart> tensors;

  TensorPart& tensor(const std::string& name);
  void drop(const std::string& name);
  // f32, all ones.
  void add(const std::string& name, std::vector<std::uint64_t> shape);
  // Keys of the tokenizer and of general.architecture's own, without their beginning.
  format::GgufWriterValue& tokenizer(const std::string& key) {
    return keys["tokenizer.ggml." + key];
  }
  void set(const std::string& key, format::GgufWriterValue value);
};

// A good model of a family with a vocabulary.
ModelParts good_model(const std::string& architecture);

struct Contradiction {
  std::string name;
  std::string architecture;
  std::function<void(ModelParts&)> change;
  ErrorCode code;
  std::string fragment;  // of its message, and of no other's
};

inline void PrintTo(const Contradiction& c, std::ostream* out) {  // NOLINT: a name of GoogleTest
  *out << c.name;
}

std::vector<Contradiction> configuration_contradictions();
std::vector<Contradiction> tensor_contradictions();
std::vector<Contradiction> vocabulary_contradictions();

}  // namespace tern::test
