// Safetensors: what is read, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "format/malformed_safetensors.h"
#include "format/safetensors/checkpoint.h"
#include "support/temporary_directory.h"

namespace tern::format {
namespace {

using test::MalformedSafetensors;
using test::safetensors;
using ::testing::HasSubstr;

Result<std::vector<SafetensorsTensor>> parse(std::span<const std::byte> bytes) {
  TERN_ASSIGN(const std::uint64_t length,
              safetensors_header_bytes(bytes.first(std::min<std::size_t>(8, bytes.size())),
                                       bytes.size(), "file"));
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  return parse_safetensors_header(header, 8 + length, bytes.size(), "file");
}

std::string refusal(const MalformedSafetensors& file) {
  const auto parsed = parse(file.bytes);
  if (parsed.ok()) return "accepted";
  EXPECT_EQ(parsed.error().code, file.code) << file.name;
  return parsed.error().to_string();
}

class MalformedSafetensorsFile : public ::testing::TestWithParam<MalformedSafetensors> {};

TEST_P(MalformedSafetensorsFile, IsRefused) {
  const std::string message = refusal(GetParam());
  EXPECT_THAT(message, HasSubstr(GetParam().fragment));
  EXPECT_EQ(message.rfind("file: ", 0), 0u) << message;
}

INSTANTIATE_TEST_SUITE_P(Safetensors, MalformedSafetensorsFile,
                         ::testing::ValuesIn(test::malformed_safetensors_files()),
                         [](const auto& file) { return file.param.name; });

TEST(MalformedSafetensorsFiles, EachHaveAMessageOfTheirOwn) {
  const auto files = test::malformed_safetensors_files();
  for (const auto& a : files) {
    for (const auto& b : files) {
      if (a.name == b.name) continue;
      EXPECT_EQ(refusal(b).find(a.fragment), std::string::npos)
          << b.name << " reads like " << a.name;
    }
  }
}

TEST(SafetensorsHeader, RefusesATypeThatIsNoTextAndTakesNumbersOf64Bits) {
  const auto refusal = [](const std::string& type, const std::string& shape) {
    const auto tensors = parse_safetensors_header(
        R"({"t":{"dtype":)" + type + R"(,"shape":)" + shape + R"(,"data_offsets":[0,4]}})", 100,
        104, "file");
    return tensors ? "no error" : tensors.error().to_string();
  };
  EXPECT_EQ(refusal(R"("F32")", "[1]"), "no error");
  for (const char* type : {"5", "null", "[]", "{}"}) {
    EXPECT_THAT(refusal(type, "[1]"), HasSubstr("expected a text at dtype")) << type;
  }
  EXPECT_THAT(refusal(R"("F32")", "[18446744073709551615]"),
              HasSubstr("the shape [18446744073709551615] does not fit into 64 bits"));
}

TEST(SafetensorsHeader, GivesTensorsInTheOrderOfTheirBytes) {
  const auto bytes = safetensors(
      R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}   )",
      16);
  const auto tensors = parse(bytes);
  ASSERT_TRUE(tensors.ok()) << tensors.error().to_string();
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[0].name, "a");
  EXPECT_EQ((*tensors)[0].elements(), 1u);
  EXPECT_EQ((*tensors)[0].offset, bytes.size() - 16);
  EXPECT_EQ((*tensors)[1].shape_text(), "[2, 3]");
  EXPECT_EQ((*tensors)[1].type, SafetensorsType::kBF16);
  EXPECT_EQ((*tensors)[1].offset, bytes.size() - 12);
  EXPECT_EQ((*tensors)[1].bytes, 12u);
  EXPECT_TRUE(parse(safetensors("{}", 0)).ok());
}

