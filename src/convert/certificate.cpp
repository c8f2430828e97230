#include "convert/certificate.h"

#include <array>
#include <cstring>
#include <span>

#include "arch/gguf_dialect.h"
#include "convert/trit_source.h"
#include "core/sha256.h"

namespace tern::convert {
namespace {

// Four codes a byte.
void pack_codes(const std::int8_t* trits, std::uint64_t count, std::vector<std::byte>& out) {
  out.assign((count + 3) / 4, std::byte{0});
  const std::uint64_t whole = count / 4;
  for (std::uint64_t i = 0; i < whole; ++i) {
    const std::int8_t* t = trits + 4 * i;
    const int packed = (t[0] + 1) | (t[1] + 1) << 2 | (t[2] + 1) << 4 | (t[3] + 1) << 6;
    out[i] = static_cast<std::byte>(packed);
  }
  for (std::uint64_t i = 4 * whole; i < count; ++i) {
    out[whole] |= static_cast<std::byte>((trits[i] + 1) << (i % 4 * 2));
  }
}

void add_text(Sha256& hash, const std::string& text) {
  hash.update(std::as_bytes(std::span(text)));
}

}  // namespace

void MatrixCertificate::add_rows(std::uint64_t first, std::uint64_t count,
                                 const std::int8_t* trits) {
  std::vector<std::byte> codes;
  for (std::uint64_t r = 0; r < count; ++r) {
    pack_codes(trits + r * columns_, columns_, codes);
    Sha256 hash;
    hash.update(codes);
    rows_[first + r] = hash.finish();
  }
}

std::string MatrixCertificate::finish(float scale) const {
  Sha256 hash;
  add_text(hash, "tern-trits-1\n" + name_ + "\n" + std::to_string(rows_.size()) + " " +
                     std::to_string(columns_) + "\nmultiply\n");
  hash.update(std::as_bytes(std::span(&scale, 1)));
  for (const std::string& row : rows_) add_text(hash, row);
  return hash.finish();
}

void Certificate::add(const MatrixCertificate& matrix, float scale) {
  hashes_[matrix.name()] = matrix.finish(scale);
}

std::string Certificate::finish() const {
  Sha256 hash;
  for (const auto& [name, matrix] : hashes_) add_text(hash, name + " " + matrix + "\n");
  return hash.finish();
}

Result<Certificate> certify(
    const format::GgufFile& file, Team& team,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  TERN_ASSIGN(const arch::DecoderConfig config, arch::read_decoder_config(file));
  TERN_ASSIGN(const std::vector<const format::Tensor*> linears, linears_of(file, config));
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  for (const format::Tensor* tensor : linears) total += tensor->data.size();
  Certificate certificate;
  for (const format::Tensor* tensor : linears) {
    TERN_ASSIGN(const TritSource source, TritSource::open(file, *tensor));
    MatrixCertificate matrix(tensor->name, source.rows(), source.columns());
    const Team::Task add = [&](std::uint64_t tile, Scratch& scratch) -> Result<void> {
      const auto [first, count] = source.tile(tile, 1);
      TERN_TRY(source.read(first, count, scratch.trits));
      matrix.add_rows(first, count, scratch.trits.data());
      return {};
    };
    TERN_TRY(team.run(source.tiles(1), add));
    certificate.add(matrix, source.scale());
    file.release(*tensor);
    done += tensor->data.size();
    if (progress) progress(done, total);
  }
  return certificate;
}

Result<void> check_identity(
    const std::string& expected, OutputFile& output, Team& team,
    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress) {
  TERN_ASSIGN(const auto file, format::GgufFile::open(output.part()));
  TERN_ASSIGN(const Certificate written, certify(file, team, progress));
  return compare_certificates(expected, written.finish(), output);
}

Result<void> compare_certificates(const std::string& expected, const std::string& found,
                                  OutputFile& output) {
  if (found == expected) return {};
  output.discard();
  return Error{ErrorCode::kProofFailed,
               "the trit-identity certificate was " + expected + " before and is " + found +
                   " after: the output held other weights, and was removed; this is a fault of "
                   "Tern or of the machine",
               output.part().string()};
}

}  // namespace tern::convert
