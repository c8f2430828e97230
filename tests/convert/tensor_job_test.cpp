// One tensor through TensorConverter, in tiles of any size: what is written is what the encoder
// makes of the whole matrix at once.
#include "convert/tensor_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <random>

#include "core/float16.h"
#include "support/temporary_directory.h"

namespace tern::convert {
namespace {

using arch::HfRole;
using arch::HfWeights;
using format::TensorType;
using ::testing::HasSubstr;

constexpr float kScale = 0.25f;
constexpr std::uint64_t kMegabyte = std::uint64_t{1} << 20;
constexpr std::uint64_t kWholeTensor = kMegabyte;  // a tile that holds it
constexpr std::uint64_t kBegin = 64;               // of the tensor in the output
constexpr std::uint64_t kScaleBegin = 8;           // of the scale beside it

// Test code: a failure is a thrown exception, which fails the test with its message.
template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().to_string());
  return std::move(*result);
}

struct Matrix {
  std::uint64_t rows;
  std::uint64_t columns;
  std::vector<std::int8_t> trits;

  Matrix(std::uint64_t r, std::uint64_t c) : rows(r), columns(c), trits(r * c) {
    std::mt19937 random(7);
    for (auto& trit : trits) trit = static_cast<std::int8_t>(random() % 3) - 1;
    // A tile without any magnitude goes before the first that has one.
    std::fill_n(trits.begin(), 3 * columns, std::int8_t{0});
  }
  float mean() const {
    double sum = 0.0;
    for (const auto trit : trits) sum += trit != 0 ? kScale : 0.0;
    return static_cast<float>(sum / static_cast<double>(trits.size()));
  }
};

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

// Quarter i of the rows in bits 2i and 2i + 1.
std::string packed(const Matrix& matrix) {
  const std::size_t quarter = matrix.trits.size() / 4;
  std::string out(quarter, '\0');
  for (std::size_t i = 0; i < matrix.trits.size(); ++i) {
    out[i % quarter] =
        static_cast<char>(out[i % quarter] | (matrix.trits[i] + 1) << (2 * (i / quarter)));
  }
  return out;
}

std::string floats(const Matrix& matrix, bool brain) {
  std::string out;
  for (const auto trit : matrix.trits) {
    const float value = kScale * static_cast<float>(trit);
    brain ? append(out, f32_to_bf16(value)) : append(out, value);
  }
  return out;
}

// Rows as a checkpoint has them: of each head the even ones, then the odd ones.
Matrix in_halves(const Matrix& matrix, std::uint64_t head) {
  Matrix out = matrix;
  std::uint64_t to = 0;
  for (std::uint64_t first = 0; first < matrix.rows; first += head) {
    for (const std::uint64_t odd : {0, 1}) {
      for (std::uint64_t row = odd; row < head; row += 2, ++to) {
        std::copy_n(
            matrix.trits.begin() + static_cast<std::ptrdiff_t>((first + row) * matrix.columns),
            matrix.columns, out.trits.begin() + static_cast<std::ptrdiff_t>(to * matrix.columns));
      }
    }
  }
  return out;
}

class TensorConverterTest : public ::testing::Test {
 protected:
  // A checkpoint of one tensor "w".
  void write_source(const std::string& type, std::uint64_t rows, std::uint64_t columns,
                    const std::string& data) {
    std::string header = R"({"w":{"dtype":")" + type + R"(","shape":[)" + std::to_string(rows) +
                         "," + std::to_string(columns) + R"(],"data_offsets":[0,)" +
                         std::to_string(data.size()) + "]}}";
    std::ofstream out(folder_ / "model.safetensors", std::ios::binary);
    const std::uint64_t length = header.size();
    out.write(reinterpret_cast<const char*>(&length), sizeof(length));
    out << header << data;
    out.close();
    source_ = must(open_folder(folder_.path()));
    checkpoint_ = must(format::Checkpoint::open(*source_));
    job_ = TensorJob();
    job_.source = checkpoint_.find("w")->tensor;
    job_.shape.rows = rows;
    job_.shape.columns = columns;
    job_.begin = kBegin;
    job_.scale_begin = kScaleBegin;
  }

