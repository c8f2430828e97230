#include "format/malformed_safetensors.h"

namespace tern::test {
namespace {

std::vector<std::byte> first(std::size_t count) {
  auto bytes = safetensors("{}", 0);
  bytes.resize(count);
  return bytes;
}

std::vector<std::byte> with_length(std::uint64_t length) {
  auto bytes = safetensors("{}", 0);
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

// {"t": ENTRY} with four bytes of data.
std::vector<std::byte> entry(const std::string& text) {
  return safetensors(R"({"t":)" + text + "}", 4);
}

// {"t": {"dtype": ..., "shape": ..., "data_offsets": ...}} with four bytes of data.
std::vector<std::byte> tensor(const std::string& type, const std::string& shape,
                              const std::string& range) {
  return entry(R"({"dtype":)" + type + R"(,"shape":)" + shape + R"(,"data_offsets":)" + range +
               "}");
}

std::vector<std::byte> two(const std::string& a, const std::string& b, std::size_t data) {
  return safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + a +
                         R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}",
                     data);
}

}  // namespace

std::vector<MalformedSafetensors> malformed_safetensors_files() {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const std::string good = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  return {
      {"Empty", "inside the length of its header: expected 8 bytes, found 0", first(0)},
      {"CutInLength", "inside the length of its header: expected 8 bytes, found 7", first(7)},
      {"NoHeader", "its length says 0", with_length(0)},
      {"HeaderOfOneByte", "('{}'), its length says 1", with_length(1)},
      {"HugeHeader", "its length says 100000001; this is not", with_length(100'000'001)},
      {"LongestLength", "its length says 18446744073709551615", with_length(~std::uint64_t{0})},
      {"CutInHeader", "expected 3 bytes behind the length, found 2", with_length(3)},
      {"NoJson", "expected JSON, found: syntax error (at offset 0)", safetensors("hello", 0)},
      {"CutJson", "expected JSON, found: incomplete JSON (at offset 7)",
       safetensors(R"({"a":{})", 0)},
      {"NoUtf8", "expected JSON, found: syntax error (at offset 2)",
       safetensors("{\"\xff\":1}", 0)},
      {"MoreJson", "expected nothing behind the JSON, found more", safetensors("{}{}", 0)},
      {"TooDeep", "nested deeper than 4 levels", safetensors(R"({"t":{"shape":[[[1]]]}})", 0),
       kUnsupported},
      {"TensorTwice", "the name 't' stands twice",
       safetensors(R"({"t":)" + good + R"(,"t":)" + good + "}", 4)},
      {"MemberTwice", "the name 'dtype' stands twice",
       entry(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})")},
      {"Array", "header: expected a JSON object", safetensors("[]", 0)},
      {"MetadataNumber", "expected an object at __metadata__",
       safetensors(R"({"__metadata__":1})", 0)},
      {"MetadataOfNumbers", "expected a text at __metadata__.step",
       safetensors(R"({"__metadata__":{"step":1}})", 0)},
      {"NoName", "expected a name for each tensor", safetensors(R"({"":)" + good + "}", 4)},
      {"LongName", "a name of at most 1024 bytes, found 1025",
       safetensors("{\"" + std::string(1025, 'n') + "\":" + good + "}", 4)},
      {"EntryNumber", "expected an object with dtype, shape, data_offsets", entry("7")},
      {"UnknownMember", "the member 'strides' is not understood",
       entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"strides":[1]})")},
      {"NoType", "expected a text at dtype", entry(R"({"shape":[1],"data_offsets":[0,4]})")},
      {"UnknownType", "found 'F8_E4M3'", tensor(R"("F8_E4M3")", "[4]", "[0,4]"), kUnsupported},
      {"NoShape", "expected an array at shape", entry(R"({"dtype":"F32","data_offsets":[0,4]})")},
      {"NegativeDimension", "that are not negative at shape", tensor(R"("F32")", "[-1]", "[0,4]")},
      {"NineDimensions", "expected at most 8 dimensions, found 9",
       tensor(R"("F32")", "[1,1,1,1,1,1,1,1,1]", "[0,4]")},
      {"ZeroDimension", "expected no dimension of 0", tensor(R"("F32")", "[0]", "[0,0]")},
      {"NoRange", "expected an array at data_offsets", entry(R"({"dtype":"F32","shape":[1]})")},
      {"BrokenRange", "that are not negative at data_offsets",
       tensor(R"("F32")", "[1]", "[0,4.5]")},
      {"ThreeOffsets", "expected two data_offsets, found 3", tensor(R"("F32")", "[1]", "[0,4,4]")},
      {"BackwardRange", "end at 0, before they begin at 4", tensor(R"("F32")", "[1]", "[4,0]")},
      {"BehindTheFile", "end at 5 of a file with 4 bytes of data",
       tensor(R"("U8")", "[5]", "[0,5]")},
      {"HugeShape", "does not fit into 64 bits",
       tensor(R"("F32")", "[9223372036854775807,4]", "[0,4]")},
      {"OtherSize", "the shape [2] of F32 takes 8 bytes, the data_offsets give 4",
       tensor(R"("F32")", "[2]", "[0,4]")},
      {"Overlap", "its bytes from 1 on overlap", two("[0,2]", "[1,3]", 3)},
      {"SameBytes", "its bytes from 0 on overlap those of tensor 'a'", two("[0,2]", "[0,2]", 2)},
      {"Gap", "1 bytes before it belong to no tensor", two("[0,2]", "[3,5]", 5)},
      {"GapAtTheBegin", "tensor 'a': 2 bytes before it", two("[2,4]", "[4,6]", 6)},
      {"BytesBehind", "3 bytes at the end belong to no tensor", two("[0,2]", "[2,4]", 7)},
  };
}

}  // namespace tern::test
