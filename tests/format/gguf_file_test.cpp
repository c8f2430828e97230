// The look-ups of GgufFile on well-formed files. What it refuses is in gguf_malformed_test.cpp.
#include "format/gguf/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/gguf/gguf_writer.h"
#include "support/temporary_directory.h"

namespace tern::format {
namespace {

class GgufLookup : public ::testing::Test {
 protected:
  void SetUp() override {
    GgufWriter writer;
    writer.set("uint", std::uint32_t{7});
    writer.set("int", std::int32_t{9});
    writer.set("zero", std::int32_t{0});
    writer.set("negative", std::int32_t{-3});
    writer.set("float", 0.5f);
    writer.set("yes", true);
    writer.set("text", "words");
    writer.set("list", std::vector<std::string>{"a", "b"});
    writer.set("numbers", std::vector<std::int32_t>{1, 2});
    ASSERT_TRUE(writer.write(directory_ / "m.gguf").ok());
    auto opened = GgufFile::open(directory_ / "m.gguf");
    ASSERT_TRUE(opened.ok()) << opened.error().to_string();
    file_.emplace(std::move(*opened));
  }

  // The message behind "<file>: ".
  template <typename T>
  std::string refusal(const Result<T>& result) {
    if (result.ok()) return "accepted";
    EXPECT_EQ(result.error().code, ErrorCode::kMalformed);
    const std::string text = result.error().to_string();
    const std::string prefix = file_->source() + ": ";
    EXPECT_EQ(text.rfind(prefix, 0), 0u) << text;
    return text.substr(prefix.size());
  }

  tern::test::TemporaryDirectory directory_;
  std::optional<GgufFile> file_;
};

TEST_F(GgufLookup, FindsTypedValues) {
  EXPECT_EQ(*file_->get_uint("uint"), 7u);
  EXPECT_EQ(*file_->get_uint("int"), 9u);
  EXPECT_EQ(*file_->get_uint("zero"), 0u);
  EXPECT_EQ(*file_->get_float("float"), 0.5);
  EXPECT_EQ(*file_->get_string("text"), "words");
  EXPECT_THAT(*file_->get_strings("list"), ::testing::ElementsAre("a", "b"));
  EXPECT_EQ(file_->find("absent"), nullptr);
}

TEST_F(GgufLookup, FallsBackOnlyWhereTheKeyIsMissing) {
  EXPECT_EQ(*file_->get_uint_or("uint", 1), 7u);
  EXPECT_EQ(*file_->get_uint_or("absent", 1), 1u);
  EXPECT_EQ(*file_->get_float_or("float", 2), 0.5);
  EXPECT_EQ(*file_->get_float_or("absent", 2), 2);
  EXPECT_EQ(*file_->get_bool_or("yes", false), true);
  EXPECT_EQ(*file_->get_bool_or("absent", true), true);
  EXPECT_EQ(*file_->get_string_or("text", "x"), "words");
  EXPECT_EQ(*file_->get_string_or("absent", "x"), "x");
  EXPECT_EQ(refusal(file_->get_uint_or("text", 1)),
            "key 'text': expected an unsigned integer, found string");
  EXPECT_EQ(refusal(file_->get_float_or("yes", 1)), "key 'yes': expected a float, found bool");
  EXPECT_EQ(refusal(file_->get_bool_or("uint", true)),
            "key 'uint': expected a bool, found unsigned integer");
  EXPECT_EQ(refusal(file_->get_string_or("float", "x")),
            "key 'float': expected a string, found float");
}

TEST_F(GgufLookup, NamesKeyExpectedAndFound) {
  EXPECT_EQ(refusal(file_->get_uint("absent")),
            "key 'absent': expected an unsigned integer, found none");
  EXPECT_EQ(refusal(file_->get_uint("negative")),
            "key 'negative': expected an unsigned integer, found signed integer -3");
  EXPECT_EQ(refusal(file_->get_float("absent")), "key 'absent': expected a float, found none");
  EXPECT_EQ(refusal(file_->get_string("list")),
            "key 'list': expected a string, found array of strings");
  EXPECT_EQ(refusal(file_->get_strings("numbers")),
            "key 'numbers': expected an array of strings, found array of signed integers");
  EXPECT_EQ(refusal(file_->get_strings("text")),
            "key 'text': expected an array of strings, found string");
  EXPECT_EQ(refusal(file_->get_strings("absent")),
            "key 'absent': expected an array of strings, found none");
}

TEST_F(GgufLookup, AMovedFileKeepsItsViews) {
  const std::string_view before = *file_->get_string("text");
  const GgufFile moved = std::move(*file_);
  EXPECT_EQ(moved.get_string("text")->data(), before.data());
  EXPECT_EQ(*moved.get_string("text"), "words");
}

}  // namespace
}  // namespace tern::format
