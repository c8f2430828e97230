#include "format/kernel_config.h"

#include <gtest/gtest.h>

#include <string>

namespace tern::format {
namespace {

constexpr std::string_view kOne = "[Kernels_0]\nm = 256\nk = 768\nbm = 128\nbk = 96\nbmm = 32\n";

std::string error_of(std::string_view text) {
  const auto config = KernelConfig::parse(text);
  if (config) return "";
  EXPECT_EQ(config.error().code, ErrorCode::kMalformed);
  return config.error().to_string();
}

TEST(KernelConfig, ReadsWhatBitnetCppWrites) {
  const auto config = KernelConfig::parse(
      "; a comment\n# another\r\n[Kernels_0]\r\nM = 3200\r\nK: 8640\r\nbm =160\r\nbk= 96\r\n"
      "\tbmm = 32 \r\nextra = yes\r\n\r\n[Kernels_1]\nm=320\nk=3200\nbm=320\nbk=64\nbmm=64");
  ASSERT_TRUE(config.ok()) << config.error().to_string();
  EXPECT_EQ(config->find(3200, 8640), (TlTiling{160, 96, 32}));
  EXPECT_EQ(config->find(320, 3200), (TlTiling{320, 64, 64}));
  EXPECT_FALSE(config->find(8640, 3200).known());
  EXPECT_FALSE(config->empty());
}

TEST(KernelConfig, ItsTextComesBack) {
  KernelConfig config;
  EXPECT_TRUE(config.empty());
  EXPECT_EQ(config.text(), "");
  config.add(256, 768, {128, 96, 32});
  config.add(128, 256, {64, 32, 64});
  const std::string text = config.text();
  EXPECT_TRUE(text.starts_with("[Kernels_0]\nm = 128\nk = 256\nbm = 64\nbk = 32\nbmm = 64\n\n"))
      << text;
  const auto again = KernelConfig::parse(text);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->text(), text);
  EXPECT_TRUE(KernelConfig::parse("").value().empty());
}

TEST(KernelConfig, WhatItRefuses) {
  const std::string one(kOne);
  EXPECT_EQ(error_of("m = 1\n"), "line 1: expected a [section], found 'm = 1'");
  EXPECT_EQ(error_of("\n[Kernels_0]\nm = 1\nk = 1\nbm = 1\nbk = 1\n"),
            "line 2: the section 'Kernels_0' has no bmm");
  EXPECT_EQ(error_of("[a]\nk = 1\n" + one), "line 1: the section 'a' has no m");
  EXPECT_EQ(error_of("[a]\nm\n"), "line 2: expected NAME = NUMBER, found 'm'");
  for (const std::string value : {"", "0", "-1", "16777217", "4294967296", "3x", "x", "1 2"}) {
    EXPECT_EQ(error_of("[a]\nm = " + value + "\n"),
              "line 2: expected m to be a number from 1 to 16777216, found '" + value + "'");
  }
  EXPECT_EQ(error_of("[a]\nm = 1\nm = 1\n"), "line 3: the section has a second m");
  EXPECT_EQ(error_of(one + "[b]\nm = 256\nk = 768\nbm = 64\nbk = 96\nbmm = 32\n"),
            "line 7: the shape 256 x 768 has two tilings; expected one");
  EXPECT_EQ(error_of(one + one), "");  // the same twice
}

}  // namespace
}  // namespace tern::format
