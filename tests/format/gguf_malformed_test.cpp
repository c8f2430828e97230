// What the reader refuses, and what stands right at the border and is accepted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <ranges>

#include "format/gguf/gguf_file.h"
#include "format/gguf_builder.h"
#include "format/malformed_gguf.h"

namespace tern::format {
namespace {

using test::Bytes;
using test::GgufBuilder;
using test::MalformedGguf;
using ::testing::HasSubstr;

// Parses a copy on the heap that ends exactly where the file does, so that AddressSanitizer sees a
// read of even one byte too many.
Result<GgufFile> parse(std::span<const std::byte> bytes, std::unique_ptr<std::byte[]>& home) {
  home.reset(new std::byte[bytes.size()]);
  std::ranges::copy(bytes, home.get());
  return GgufFile::parse({home.get(), bytes.size()}, "file.gguf");
}

Error refusal(std::span<const std::byte> bytes) {
  std::unique_ptr<std::byte[]> home;
  const auto file = parse(bytes, home);
  return file.ok() ? Error{ErrorCode::kUsage, "accepted", ""} : file.error();
}

class MalformedFile : public ::testing::TestWithParam<MalformedGguf> {};

TEST_P(MalformedFile, IsRefused) {
  const Error error = refusal(GetParam().bytes);
  EXPECT_EQ(error.code, GetParam().code) << name(error.code);
  EXPECT_THAT(error.to_string(), HasSubstr(GetParam().fragment));
  EXPECT_EQ(error.to_string().rfind("file.gguf: ", 0), 0u);
}

INSTANTIATE_TEST_SUITE_P(Gguf, MalformedFile, ::testing::ValuesIn(test::malformed_gguf_files()),
                         [](const auto& file) { return file.param.name; });

// No two files meet the same refusal: the words that one is known by occur in no other's.
TEST(MalformedFiles, EachHaveAMessageOfTheirOwn) {
  const auto files = test::malformed_gguf_files();
  std::vector<std::string> messages;
  for (const MalformedGguf& file : files) messages.push_back(refusal(file.bytes).to_string());
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (std::size_t j = 0; j < files.size(); ++j) {
      if (i == j) continue;
      EXPECT_NE(files[i].name, files[j].name);
      EXPECT_EQ(messages[j].find(files[i].fragment), std::string::npos)
          << files[j].name << " reads like " << files[i].name;
    }
  }
}

// Every section of the format, the last data byte the last of the file.
std::vector<std::byte> rich_file() {
  return GgufBuilder()
      .version(2)
      .key("general.alignment", 64)
      .key("text", test::kString, Bytes().text("words"))
      .key("yes", test::kBool, Bytes().u8(1))
      .array("tokens", test::kString, 3, Bytes().text("a").text("").text("\xff"))
      .array("scores", test::kF32, 2, Bytes().put(1.0f).put(2.0f))
      .array("flags", test::kBool, 2, Bytes().u8(0).u8(1))
      .tensor("i", {64, 2}, test::kTypeI2_S, 0)
      .tensor("q", {32}, test::kTypeQ8_0, 128)
      .tensor("f", {1, 1, 1, 3}, test::kTypeF32, 64)
      .file(162, 64);
}

TEST(RichFile, IsAccepted) {
  std::unique_ptr<std::byte[]> home;
  const auto file = parse(rich_file(), home);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_EQ(file->version(), 2u);
  EXPECT_EQ(file->alignment(), 64u);
  EXPECT_EQ(file->keys().size(), 6u);
  ASSERT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->tensor("i")->data.size(), 64u);
  EXPECT_EQ(file->tensor("f")->data.data(), file->tensor("i")->data.data() + 64);
  EXPECT_EQ(file->tensor("f")->rank, 4u);
  EXPECT_EQ(file->tensor("f")->rows(), 3u);
  EXPECT_EQ(file->tensor("q")->data.size(), 34u);
}

TEST(RichFile, IsRefusedWhereverItIsCut) {
  const auto bytes = rich_file();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const Error error = refusal(std::span(bytes).first(size));
    EXPECT_EQ(error.code, ErrorCode::kMalformed) << size << ": " << error.to_string();
  }
}

// Whatever the bytes, the reader answers, and what it accepts lies inside the file.
TEST(RichFile, SurvivesRandomDamage) {
  std::mt19937 generator(42);
  const auto good = rich_file();
  int accepted = 0;
  for (int round = 0; round < 5000; ++round) {
    auto bytes = good;
    for (std::uint32_t hit = 0; hit <= generator() % 3; ++hit) {
      constexpr std::uint8_t kValues[] = {0, 1, 0x7f, 0x80, 0xff};
      const auto choice = generator() % 6;
      bytes[generator() % bytes.size()] =
          static_cast<std::byte>(choice < 5 ? kValues[choice] : generator() & 0xff);
    }
    std::unique_ptr<std::byte[]> home;
    const auto file = parse(bytes, home);
    if (!file.ok()) continue;
    ++accepted;
    for (const Tensor& tensor : file->tensors()) {
      ASSERT_GE(tensor.data.data(), home.get());
      ASSERT_LE(tensor.data.data() + tensor.data.size(), home.get() + bytes.size());
    }
  }
  EXPECT_GT(accepted, 250);  // damage to data or names is no damage to the form
}