  void write_ternary(const Matrix& matrix, HfWeights weights, TensorType type,
                     std::uint64_t head = 0) {
    const Matrix source = head == 0 ? matrix : in_halves(matrix, head);
    const bool quarters =
        weights == HfWeights::kPackedDivide || weights == HfWeights::kPackedMultiply;
    write_source(quarters                        ? "U8"
                 : weights == HfWeights::kOnline ? "BF16"
                                                 : "F32",
                 quarters ? matrix.rows / 4 : matrix.rows, matrix.columns,
                 quarters ? packed(source) : floats(source, weights == HfWeights::kOnline));
    job_.shape.rows = matrix.rows;
    job_.shape.role = HfRole::kTernary;
    job_.shape.neighbour_head = static_cast<std::uint32_t>(head);
    job_.weights = weights;
    job_.type = type;
    job_.scale = quarters ? kScale : 0.0f;
    job_.scale_beside = format::has_f16_scales(type);
  }

  // Converts into an output of zeros, with buffers that have held nothing larger. The tiles of
  // `beside` run once each, in order.
  Result<std::uint64_t> convert(std::uint64_t tile_bytes) {
    std::filesystem::remove(folder_ / "out.part");
    output_.emplace(must(OutputFile::open(folder_ / "out", std::string(64, 'a'), 2 * kMegabyte)));
    team_ = must(Team::create(3, {}));
    besides_.clear();
    const auto converted = converter(tile_bytes).convert(job_, beside());
    if (converted.ok()) {
      EXPECT_THAT(besides_, ::testing::ElementsAre(0, 1));
    }
    return converted;
  }
  Team::Task beside() {
    return [this](std::uint64_t tile, Scratch&) {
      besides_.push_back(tile);
      return Result<void>();
    };
  }
  TensorConverter converter(std::uint64_t tile_bytes) {
    return {checkpoint_, *output_, *team_, tile_bytes};
  }
  std::string written(std::uint64_t begin, std::uint64_t bytes) const {
    std::string out(bytes, '\0');
    EXPECT_TRUE(output_->read(begin, std::as_writable_bytes(std::span(out))).ok());
    return out;
  }

  // What the encoder makes of all rows at once.
  std::string encoded(const Matrix& matrix, float scale) const {
    const auto encoder = must(encoder_of(job_, scale));
    std::string out(encoder.bytes(), '\0');
    const auto put = [&](std::uint64_t at, std::span<const std::byte> bytes) {
      std::memcpy(out.data() + at, bytes.data(), bytes.size());
      return Result<void>();
    };
    std::vector<std::byte> scratch;
    EXPECT_TRUE(encoder.encode(0, matrix.rows, matrix.trits.data(), scratch, put).ok());
    EXPECT_TRUE(encoder.finish(put).ok());
    return out;
  }

  static std::string certificate_of(const Matrix& matrix, float scale) {
    MatrixCertificate certificate("w", matrix.rows, matrix.columns);
    certificate.add_rows(0, matrix.rows, matrix.trits.data());
    return certificate.finish(scale);
  }

  void expect_the_matrix(const Matrix& matrix, float scale, std::uint64_t tile_bytes) {
    SCOPED_TRACE("tiles of " + std::to_string(tile_bytes));
    MatrixCertificate certificate("w", matrix.rows, matrix.columns);
    float certified = 0.0f;
    job_.certificate = &certificate;
    job_.certificate_scale = &certified;
    ASSERT_EQ(must(convert(tile_bytes)), 0u);
    const std::string bytes = encoded(matrix, scale);
    EXPECT_TRUE(written(kBegin, bytes.size()) == bytes);
    EXPECT_EQ(written(0, kScaleBegin), std::string(kScaleBegin, '\0'));
    std::string scale_bytes;
    append(scale_bytes, job_.scale_beside ? scale : 0.0f);
    EXPECT_EQ(written(kScaleBegin, 4), scale_bytes);
    EXPECT_EQ(certificate.finish(certified), certificate_of(matrix, scale));
  }

  void expect_refused(ErrorCode code, const std::string& words, std::uint64_t tile_bytes = 1) {
    SCOPED_TRACE(words);
    const auto converted = convert(tile_bytes);
    ASSERT_FALSE(converted);
    EXPECT_EQ(converted.error().code, code);
    EXPECT_THAT(converted.error().message, HasSubstr(words));
    EXPECT_THAT(converted.error().context, HasSubstr("model.safetensors: tensor 'w'"));
  }

