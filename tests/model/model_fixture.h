// Models of random weights, loaded or refused.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "kernels/registry.h"
#include "model/model.h"
#include "support/temporary_directory.h"
#include "support/tiny_model.h"

namespace tern::model {

using test::TinyModel;

class ModelLoad : public ::testing::Test {
 protected:
  Result<Model> load(const TinyModel& tiny, const LoadOptions& options = {}) {
    return load(tiny, backend_, options);
  }
  Result<Model> load(const TinyModel& tiny, backend::Backend& backend,
                     const LoadOptions& options = {}) {
    auto file = format::GgufFile::open(test::write_tiny_model(directory_.path(), tiny));
    if (!file) return file.error();
    return Model::load(std::move(*file), backend, options);
  }

  // The error of a load that has to fail.
  Error refusal(const TinyModel& tiny, const LoadOptions& options = {}) {
    auto model = load(tiny, options);
    if (model.ok()) return Error{ErrorCode::kUsage, "the model was accepted", "test"};
    return model.error();
  }

  int sum_ = 0;  // of bytes, so that they are read
  test::TemporaryDirectory directory_;
  backend::CpuBackend backend_{kernels::scalar_table(), 2};
};

// A tamper function that acts on one tensor.
inline auto on(const std::string& target, std::function<bool(std::vector<std::byte>&)> act) {
  return [=](const std::string& name, std::vector<std::byte>& bytes) {
    return name != target || act(bytes);
  };
}

}  // namespace tern::model