class AtTheLimit : public ::testing::Test {
 protected:
  void expect_accepted(std::span<const std::byte> bytes) {
    std::unique_ptr<std::byte[]> home;
    const auto file = parse(bytes, home);
    EXPECT_TRUE(file.ok()) << file.error().to_string();
  }
  void expect_tensor(std::initializer_list<std::uint64_t> shape, std::uint32_t type,
                     std::size_t bytes) {
    expect_accepted(GgufBuilder().tensor("t", shape, type, 0).file(bytes));
    const Error error = refusal(GgufBuilder().tensor("t", shape, type, 0).file(bytes - 1));
    EXPECT_THAT(error.to_string(), HasSubstr("end behind it"));
  }
};

TEST_F(AtTheLimit, Header) {
  expect_accepted(GgufBuilder().head());
  expect_accepted(GgufBuilder().version(2).head());
  // One key and nothing else: the shortest entry there is.
  expect_accepted(GgufBuilder().key("a", test::kU8, Bytes().u8(1)).head());
  // One tensor entry as short as can be: refused for its data, not for the count.
  EXPECT_THAT(refusal(GgufBuilder().tensor("t", {1}, test::kTypeF32, 0).head()).to_string(),
              HasSubstr("the data section has 0 bytes"));
}

TEST_F(AtTheLimit, Counts) {
  GgufBuilder keys;
  GgufBuilder tensors;
  for (std::uint32_t i = 0; i < 65536; ++i) {
    keys.key(std::to_string(i), test::kU8, Bytes().u8(1));
    tensors.tensor(std::to_string(i), {1}, test::kTypeF32, 32 * std::uint64_t{i});
  }
  expect_accepted(keys.head());
  expect_accepted(tensors.file(std::size_t{65536} * 32));
}

TEST_F(AtTheLimit, Arrays) {
  constexpr std::uint64_t kLimit = 8388608;
  expect_accepted(GgufBuilder()
                      .array("a", test::kU8, kLimit - 1, Bytes().zeros(kLimit - 1))
                      .array("b", test::kBool, 1, Bytes().zeros(1))
                      .head());
  expect_accepted(GgufBuilder().array("a", test::kU64, 3, Bytes().zeros(24)).head());
  expect_accepted(GgufBuilder().array("a", test::kString, 3, Bytes().zeros(24)).head());
  expect_accepted(GgufBuilder().array("a", test::kU64, 0, Bytes()).head());
}

TEST_F(AtTheLimit, Names) {
  const std::string text =
      "a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
      "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
  expect_accepted(GgufBuilder().key(text, 1).head());
  expect_accepted(GgufBuilder().key(std::string(65535, 'k'), 1).head());
  expect_accepted(GgufBuilder().tensor(std::string(64, 't'), {1}, test::kTypeF32, 0).file(4));
}

TEST_F(AtTheLimit, Alignment) {
  for (const std::uint32_t alignment : {8u, 16u, 65536u}) {
    expect_accepted(GgufBuilder()
                        .key("general.alignment", alignment)
                        .tensor("a", {1}, test::kTypeF32, alignment)
                        .tensor("b", {2}, test::kTypeF32, 0)
                        .file(alignment + 4, alignment));
  }
}

TEST_F(AtTheLimit, Tensors) {
  expect_tensor({1}, test::kTypeF32, 4);
  expect_tensor({3, 1, 1, 2}, test::kTypeF16, 12);
  expect_tensor({64, 3}, test::kTypeQ8_0, 204);
  expect_tensor({256, 2}, test::kTypeQ6_K, 420);
  expect_tensor({5, 3}, 30, 30);  // bf16
  expect_tensor({8, 16}, test::kTypeI2_S, 64);
  expect_tensor({8640, 2}, test::kTypeI2_S, 8640 / 2 + 32);
}

// An entry area that ends on a multiple of the alignment has no padding behind it.
TEST_F(AtTheLimit, NoPadding) {
  GgufBuilder builder;
  builder.key(std::string(23, 'k'), 1).tensor("t", {1}, test::kTypeF32, 0);
  ASSERT_EQ(builder.head().size() % 32, 0u);
  auto bytes = builder.file(4);
  bytes.back() = std::byte{0x40};
  std::unique_ptr<std::byte[]> home;
  const auto file = parse(bytes, home);
  ASSERT_TRUE(file.ok()) << file.error().to_string();
  EXPECT_EQ(file->tensor("t")->data.data(), home.get() + builder.head().size());
}

TEST(Message, ShowsHostileNamesSafely) {
  const std::string name = "\x1b[2J" + std::string(100, 'x');
  const auto bytes = GgufBuilder().key(name, test::kBool, Bytes().u8(9)).head();
  EXPECT_EQ(refusal(bytes).to_string(),
            "file.gguf: key '\\x1b[2J" + std::string(76, 'x') +
                "...': expected 0 or 1 for the value, a bool, found 9 (at offset 140)");
}

}  // namespace
}  // namespace tern::format
