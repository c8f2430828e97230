#include <iterator>

#include "format/gguf_builder.h"
#include "format/malformed_gguf.h"

namespace tern::test {
namespace {

// Long enough that the header's counts are plausible however soon the file ends behind it. The next
// field starts at offset 24 + 8 + 3 + 4 + 8 + 200 = 247.
GgufBuilder padded() {
  return GgufBuilder().key("pad", kString, Bytes().text(std::string(200, ' ')));
}

std::vector<std::byte> key_cut_behind(const Bytes& entry) { return padded().raw_key(entry).head(); }

std::vector<std::byte> value(std::uint32_t type, const Bytes& bytes) {
  return padded().key("k", type, bytes).file(0);
}

std::vector<std::byte> alignment(std::uint32_t bytes) {
  return GgufBuilder().key("general.alignment", bytes).file(0);
}

std::vector<MalformedGguf> cut_files() {
  const Bytes key = Bytes().text("k");
  const Bytes array = Bytes().text("k").u32(kArray);
  return {
      {"CutInKeyLength",
       "key 2 of 2: the file ends inside a key's length: expected 8 bytes at "
       "offset 247, found 7",
       key_cut_behind(Bytes().zeros(7))},
      {"CutInKeyText", "inside a key's text: expected 5 bytes at offset 255, found 2",
       key_cut_behind(Bytes().u64(5).raw("ke"))},
      {"CutInValueType", "inside the value type: expected 4 bytes at offset 256, found 3",
       key_cut_behind(Bytes(key).zeros(3))},
      {"CutInScalar",
       "key 'k': the file ends inside the value: expected 4 bytes at offset 260, "
       "found 1",
       key_cut_behind(Bytes(key).u32(kU32).zeros(1))},
      {"CutInU8", "inside the value: expected 1 bytes", key_cut_behind(Bytes(key).u32(kU8))},
      {"CutInU16", "inside the value: expected 2 bytes",
       key_cut_behind(Bytes(key).u32(kU16).zeros(1))},
      {"CutInU64", "inside the value: expected 8 bytes",
       key_cut_behind(Bytes(key).u32(kU64).zeros(7))},
      {"CutInStringLength", "inside the string's length: expected 8 bytes at offset 260, found 7",
       key_cut_behind(Bytes(key).u32(kString).zeros(7))},
      {"CutInStringText", "inside the string's text: expected 4 bytes at offset 268, found 3",
       key_cut_behind(Bytes(key).u32(kString).u64(4).raw("tex"))},
      {"StringOfAllBytes", "inside the string's text: expected 18446744073709551615 bytes",
       value(kString, Bytes().u64(~std::uint64_t{0}))},
      {"CutInElementType", "inside the element type: expected 4 bytes at offset 260, found 3",
       key_cut_behind(Bytes(array).zeros(3))},
      {"CutInArrayLength", "inside the array's length: expected 8 bytes at offset 264, found 7",
       key_cut_behind(Bytes(array).u32(kU8).zeros(7))},
      {"CutInElementLength", "inside an element's length: expected 8 bytes at offset 284, found 5",
       key_cut_behind(Bytes(array).u32(kString).u64(2).text("four").zeros(5))},
      {"CutInElementText", "inside an element's text: expected 9 bytes at offset 280, found 8",
       key_cut_behind(Bytes(array).u32(kString).u64(1).u64(9).zeros(8))},
  };
}

std::vector<MalformedGguf> bad_values() {
  constexpr std::uint64_t kLimit = 8388608;
  return {
      {"UnknownValueType",
       "key 'k': expected the value type to be 0 to 12, found 13 (at offset 256)",
       value(13, Bytes().zeros(16))},
      {"AbsurdValueType", "expected the value type to be 0 to 12, found 4294967295",
       value(0xffffffff, Bytes().zeros(16))},
      {"BoolOf2", "expected 0 or 1 for the value, a bool, found 2 (at offset 260)",
       value(kBool, Bytes().u8(2))},
      {"BoolOf255", "expected 0 or 1 for the value, a bool, found 255",
       value(kBool, Bytes().u8(255))},
      {"UnknownElementType", "expected the element type to be 0 to 12, found 13",
       padded().array("k", 13, 1, Bytes().zeros(8)).file(0)},
      {"NestedArray", "expected an array of scalars, found an array of arrays",
       padded().array("k", kArray, 1, Bytes().u32(kU8).u64(0)).file(0), ErrorCode::kUnsupported},
      {"ArrayLongerThanFile",
       "expected at most 1 elements of uint32 in the rest of the file, "
       "found 2 (at offset 264)",
       padded().array("k", kU32, 2, Bytes().zeros(7)).head()},
      {"ArrayOfOverflowingSize",
       "elements of uint64 in the rest of the file, found "
       "2305843009213693953",
       padded().array("k", kU64, (1ull << 61) + 1, Bytes().zeros(8)).head()},
      {"StringArrayLongerThanFile", "expected at most 2 elements of string in the rest of the file",
       padded().array("k", kString, 3, Bytes().zeros(23)).head()},
      {"ArrayOverLimit",
       "expected at most 8388608 array elements in a file, found 1 more than that (at offset 41)",
       GgufBuilder().array("k", kU8, kLimit + 1, Bytes().zeros(kLimit + 1)).head()},
      {"ArraysOverLimitTogether", "array elements in a file, found 2 more",
       GgufBuilder()
           .array("j", kU8, kLimit, Bytes().zeros(kLimit))
           .array("k", kBool, 2, Bytes().zeros(2))
           .head()},
      {"BoolElementOf2", "expected 0 or 1 for element 1, a bool, found 2 (at offset 273)",
       padded().array("k", kBool, 2, Bytes().u8(1).u8(2)).file(0)},
  };
}

std::vector<MalformedGguf> bad_keys() {
  const auto named = [](std::string_view name) { return GgufBuilder().key(name, 1).file(32); };
  return {
      {"EmptyKey", "key 1 of 1: the key is empty (at offset 24)", named("")},
      {"KeyTooLong", "expected a key of at most 65535 bytes, found 65536 (at offset 24)",
       named(std::string(65536, 'k'))},
      {"AbsurdKeyLength", "expected a key of at most 65535 bytes, found 18446744073709551615",
       GgufBuilder().raw_key(Bytes().u64(~std::uint64_t{0}).zeros(16)).head()},
      {"KeyOfBadLead", "the key '\\xffkey' is not valid UTF-8 (at offset 24)", named("\xffkey")},
      {"KeyOfStrayContinuation", "'k\\x80' is not valid", named("k\x80")},
      {"KeyOfOverlong2", "'\\xc1\\xbf' is not valid", named("\xc1\xbf")},
      {"KeyOfOverlong3", "'\\xe0\\x9f\\xbf' is not valid", named("\xe0\x9f\xbf")},
      {"KeyOfOverlong4", "'\\xf0\\x8f\\xbf\\xbf' is not valid", named("\xf0\x8f\xbf\xbf")},
      {"KeyOfSurrogate", "'\\xed\\xa0\\x80' is not valid", named("\xed\xa0\x80")},
      {"KeyBeyondUnicode", "'\\xf4\\x90\\x80\\x80' is not valid", named("\xf4\x90\x80\x80")},
      {"KeyOfLeadBeyondUnicode", "'\\xf5\\x80\\x80\\x80' is not valid", named("\xf5\x80\x80\x80")},
      {"KeyOfCutCharacter", "'k\\xe2\\x82' is not valid", named("k\xe2\x82")},
      {"KeyOfBrokenThirdByte", "'\\xe2\\x82(' is not valid", named("\xe2\x82\x28")},
      {"KeyOfHighThirdByte", "'\\xe2\\x82\\xc0' is not valid", named("\xe2\x82\xc0")},
      {"KeyOfLowSecondByte", "'\\xc2\\x7f' is not valid", named("\xc2\x7f")},
      {"KeyOfHighSecondByte", "'\\xc2\\xc0' is not valid", named("\xc2\xc0")},
      {"DuplicateKey", "key 'a': the key occurs twice; expected each key once (at offset 41)",
       GgufBuilder().key("a", 1).key("a", 1).file(0)},
      {"DuplicateKeyOfOtherType", "key 'b': the key occurs twice",
       GgufBuilder().key("b", 1).key("c", 1).key("b", kBool, Bytes().u8(1)).file(0)},
      {"AlignmentOfOtherType",
       "key 'general.alignment': expected a uint32, found a uint64 (at offset 24)",
       GgufBuilder().key("general.alignment", kU64, Bytes().u64(32)).file(0)},
      {"AlignmentOfText", "expected a uint32, found a string",
       GgufBuilder().key("general.alignment", kString, Bytes().text("32")).file(0)},
      {"Alignment0", "key 'general.alignment': expected a power of two from 8 to 65536, found 0",
       alignment(0)},
      {"Alignment4", "expected a power of two from 8 to 65536, found 4", alignment(4)},
      {"Alignment24", "expected a power of two from 8 to 65536, found 24", alignment(24)},
      {"Alignment131072", "expected a power of two from 8 to 65536, found 131072",
       alignment(131072)},
  };
}

}  // namespace

std::vector<MalformedGguf> malformed_metadata_files() {
  std::vector<MalformedGguf> files;
  for (auto group : {cut_files(), bad_values(), bad_keys()}) {
    std::move(group.begin(), group.end(), std::back_inserter(files));
  }
  return files;
}

}  // namespace tern::test
