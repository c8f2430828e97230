#include "format/gguf/gguf_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "format/gguf/gguf_file.h"
#include "support/temporary_directory.h"

namespace tern::format {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::byte> counting_bytes(std::size_t count, unsigned start) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(start + i);
  return bytes;
}

std::vector<char> content(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <typename T>
const std::vector<T>* array_of(const GgufFile& file, std::string_view key) {
  const GgufValue* value = file.find(key);
  const auto* array = value == nullptr ? nullptr : std::get_if<GgufArray>(value);
  return array == nullptr ? nullptr : std::get_if<std::vector<T>>(array);
}

class GgufWriterTest : public ::testing::Test {
 protected:
  tern::test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "model.gguf";
};

TEST_F(GgufWriterTest, EveryScalarTypeSurvives) {
  GgufWriter writer;
  writer.set("u8", std::uint8_t{255});
  writer.set("i8", std::int8_t{-128});
  writer.set("u16", std::uint16_t{65535});
  writer.set("i16", std::int16_t{-32768});
  writer.set("u32", std::uint32_t{4294967295u});
  writer.set("i32", std::int32_t{-2147483647});
  writer.set("u64", std::uint64_t{18446744073709551615u});
  writer.set("i64", std::int64_t{-9223372036854775807});
  writer.set("f32", 1e-5f);
  writer.set("f64", 0.1);
  writer.set("yes", true);
  writer.set("no", false);
  writer.set("text",
             "Gr\xc3\xbc\xc3\x9f"
             "e");
  writer.set("empty", std::string());
  ASSERT_TRUE(writer.write(path_).ok());
  const auto file = GgufFile::open(path_);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->alignment(), 32u);
  EXPECT_EQ(std::get<std::uint64_t>(*file->find("u8")), 255u);
  EXPECT_EQ(std::get<std::int64_t>(*file->find("i8")), -128);
  EXPECT_EQ(std::get<std::uint64_t>(*file->find("u16")), 65535u);
  EXPECT_EQ(std::get<std::int64_t>(*file->find("i16")), -32768);
  EXPECT_EQ(std::get<std::uint64_t>(*file->find("u32")), 4294967295u);
  EXPECT_EQ(std::get<std::int64_t>(*file->find("i32")), -2147483647);
  EXPECT_EQ(std::get<std::uint64_t>(*file->find("u64")), 18446744073709551615u);
  EXPECT_EQ(std::get<std::int64_t>(*file->find("i64")), -9223372036854775807);
  EXPECT_EQ(std::get<double>(*file->find("f32")), static_cast<double>(1e-5f));
  EXPECT_EQ(std::get<double>(*file->find("f64")), 0.1);
  EXPECT_EQ(std::get<bool>(*file->find("yes")), true);
  EXPECT_EQ(std::get<bool>(*file->find("no")), false);
  EXPECT_EQ(std::get<std::string_view>(*file->find("text")),
            "Gr\xc3\xbc\xc3\x9f"
            "e");
  EXPECT_EQ(std::get<std::string_view>(*file->find("empty")), "");
  EXPECT_THAT(file->keys(), ElementsAre("u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32",
                                        "f64", "yes", "no", "text", "empty"));
  EXPECT_TRUE(file->tensors().empty());
}