  test::TemporaryDirectory folder_;
  std::unique_ptr<Folder> source_;
  format::Checkpoint checkpoint_;
  std::optional<OutputFile> output_;
  std::unique_ptr<Team> team_ = must(Team::create(3, {}));
  std::vector<std::uint64_t> besides_;
  TensorJob job_;
};

constexpr HfWeights kAllWeights[] = {HfWeights::kPackedDivide, HfWeights::kPackedMultiply,
                                     HfWeights::kOnline, HfWeights::kTernaryFloats};

TEST_F(TensorConverterTest, WritesTheSameBytesInTilesOfAnySize) {
  // Quarters of whole parts; of 6 rows where a part has 4; of 40 rows where it has 32.
  const std::pair<TensorType, Matrix> cases[] = {{TensorType::kI2_S, Matrix(28, 128)},
                                                 {TensorType::kTQ2_0, Matrix(28, 256)},
                                                 {TensorType::kI2_S, Matrix(24, 96)},
                                                 {TensorType::kTL1, Matrix(160, 128)}};
  for (const auto& [type, matrix] : cases) {
    for (const HfWeights weights : kAllWeights) {
      SCOPED_TRACE(std::string(name(type)) + " " + std::to_string(static_cast<int>(weights)));
      write_ternary(matrix, weights, type);
      const float scale = weights == HfWeights::kOnline ? matrix.mean() : kScale;
      const std::uint64_t row = matrix.columns * element_bytes(job_.source->type);
      for (const std::uint64_t tile : {std::uint64_t{1}, 2 * row, 5 * row, kWholeTensor}) {
        expect_the_matrix(matrix, scale, tile);
      }
    }
  }
}

TEST_F(TensorConverterTest, FindsTheMagnitudeInTheLastRow) {
  Matrix matrix(24, 96);
  std::fill(matrix.trits.begin(), matrix.trits.end() - 1, std::int8_t{0});
  matrix.trits.back() = -1;
  write_ternary(matrix, HfWeights::kTernaryFloats, TensorType::kI2_S);
  expect_the_matrix(matrix, kScale, 5 * 96 * 4);
}

TEST_F(TensorConverterTest, MixesTheHalvesOfHeads) {
  const Matrix matrix(32, 128);
  for (const HfWeights weights : kAllWeights) {
    write_ternary(matrix, weights, TensorType::kI2_S, 8);
    const float scale = weights == HfWeights::kOnline ? matrix.mean() : kScale;
    for (const std::uint64_t tile : {std::uint64_t{1}, 3 * matrix.columns, kWholeTensor}) {
      expect_the_matrix(matrix, scale, tile);
    }
  }
}

TEST_F(TensorConverterTest, CertifiesWithoutAnOutput) {
  const Matrix matrix(24, 96);
  for (const HfWeights weights : kAllWeights) {
    write_ternary(matrix, weights, TensorType::kI2_S);
    MatrixCertificate certificate("w", matrix.rows, matrix.columns);
    float scale = 0.0f;
    job_.certificate = &certificate;
    job_.certificate_scale = &scale;
    output_.emplace(must(OutputFile::open(folder_ / "out", std::string(64, 'a'), 2 * kMegabyte)));
    ASSERT_TRUE(converter(1).certify(job_, beside()).ok());
    EXPECT_EQ(scale, weights == HfWeights::kOnline ? matrix.mean() : kScale);
    EXPECT_EQ(certificate.finish(scale), certificate_of(matrix, scale));
    EXPECT_EQ(written(0, 4096), std::string(4096, '\0'));
    output_.reset();
  }
}

TEST_F(TensorConverterTest, RefusesWhatIsNotTernary) {
  const Matrix matrix(24, 96);
  const auto spoilt = [&](HfWeights weights, std::size_t at, const std::string& bytes) {
    write_ternary(matrix, weights, TensorType::kI2_S);
    std::fstream file(folder_ / "model.safetensors",
                      std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(job_.source->offset + at));
    file << bytes;
  };
  const auto bits = [](float value) {
    std::string out;
    append(out, value);
    return out;
  };
  const std::size_t last = matrix.trits.size() - 1;
  spoilt(HfWeights::kPackedDivide, last / 4, "\xc0");
  expect_refused(ErrorCode::kMalformed, "a code is 3, which means no trit");
  spoilt(HfWeights::kTernaryFloats, 4 * last, bits(0.125f));
  expect_refused(ErrorCode::kUnsupported, "expected the weights 0 and +-0.25");
  spoilt(HfWeights::kTernaryFloats, 0, bits(std::numeric_limits<float>::infinity()));
  expect_refused(ErrorCode::kMalformed, "a weight is NaN or infinite");
  spoilt(HfWeights::kOnline, 2 * last, "\xc0\x7f");
  expect_refused(ErrorCode::kMalformed, "a weight is NaN or infinite");
  Matrix zeros = matrix;
  std::fill(zeros.trits.begin(), zeros.trits.end(), std::int8_t{0});
  write_ternary(zeros, HfWeights::kTernaryFloats, TensorType::kI2_S);
  expect_refused(ErrorCode::kMalformed, "all weights are zero");
  write_ternary(matrix, HfWeights::kTernaryFloats, TensorType::kTQ2_0);
  expect_refused(ErrorCode::kUnsupported, "tq2_0");
}

