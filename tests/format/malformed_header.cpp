#include "format/gguf_builder.h"
#include "format/malformed_gguf.h"

namespace tern::test {
namespace {

std::vector<std::byte> first(std::size_t count) {
  auto bytes = GgufBuilder().key("a", 1).head();
  bytes.resize(count);
  return bytes;
}

}  // namespace

std::vector<MalformedGguf> malformed_header_files() {
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 63;
  return {
      {"EmptyFile", "inside the magic: expected 4 bytes at offset 0, found 0", first(0)},
      {"CutInMagic", "inside the magic: expected 4 bytes at offset 0, found 3", first(3)},
      {"CutBehindMagic", "inside the version: expected 4 bytes at offset 4, found 0", first(4)},
      {"CutInVersion", "inside the version: expected 4 bytes at offset 4, found 3", first(7)},
      {"CutInTensorCount", "inside the tensor count: expected 8 bytes at offset 8", first(15)},
      {"CutInKeyCount", "inside the key count: expected 8 bytes at offset 16", first(23)},
      {"OtherMagic",
       "header: expected the magic 'GGUF', found 'GGML'; this is not a GGUF file "
       "(at offset 0)",
       GgufBuilder().magic("GGML").head()},
      {"BinaryMagic", "found '\\x7fELF'",
       GgufBuilder()
           .magic("\x7f"
                  "ELF")
           .head()},
      {"BigEndian", "the file is big endian (version 3 byte-swapped)",
       GgufBuilder().version(0x03000000).head(), kUnsupported},
      {"BigEndianVersion2", "the file is big endian (version 2 byte-swapped)",
       GgufBuilder().version(0x02000000).head(), kUnsupported},
      {"Version0", "expected GGUF version 2 or 3, found 0; convert the file again (at offset 4)",
       GgufBuilder().version(0).head(), kUnsupported},
      {"Version1", "expected GGUF version 2 or 3, found 1;", GgufBuilder().version(1).head(),
       kUnsupported},
      {"Version4", "expected GGUF version 2 or 3, found 4;", GgufBuilder().version(4).head(),
       kUnsupported},
      {"VersionOfTwoHalves", "expected GGUF version 2 or 3, found 65539;",
       GgufBuilder().version(0x00010003).head(), kUnsupported},
      {"TooManyTensors", "expected at most 65536 tensors, found 65537 (at offset 8)",
       GgufBuilder().claim_tensors(65537).head()},
      {"AbsurdTensorCount", "expected at most 65536 tensors, found 9223372036854775808",
       GgufBuilder().claim_tensors(kHuge).head()},
      {"TooManyKeys", "expected at most 65536 keys, found 65537 (at offset 16)",
       GgufBuilder().claim_keys(65537).head()},
      {"AbsurdKeyCount", "expected at most 65536 keys, found 9223372036854775808",
       GgufBuilder().claim_keys(kHuge).head()},
      {"MoreKeysThanBytes", "2 keys take at least 28 bytes, but 27 follow",
       GgufBuilder().claim_keys(2).raw_key(Bytes().zeros(27)).head()},
      {"MoreTensorsThanBytes", "2 tensor entries take at least 66 bytes, but 65 follow",
       GgufBuilder().claim_tensors(2).raw_tensor(Bytes().zeros(65)).head()},
      {"MoreTensorsThanBytesBehindKeys",
       "1 tensor entries take at least 33 bytes, but 32 follow; the file is cut (at offset 8)",
       GgufBuilder().raw_key(Bytes().zeros(14)).raw_tensor(Bytes().zeros(32)).head()},
  };
}

}  // namespace tern::test