TEST_F(GgufWriterTest, EveryArrayTypeSurvives) {
  GgufWriter writer;
  writer.set("u8", std::vector<std::uint8_t>{0, 255});
  writer.set("i8", std::vector<std::int8_t>{-128, 127});
  writer.set("u16", std::vector<std::uint16_t>{1, 65535});
  writer.set("i16", std::vector<std::int16_t>{-32768, 2});
  writer.set("u32", std::vector<std::uint32_t>{4294967295u});
  writer.set("i32", std::vector<std::int32_t>{-1, 0, 1});
  writer.set("u64", std::vector<std::uint64_t>{18446744073709551615u});
  writer.set("i64", std::vector<std::int64_t>{-5, 5});
  writer.set("f32", std::vector<float>{0.1f, -0.0f});
  writer.set("f64", std::vector<double>{0.1, 2});
  writer.set("bool", std::vector<bool>{true, false, true});
  const std::string odd_token("\xff\x00token", 7);
  writer.set("strings", std::vector<std::string>{"a", odd_token, ""});
  writer.set("none", std::vector<std::string>{});
  ASSERT_TRUE(writer.write(path_).ok());
  const auto file = GgufFile::open(path_);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_THAT(*array_of<std::uint64_t>(*file, "u8"), ElementsAre(0, 255));
  EXPECT_THAT(*array_of<std::int64_t>(*file, "i8"), ElementsAre(-128, 127));
  EXPECT_THAT(*array_of<std::uint64_t>(*file, "u16"), ElementsAre(1, 65535));
  EXPECT_THAT(*array_of<std::int64_t>(*file, "i16"), ElementsAre(-32768, 2));
  EXPECT_THAT(*array_of<std::uint64_t>(*file, "u32"), ElementsAre(4294967295u));
  EXPECT_THAT(*array_of<std::int64_t>(*file, "i32"), ElementsAre(-1, 0, 1));
  EXPECT_THAT(*array_of<std::uint64_t>(*file, "u64"), ElementsAre(18446744073709551615u));
  EXPECT_THAT(*array_of<std::int64_t>(*file, "i64"), ElementsAre(-5, 5));
  EXPECT_THAT(*array_of<double>(*file, "f32"), ElementsAre(static_cast<double>(0.1f), 0.0));
  EXPECT_THAT(*array_of<double>(*file, "f64"), ElementsAre(0.1, 2.0));
  EXPECT_THAT(*array_of<bool>(*file, "bool"), ElementsAre(true, false, true));
  const auto strings = file->get_strings("strings");
  ASSERT_TRUE(strings.ok());
  EXPECT_THAT(*strings, ElementsAre("a", std::string_view(odd_token), ""));
  EXPECT_TRUE(file->get_strings("none")->empty());
}

TEST_F(GgufWriterTest, TensorsSurviveAtEveryAlignment) {
  for (const std::uint32_t alignment : {8u, 32u, 64u, 65536u}) {
    const auto f32 = counting_bytes(3 * 5 * 4, 1);
    const auto q8 = counting_bytes(2 * 34, 50);
    const auto i2 = counting_bytes(64, 90);
    GgufWriter writer(alignment);
    writer.set("k", std::uint32_t{1});
    writer.add_tensor("f", TensorType::kF32, {3, 5}, f32);
    writer.add_tensor("q", TensorType::kQ8_0, {32, 1, 2}, q8);
    writer.add_tensor("i", TensorType::kI2_S, {64, 2},
                      [&](const GgufWriter::Sink& sink) -> Result<void> {
                        TERN_TRY(sink(std::span(i2).first(40)));
                        return sink(std::span(i2).subspan(40));
                      });
    ASSERT_TRUE(writer.write(path_).ok());
    const auto file = GgufFile::open(path_);
    ASSERT_TRUE(file.ok()) << file.error().to_string();
    EXPECT_EQ(file->alignment(), alignment);
    ASSERT_EQ(file->tensors().size(), 3u);
    const Tensor* q = file->tensor("q");
    ASSERT_NE(q, nullptr);
    EXPECT_EQ(q->type, TensorType::kQ8_0);
    EXPECT_EQ(q->rank, 3u);
    EXPECT_THAT(q->shape, ElementsAre(32, 1, 2, 1));
    EXPECT_THAT(q->data, ::testing::ElementsAreArray(q8));
    EXPECT_THAT(file->tensor("f")->data, ::testing::ElementsAreArray(f32));
    EXPECT_THAT(file->tensor("i")->data, ::testing::ElementsAreArray(i2));
    for (const Tensor& tensor : file->tensors()) {
      EXPECT_EQ((tensor.data.data() - file->bytes().data()) % alignment, 0u) << tensor.name;
    }
    EXPECT_EQ(file->bytes().size() % alignment, 0u);
    EXPECT_EQ(file->tensor("absent"), nullptr);
  }
}