TEST_F(TensorConverterTest, WritesFloatsInTilesOfAnySize) {
  constexpr std::uint64_t kRows = 7;
  constexpr std::uint64_t kColumns = 32;
  std::string data;
  std::string expected;
  for (std::uint64_t i = 0; i < kRows * kColumns; ++i) {
    const float value = static_cast<float>(i) / 64.0f + (i % 10 == 0 ? 1e-6f : 0.0f);
    append(data, value);
    append(expected, f32_to_f16(value + 1.0f));
  }
  write_source("F32", kRows, kColumns, data);
  job_.shape.role = HfRole::kMatrix;
  job_.type = TensorType::kF16;
  job_.offset = 1.0f;
  job_.bytes = expected.size();
  std::optional<std::uint64_t> rounded;
  for (const std::uint64_t tile : {std::uint64_t{1}, 4 * kColumns * 4, kWholeTensor}) {
    const std::uint64_t found = must(convert(tile));
    EXPECT_EQ(rounded.value_or(found), found);
    rounded = found;
    EXPECT_TRUE(written(kBegin, expected.size()) == expected);
    EXPECT_EQ(written(0, kBegin), std::string(kBegin, '\0'));
  }
  EXPECT_GT(*rounded, 0u);
  EXPECT_LT(*rounded, kRows * kColumns);
  job_.offset = 1e6f;
  expect_refused(ErrorCode::kUnsupported, "f16");
}

TEST_F(TensorConverterTest, RefusesFloatsThatAreNone) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), -INFINITY}) {
    std::string data(31 * 4, '\0');
    append(data, value);
    write_source("F32", 2, 16, data);
    job_.shape.role = HfRole::kNorm;
    job_.type = TensorType::kF32;
    expect_refused(ErrorCode::kMalformed, "a value is NaN or infinite");
  }
}

// All of the tensor's bytes and its scale count, none beside them.
TEST_F(TensorConverterTest, HashesWhatBelongsToTheTensor) {
  const Matrix matrix(4096, 1280);  // more than one piece of a hash
  write_ternary(matrix, HfWeights::kPackedMultiply, TensorType::kTQ2_0);
  must(convert(kWholeTensor));
  job_.bytes = matrix.trits.size() / 256 * 66;
  ASSERT_GT(job_.bytes, kMegabyte);
  const auto hash = [&] { return must(converter(kWholeTensor).hash(job_)); };
  const std::uint64_t first = hash();
  EXPECT_EQ(hash(), first);
  const auto changes = [&](std::uint64_t at) {
    std::byte byte;
    EXPECT_TRUE(output_->read(at, std::span(&byte, 1)).ok());
    const std::byte other = byte ^ std::byte{1};
    EXPECT_TRUE(output_->write(at, std::span(&other, 1)).ok());
    const bool changed = hash() != first;
    EXPECT_TRUE(output_->write(at, std::span(&byte, 1)).ok());
    return changed;
  };
  for (const std::uint64_t at : {kBegin, kBegin + kMegabyte - 1, kBegin + kMegabyte,
                                 kBegin + job_.bytes - 1, kScaleBegin, kScaleBegin + 3}) {
    EXPECT_TRUE(changes(at)) << at;
  }
  for (const std::uint64_t at :
       {kBegin - 1, kBegin + job_.bytes, kScaleBegin - 1, kScaleBegin + 4}) {
    EXPECT_FALSE(changes(at)) << at;
  }
  job_.scale_beside = false;
  const std::uint64_t without = hash();
  EXPECT_NE(without, first);
}

}  // namespace
}  // namespace tern::convert