class CheckpointFolder : public ::testing::Test {
 protected:
  void write(const std::string& name, std::span<const std::byte> bytes) {
    std::ofstream out(folder_ / name.c_str(), std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  }
  void write_text(const std::string& name, std::string_view text) {
    write(name, std::as_bytes(std::span(text)));
  }
  void write_tensor(const std::string& file, const std::string& tensor) {
    write(file,
          safetensors("{\"" + tensor + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 2));
  }
  void write_index(const std::string& map) {
    write_text("model.safetensors.index.json", R"({"weight_map":)" + map + "}");
  }
  std::string refusal() {
    const auto checkpoint = Checkpoint::open(*open_folder(folder_.path()).value());
    return checkpoint.ok() ? "accepted" : checkpoint.error().to_string();
  }

  test::TemporaryDirectory folder_;
};

TEST_F(CheckpointFolder, OneFile) {
  write_tensor("model.safetensors", "a");
  const auto checkpoint = Checkpoint::open(*open_folder(folder_.path()).value());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  ASSERT_NE(checkpoint->find("a"), nullptr);
  EXPECT_EQ(checkpoint->find("b"), nullptr);
  std::array<std::byte, 2> bytes{};
  const auto& file = checkpoint->files()[0];
  EXPECT_TRUE(file.read(checkpoint->find("a")->tensor->offset, bytes).ok());
  EXPECT_FALSE(file.read(checkpoint->find("a")->tensor->offset + 1, bytes).ok());
}

TEST_F(CheckpointFolder, Shards) {
  write_tensor("x-1", "a");
  write_tensor("x-2", "b");
  write_index(R"({"b":"x-2","a":"x-1"})");
  const auto checkpoint = Checkpoint::open(*open_folder(folder_.path()).value());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  EXPECT_EQ(checkpoint->files().size(), 2u);
  EXPECT_EQ(checkpoint->find("b")->file, 1u);
}

TEST_F(CheckpointFolder, RefusesWhatIsNoCheckpoint) {
  EXPECT_THAT(refusal(), HasSubstr("expected model.safetensors or model.safetensors.index.json"));
  write_tensor("model-00001-of-00002.safetensors", "a");
  EXPECT_THAT(refusal(), HasSubstr("a shard that is missing would go unnoticed"));
}

TEST_F(CheckpointFolder, RefusesPicklesWithARecipe) {
  write_text("pytorch_model.bin", "x");
  EXPECT_THAT(refusal(), HasSubstr("pytorch_model.bin: the weights are a pickle"));
  EXPECT_THAT(refusal(), HasSubstr("weights_only=True"));
}

TEST_F(CheckpointFolder, RefusesTwoModels) {
  write_tensor("model.safetensors", "a");
  write_index(R"({"a":"model.safetensors"})");
  EXPECT_THAT(refusal(), HasSubstr("which of them is the model?"));
}

TEST_F(CheckpointFolder, RefusesBrokenIndexes) {
  write_tensor("x-1", "a");
  write_tensor("x-2", "a");
  write_tensor("x-3", "c");
  for (const auto& [map, fragment] : std::vector<std::pair<std::string, std::string>>{
           {R"("a")", "expected an object at weight_map"},
           {"{}", "the weight_map is empty"},
           {R"({"a":1})", "expected the name of a file for 'a'"},
           {R"({"a":"../x-1"})", "expected a file of the same folder for 'a', found '../x-1'"},
           {R"({"a":".."})", "found '..'"},
           {R"({"a":""})", "found ''"},
           {R"({"a":"x-1","a":"x-1"})", "the name 'a' stands twice"},
           {R"({"a":"x-1","b":"x-9"})", "names the file 'x-9', which is missing"},
           {R"({"a":"x-1","b":"x-1"})", "names tensor 'b' of 'x-1', which does not hold it"},
           {R"({"a":"x-3","c":"x-1"})", "names tensor 'a' of 'x-3'"},
           {R"({"a":"x-1","c":"x-2"})", "tensor 'a' stands in x-1, too"},
       }) {
    write_index(map);
    EXPECT_THAT(refusal(), HasSubstr(fragment)) << map;
  }
  write_tensor("x-2", "d");
  write("x-4", safetensors(R"({"e":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("f":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                           2));
  write_index(R"({"e":"x-4"})");
  EXPECT_THAT(refusal(), HasSubstr("does not name tensor 'f', which x-4 holds"));
  write_text("model.safetensors.index.json", "[]");
  EXPECT_THAT(refusal(), HasSubstr("index.json: expected an object"));
  write_text("model.safetensors.index.json", "{}");
  EXPECT_THAT(refusal(), HasSubstr("expected a weight_map, found none"));
  write_text("model.safetensors.index.json", "{");
  EXPECT_THAT(refusal(), HasSubstr("expected JSON"));
  std::string shards = R"({"t0":"f0")";
  for (int i = 1; i < 4096; ++i) {
    shards += ",\"t" + std::to_string(i) + "\":\"f" + std::to_string(i) + "\"";
  }
  write_index(shards + "}");
  EXPECT_THAT(refusal(), HasSubstr("names the file 'f0', which is missing"));
  write_index(shards + R"(,"t":"f"})");
  EXPECT_THAT(refusal(), HasSubstr("expected at most 4096 files, found 4097"));
}

}  // namespace
}  // namespace tern::format