TEST_F(GgufWriterTest, RefusesWhatNoReaderAccepts) {
  const auto bytes = counting_bytes(64, 0);
  const auto refused = [&](const GgufWriter& writer) {
    const auto result = writer.write(path_);
    EXPECT_FALSE(result.ok());
    if (result.ok()) return std::string();
    EXPECT_EQ(result.error().code, ErrorCode::kUsage);
    EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
    return result.error().to_string();
  };
  GgufWriter twice;
  twice.set("a", true);
  twice.set("a", false);
  EXPECT_THAT(refused(twice), HasSubstr("key 'a': the key occurs twice"));
  GgufWriter shape;
  shape.add_tensor("t", TensorType::kQ8_0, {31, 2}, bytes);
  EXPECT_THAT(refused(shape), HasSubstr("tensor 't': expected rows of a multiple of 32"));
  GgufWriter rank;
  rank.add_tensor("t", TensorType::kF32, {1, 1, 1, 1, 16}, bytes);
  EXPECT_THAT(refused(rank), HasSubstr("expected a rank of 1 to 4, found 5"));
  GgufWriter few;
  few.add_tensor("t", TensorType::kF32, {17}, bytes);
  EXPECT_THAT(refused(few), HasSubstr("tensor 't': expected 68 bytes of data, the source gave 64"));
  GgufWriter many;
  many.add_tensor("t", TensorType::kF32, {15}, bytes);
  EXPECT_THAT(refused(many), HasSubstr("expected 60 bytes of data, the source gave 64"));
  EXPECT_THAT(refused(GgufWriter(12)),
              HasSubstr("expected a power of two from 8 to 65536, found 12"));
}

TEST_F(GgufWriterTest, AFailedWriteLeavesTheFormerFile) {
  GgufWriter good;
  good.set("a", true);
  ASSERT_TRUE(good.write(path_).ok());
  const auto before = content(path_);
  GgufWriter bad;
  bad.add_tensor("t", TensorType::kF32, {4}, [](const GgufWriter::Sink&) -> Result<void> {
    return Error{ErrorCode::kIo, "the disk is gone", "source"};
  });
  const auto result = bad.write(path_);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().to_string(), path_.string() + ": source: the disk is gone");
  EXPECT_EQ(content(path_), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(GgufWriterTest, AsksForRoomBeforeItAsksForBytes) {
  bool asked = false;
  const auto never = [&](const GgufWriter::Sink&) -> Result<void> {
    asked = true;
    return {};
  };
  constexpr std::uint64_t kRows = std::uint64_t{1} << 60;
  GgufWriter large;
  large.add_tensor("t", TensorType::kF32, {1, kRows}, never);
  auto result = large.write(path_);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kIo);
  EXPECT_THAT(result.error().to_string(), HasSubstr("the file needs 461168601842738"));
  // Their sum wraps to nearly nothing.
  GgufWriter wrapping;
  for (const char* name : {"a", "b", "c", "d"}) {
    wrapping.add_tensor(name, TensorType::kF32, {1, kRows}, never);
  }
  result = wrapping.write(path_);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kUsage);
  EXPECT_THAT(result.error().to_string(),
              HasSubstr("tensor 'd': the tensors together do not fit into 64 bits"));
  EXPECT_FALSE(asked);
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(GgufWriterTest, ADirectoryThatDoesNotExistIsNamed) {
  const auto result = GgufWriter().write(directory_ / "absent/model.gguf");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, ErrorCode::kIo);
  EXPECT_THAT(result.error().to_string(), HasSubstr("absent/model.gguf: cannot create"));
}

}  // namespace
}  // namespace tern::format
