#include "diagnose/weights/survey.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "core/thread_pool.h"
#include "format/ternary_matrix.h"

namespace tern::diagnose {
namespace {

struct Outcome {
  MatrixSurvey found;
  std::optional<Error> unreadable;
  std::optional<Error> doubt;
};

Outcome survey_one(const format::Tensor& tensor) {
  Outcome outcome{{&tensor}, {}, {}};
  const auto matrix = format::TernaryMatrix::bind(tensor);
  if (!matrix) {
    outcome.unreadable = matrix.error();
    return outcome;
  }
  outcome.found.scale = matrix->scale();
  const auto codes = matrix->count_codes(0, matrix->rows());
  std::copy_n(codes.begin(), outcome.found.trits.size(), outcome.found.trits.begin());
  if (const auto at = matrix->find_invalid(0, matrix->rows())) {
    outcome.doubt = model::invalid_code(tensor, *at);
  } else if (auto plausible = model::check_trits(tensor, outcome.found.trits); !plausible) {
    outcome.doubt = std::move(plausible.error());
  }
  return outcome;
}

void add_scales(Survey& survey) {
  std::vector<model::TensorScale> scales;
  for (const MatrixSurvey& matrix : survey.matrices) {
    scales.push_back({matrix.tensor, matrix.scale});
  }
  if (scales.empty()) return;
  if (auto plausible = model::check_scales(scales); !plausible) {
    survey.doubts.push_back(std::move(plausible.error()));
  }
  std::sort(scales.begin(), scales.end(),
            [](const auto& a, const auto& b) { return a.scale < b.scale; });
  survey.least_scale = scales.front().scale;
  survey.median_scale = scales[scales.size() / 2].scale;
  survey.largest_scale = scales.back().scale;
}

}  // namespace

Result<Survey> survey(const format::GgufFile& file, std::uint32_t threads) {
  std::vector<const format::Tensor*> tensors;
  for (const format::Tensor& tensor : file.tensors()) {
    if (format::is_ternary(tensor.type)) tensors.push_back(&tensor);
  }
  std::vector<Outcome> outcomes(tensors.size());
  TERN_ASSIGN(const std::unique_ptr<ThreadPool> pool, ThreadPool::create(threads));
  pool->run([&](ThreadPool::Worker& worker) {
    for (std::size_t i = worker.index(); i < tensors.size(); i += worker.count()) {
      outcomes[i] = survey_one(*tensors[i]);
      file.release(*tensors[i]);
    }
  });
  Survey survey;
  for (Outcome& outcome : outcomes) {
    if (outcome.unreadable) {
      survey.doubts.push_back(std::move(*outcome.unreadable));
      continue;
    }
    if (outcome.doubt) survey.doubts.push_back(std::move(*outcome.doubt));
    for (std::size_t i = 0; i < survey.trits.size(); ++i) {
      survey.trits[i] += outcome.found.trits[i];
    }
    survey.matrices.push_back(outcome.found);
  }
  add_scales(survey);
  return survey;
}

}  // namespace tern::diagnose
