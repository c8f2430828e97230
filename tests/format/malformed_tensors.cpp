#include <iterator>

#include "format/gguf_builder.h"
#include "format/malformed_gguf.h"

namespace tern::test {
namespace {

using Shape = std::initializer_list<std::uint64_t>;

// A long key in front, so that the header's counts are plausible however soon the file ends. The
// tensor entry starts at offset 24 + 8 + 3 + 4 + 8 + 200 = 247.
std::vector<std::byte> cut_behind(const Bytes& entry) {
  return GgufBuilder()
      .key("pad", kString, Bytes().text(std::string(200, ' ')))
      .raw_tensor(entry)
      .head();
}

// One tensor "t" whose data, if any, is there.
std::vector<std::byte> one(Shape shape, std::uint32_t type, std::size_t data_bytes) {
  return GgufBuilder().tensor("t", shape, type, 0).file(data_bytes);
}

std::vector<std::byte> named(std::string_view name) {
  return GgufBuilder().tensor(name, {1}, kTypeF32, 0).file(32);
}

std::vector<MalformedGguf> cut_files() {
  const Bytes name = Bytes().text("t");
  return {
      {"CutInTensorNameLength",
       "tensor 1 of 1: the file ends inside a tensor name's length: "
       "expected 8 bytes at offset 247, found 7",
       cut_behind(Bytes().zeros(7))},
      {"CutInTensorName", "inside a tensor name's text: expected 4 bytes at offset 255, found 3",
       cut_behind(Bytes().u64(4).raw("ten"))},
      {"CutInRank",
       "tensor 't': the file ends inside the rank: expected 4 bytes at offset 256, "
       "found 3",
       cut_behind(Bytes(name).zeros(3))},
      {"CutInShape", "inside the shape: expected 8 bytes at offset 268, found 7",
       cut_behind(Bytes(name).u32(2).u64(1).zeros(7))},
      {"CutInTensorType", "inside the tensor type: expected 4 bytes at offset 268, found 3",
       cut_behind(Bytes(name).u32(1).u64(1).zeros(3))},
      {"CutInDataOffset", "inside the data offset: expected 8 bytes at offset 272, found 7",
       cut_behind(Bytes(name).u32(1).u64(1).u32(0).zeros(7))},
  };
}

std::vector<MalformedGguf> bad_names() {
  return {
      {"EmptyTensorName", "tensor 1 of 1: the tensor name is empty (at offset 24)", named("")},
      {"TensorNameTooLong", "expected a tensor name of at most 64 bytes, found 65 (at offset 24)",
       named(std::string(65, 't'))},
      {"AbsurdTensorNameLength", "a tensor name of at most 64 bytes, found 18446744073709551615",
       GgufBuilder().raw_tensor(Bytes().u64(~std::uint64_t{0}).zeros(64)).head()},
      {"TensorNameNotUtf8", "the tensor name '\\xc3(' is not valid UTF-8 (at offset 24)",
       named("\xc3\x28")},
      {"DuplicateTensor", "tensor 'a': the tensor occurs twice; expected each name once",
       GgufBuilder().tensor("a", {1}, kTypeF32, 0).tensor("a", {1}, kTypeF32, 32).file(64)},
  };
}

std::vector<MalformedGguf> bad_shapes() {
  constexpr std::uint64_t k2to32 = std::uint64_t{1} << 32;
  return {
      {"Rank0", "tensor 't': expected a rank of 1 to 4, found 0 (at offset 33)",
       one({}, kTypeF32, 32)},
      {"Rank5", "expected a rank of 1 to 4, found 5", one({1, 1, 1, 1, 1}, kTypeF32, 32)},
      {"AbsurdRank", "expected a rank of 1 to 4, found 4294967295",
       GgufBuilder().raw_tensor(Bytes().text("t").u32(0xffffffff).zeros(64)).head()},
      {"NoColumns", "expected a positive size of dimension 0, found 0", one({0}, kTypeF32, 32)},
      {"NoRows", "expected a positive size of dimension 1, found 0", one({4, 0}, kTypeF32, 32)},
      {"NoFourthDimension", "expected a positive size of dimension 3, found 0",
       one({4, 1, 1, 0}, kTypeF32, 32)},
      {"ElementsOverflow", "does not fit into 64 bits (dimension 1 is 4294967296)",
       one({k2to32, k2to32}, kTypeF32, 32)},
      {"ElementsOverflowLate",
       "the number of elements does not fit into 64 bits (dimension 3 is 2) (at offset 33)",
       one(
           {
               k2to32,
               k2to32 / 2,
               1,
               2,
           },
           kTypeF32, 32)},
      {"F32SizeOverflow", "the size of 4611686018427387904 elements of f32 does not fit",
       one({k2to32, k2to32 / 4}, kTypeF32, 32)},
      {"F16SizeOverflow", "the size of 9223372036854775808 elements of f16 does not fit",
       one({k2to32, k2to32 / 2}, kTypeF16, 32)},
      {"Q8SizeOverflow", "elements of q8_0 does not fit into 64 bits",
       one({k2to32, k2to32 - 1}, kTypeQ8_0, 32)},
      {"Q8RowsOfHalfBlocks", "expected rows of a multiple of 32 elements for q8_0, found 48",
       one({48, 2}, kTypeQ8_0, 102)},
      {"Q4RowsOfHalfBlocks", "expected rows of a multiple of 32 elements for q4_0, found 48",
       one({48, 2}, kTypeQ4_0, 54)},
      {"Tq1RowsOfHalfBlocks", "expected rows of a multiple of 256 elements for tq1_0, found 128",
       one({128, 2}, kTypeTQ1_0, 54)},
      {"Tq2RowsOfHalfBlocks", "expected rows of a multiple of 256 elements for tq2_0, found 384",
       one({384, 2}, kTypeTQ2_0, 198)},
      {"Q6RowsOfHalfBlocks", "expected rows of a multiple of 256 elements for q6_k, found 128",
       one({128, 2}, kTypeQ6_K, 210)},
      {"I2sVector", "expected a matrix (rank 2) of i2_s, found rank 1 (at offset 45)",
       one({128}, kTypeI2_S, 64)},
      {"I2sCube", "expected a matrix (rank 2) of i2_s, found rank 3",
       one({128, 1, 1}, kTypeI2_S, 64)},
      {"Tl1Vector", "expected a matrix (rank 2) of tl1, found rank 1", one({128}, kTypeTL1, 64)},
      {"Tl1OfHalfBlocks",
       "tl1: expected rows and columns of positive multiples of 32, found 16 x 64 (at offset",
       one({64, 16}, kTypeTL1, 288)},
      {"Tl2OfFewColumns", "tl2: expected at least 256 columns, found 128",
       one({128, 32}, kTypeTL2, 1024)},
      {"Iq2BnVector", "expected a matrix (rank 2) of iq2_bn, found rank 1",
       one({128}, kTypeIQ2_BN, 64)},
      {"Iq2BnOfHalfBlocks", "expected rows of a multiple of 64 elements for iq2_bn, found 96",
       one({96, 2}, kTypeIQ2_BN, 64)},
      {"Iq1BnOfHalfBlocks", "expected rows of a multiple of 64 elements for iq1_bn, found 32",
       one({32, 2}, kTypeIQ1_BN, 64)},
      {"I2sOfHalfBlocks", "expected a multiple of 128 i2_s elements, found 3 x 64",
       one({64, 3}, kTypeI2_S, 96)},
  };
}

std::vector<MalformedGguf> bad_types() {
  std::vector<MalformedGguf> files;
  for (const std::uint32_t id : {4u, 144u, 12345u, 0xffffffffu}) {
    files.push_back({"UnknownType" + std::to_string(id),
                     "the tensor type " + std::to_string(id) + " is unknown to Tern",
                     one({256}, id, 512), ErrorCode::kUnsupported});
  }
  const std::pair<std::uint32_t, const char*> foreign[] = {
      {3, "q4_1"},
      {12, "q4_k"},
      {42, "q2_0, stq1_0 of Sherry or tl2"},
      {335, "iq2_bn_r4"},
      {142, "pq2_0 of Ternary-Bonsai"},
      {143, "ptq1_0 of Ternary-Bonsai or g8_0"}};
  for (const auto& [id, name] : foreign) {
    files.push_back({"ForeignType" + std::to_string(id),
                     "the tensor type " + std::string(name) + " (" + std::to_string(id) +
                         ") is not implemented; expected f32, f16, bf16, q4_0, q8_0, q6_k, i2_s, "
                         "tl1, tl2, tq1_0, tq2_0, iq1_bn or iq2_bn; convert the model again to one "
                         "of these (of iq2_bn_r4, its iq2_bn before it was repacked)",
                     one({256}, id, 512), ErrorCode::kUnsupported});
  }
  return files;
}

// The data section of these files starts at the next multiple of 32 behind the entries.
std::vector<MalformedGguf> bad_layouts() {
  const auto pair = [](std::uint64_t a, std::uint64_t b) {
    return GgufBuilder().tensor("a", {16}, kTypeF32, a).tensor("b", {8}, kTypeF32, b).file(128);
  };
  constexpr std::uint64_t kLast = ~std::uint64_t{0} - 31;  // the highest multiple of 32
  return {
      {"OffsetNotAligned", "expected a data offset that is a multiple of 32, found 16",
       GgufBuilder().tensor("t", {4}, kTypeF32, 16).file(64)},
      {"OffsetNotAlignedTo64", "expected a data offset that is a multiple of 64, found 32",
       GgufBuilder().key("general.alignment", 64).tensor("t", {4}, kTypeF32, 32).file(64, 64)},
      {"NoDataSection", "the data section has 0 bytes, but the tensor's 16 bytes from 0",
       GgufBuilder().tensor("t", {4}, kTypeF32, 0).head()},
      {"DataSectionLostInPadding", "the data section has 0 bytes, but the tensor's 12 bytes from 0",
       GgufBuilder().tensor("t", {3}, kTypeF32, 0).file(0)},
      {"StartsBehindFile", "the data section has 64 bytes, but the tensor starts at 96 of it",
       GgufBuilder().tensor("t", {4}, kTypeF32, 96).file(64)},
      {"StartsAtEndOfFile",
       "the data section has 64 bytes, but the tensor's 16 bytes from 64 of it "
       "end behind it",
       GgufBuilder().tensor("t", {4}, kTypeF32, 64).file(64)},
      {"StartOverflows", "but the tensor starts at 18446744073709551584 of it",
       GgufBuilder().tensor("t", {16}, kTypeF32, kLast).file(64)},
      {"EndsBehindFile", "the data section has 63 bytes, but the tensor's 64 bytes from 0",
       GgufBuilder().tensor("t", {16}, kTypeF32, 0).file(63)},
      {"EndOverflows", "the data section has 64 bytes, but the tensor's 18446744073709551612 bytes",
       GgufBuilder().tensor("t", {(std::uint64_t{1} << 62) - 1}, kTypeF32, 32).file(64)},
      {"I2sWithoutTail", "the data section has 32 bytes, but the tensor's 64 bytes from 0",
       GgufBuilder().tensor("t", {128, 1}, kTypeI2_S, 0).file(32)},
      {"Tq1CutByOneByte", "the data section has 107 bytes, but the tensor's 108 bytes from 0",
       GgufBuilder().tensor("t", {256, 2}, kTypeTQ1_0, 0).file(107)},
      {"Tq2CutByOneByte", "the data section has 131 bytes, but the tensor's 132 bytes from 0",
       GgufBuilder().tensor("t", {256, 2}, kTypeTQ2_0, 0).file(131)},
      {"Tl1CutByOneByte", "the data section has 287 bytes, but the tensor's 288 bytes from 0",
       GgufBuilder().tensor("t", {32, 32}, kTypeTL1, 0).file(287)},
      {"Tl2CutByOneByte", "the data section has 2079 bytes, but the tensor's 2080 bytes from 0",
       GgufBuilder().tensor("t", {256, 32}, kTypeTL2, 0).file(2079)},
      {"Iq1BnCutByOneByte", "the data section has 29 bytes, but the tensor's 30 bytes from 0",
       GgufBuilder().tensor("t", {64, 2}, kTypeIQ1_BN, 0).file(29)},
      {"Iq2BnCutByOneByte", "the data section has 39 bytes, but the tensor's 40 bytes from 0",
       GgufBuilder().tensor("t", {64, 2}, kTypeIQ2_BN, 0).file(39)},
      {"Mxfp4UnderTheIdOfTl2",
       "tensor 't': the data of tl2 ends at 2080 of the data section, and the next tensor starts "
       "at "
       "4352: the type id 39 means another type in this file (39 is mxfp4 in llama.cpp)",
       GgufBuilder()
           .tensor("t", {256, 32}, kTypeTL2, 0)
           .tensor("b", {8}, kTypeF32, 4352)
           .file(4384)},
      {"AnotherTypeUnderTheIdOfTl1", "the type id 38 means another type in this file",
       GgufBuilder().tensor("t", {32, 32}, kTypeTL1, 0).tensor("b", {8}, kTypeF32, 320).file(352)},
      {"ScaleBesideOfF16",
       "tensor 't.scale': expected one f32, the scale of 't.weight', found 1 of "
       "f16",
       GgufBuilder()
           .tensor("t.weight", {128, 1}, kTypeI2_S, 0)
           .tensor("t.scale", {1}, kTypeF16, 64)
           .file(96),
       ErrorCode::kUnsupported},
      {"TwoScalesBeside", "expected one f32, the scale of 't.weight', found 2 of f32",
       GgufBuilder()
           .tensor("t.weight", {128, 1}, kTypeI2_S, 0)
           .tensor("t.scale", {2}, kTypeF32, 64)
           .file(96),
       ErrorCode::kUnsupported},
      {"Q4CutByOneByte", "the data section has 35 bytes, but the tensor's 36 bytes from 0",
       GgufBuilder().tensor("t", {32, 2}, kTypeQ4_0, 0).file(35)},
      {"SameData",
       "tensor 'b': the data overlaps that of tensor 'a': it starts at 0 of the data "
       "section, the other ends at 64",
       pair(0, 0)},
      {"OverlapsByHalf", "'a': it starts at 32 of the data section, the other ends at 64",
       pair(0, 32)},
      {"OverlapsInReverse",
       "tensor 'a': the data overlaps that of tensor 'b': it starts at 32 of "
       "the data section, the other ends at 96",
       GgufBuilder().tensor("a", {16}, kTypeF32, 32).tensor("b", {24}, kTypeF32, 0).file(128)},
      {"OverlapsI2sTail", "tensor 'b': the data overlaps that of tensor 'i'",
       GgufBuilder().tensor("i", {128, 1}, kTypeI2_S, 0).tensor("b", {8}, kTypeF32, 32).file(64)},
  };
}

}  // namespace

std::vector<MalformedGguf> malformed_tensor_files() {
  std::vector<MalformedGguf> files;
  for (auto group : {cut_files(), bad_names(), bad_shapes(), bad_types(), bad_layouts()}) {
    std::move(group.begin(), group.end(), std::back_inserter(files));
  }
  return files;
}

std::vector<MalformedGguf> malformed_gguf_files() {
  std::vector<MalformedGguf> files;
  for (auto group :
       {malformed_header_files(), malformed_metadata_files(), malformed_tensor_files()}) {
    std::move(group.begin(), group.end(), std::back_inserter(files));
  }
  return files;
}

}  // namespace tern::test
