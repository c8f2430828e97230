// The scan of the head's int8 copy by the high digits of many rows, on tile registers.
//
// Included behind scan_body.h and tmm_body.h. Sixteen tiles of codes, as they lie in memory, are
// what B takes; the digits are put in the order of A, once for the rows of a call. Sums of integers
// are exact in any order, so the bits are those of scan_high(); there is arithmetic to spare, so
// that memory is all that the scan waits for.
#pragma once

inline constexpr std::size_t kTmmScanTiles = 1024;  // of a group of rows, at most: 4096 columns
inline constexpr int kTmmScanGroups = 4;            // in turn, each a stream through memory
static_assert(kScanTileBytes == kTmmRowBytes);

struct TmmScan {
  alignas(64) std::int8_t digits[kTmmRows][kTmmScanTiles * kScanColumns];
  alignas(64) float sums[kTmmScanGroups][kTmmRows][kTileRows];  // integers, as they are
  alignas(64) std::uint8_t last[kTmmScanGroups][kTmmBytes];
};

// Rows [first, first + count) of high digits, with zeros up to whole steps of 16 tiles.
TERN_INLINE void gather_digits(const DigitRows& x, std::size_t first, std::size_t count,
                               std::size_t tiles, TmmScan& scan) {
  const std::size_t end = (tiles + kTmmRows - 1) / kTmmRows * kTmmRows;
  for (std::size_t q = 0; q < count; ++q) {
    const std::int8_t* from = x.digits + (first + q) * kDigitBytes;
    std::int8_t* to = scan.digits[q];
    for (std::size_t tile = 0; tile < tiles; ++tile, from += x.rows * kDigitBytes) {
      __builtin_memcpy(to + tile * kScanColumns, from, kScanColumns);
    }
    __builtin_memset(to + tiles * kScanColumns, 0, (end - tiles) * kScanColumns);
  }
}

// Sixteen tiles of a group. The lines `ahead` bytes further on are asked for from memory, and those
// of the next sixteen from the second cache: a load of a whole register would wait for each.
template <int kGroup>
TERN_INLINE void scan_tmm_step(const std::uint8_t* codes, std::size_t ahead, std::size_t tiles,
                               TmmScan& scan) {
  for (std::size_t tile = 0; tile < tiles; ++tile) {
    __builtin_prefetch(codes + ahead + tile * kScanTileBytes, 0, 2);
    __builtin_prefetch(codes + kTmmBytes + tile * kScanTileBytes, 0, 3);
  }
  if (tiles < kTmmRows) {  // nothing behind the group is read
    __builtin_memcpy(scan.last[kGroup], codes, tiles * kScanTileBytes);
    __builtin_memset(scan.last[kGroup] + tiles * kScanTileBytes, 0,
                     (kTmmRows - tiles) * kScanTileBytes);
    codes = scan.last[kGroup];
  }
  constexpr int kCodes = kFirstCodes + kGroup % 2;
  load_tmm<kCodes>(codes, kTmmRowBytes);
  dot_tmm<kGroup, 4, kCodes>();
}

template <int kGroups>
TERN_INLINE void scan_tmm_groups(const ScanTiles& w, std::size_t group, TmmScan& scan) {
  const std::size_t group_bytes = w.tiles * kScanTileBytes;
  const std::uint8_t* codes = w.codes + group * group_bytes;
  zero_tmm<0>();
  if constexpr (kGroups > 1) zero_tmm<1>();
  if constexpr (kGroups > 1) zero_tmm<2>();
  if constexpr (kGroups > 1) zero_tmm<3>();
  for (std::size_t first = 0; first < w.tiles; first += kTmmRows, codes += kTmmBytes) {
    const std::size_t tiles = w.tiles - first < kTmmRows ? w.tiles - first : kTmmRows;
    load_tmm<4>(scan.digits[0] + first * kScanColumns, sizeof scan.digits[0]);
    scan_tmm_step<0>(codes, kGroups * group_bytes, tiles, scan);
    if constexpr (kGroups > 1) {
      scan_tmm_step<1>(codes + group_bytes, kGroups * group_bytes, tiles, scan);
      scan_tmm_step<2>(codes + 2 * group_bytes, kGroups * group_bytes, tiles, scan);
      scan_tmm_step<3>(codes + 3 * group_bytes, kGroups * group_bytes, tiles, scan);
    }
  }
  constexpr std::size_t kSumBytes = sizeof scan.sums[0][0];
  store_tmm<0>(scan.sums[0], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<1>(scan.sums[1], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<2>(scan.sums[2], kSumBytes);
  if constexpr (kGroups > 1) store_tmm<3>(scan.sums[3], kSumBytes);
}

// values[q] of some groups, for `count` rows of digits from `first` on.
TERN_INLINE void write_scan(const TmmScan& scan, const DigitRows& x, std::size_t first,
                            std::size_t count, std::size_t group, int groups, std::size_t rows,
                            float* const* values) {
  for (std::size_t q = 0; q < count; ++q) {
    for (int g = 0; g < groups; ++g) {
      const std::size_t row = (group + static_cast<std::size_t>(g)) * kTileRows;
      const Vec sums = scan_sum(bits(load(scan.sums[g][q])), x.of[first + q].high_sum);
      store_rows(values[first + q], row, rows, sums);
    }
  }
}

TERN_INLINE bool tmm_scan_takes(const ScanTiles& w) { return w.tiles <= kTmmScanTiles; }

// As KernelTable::scan_high, of matrices that tmm_scan_takes().
TERN_INLINE void tmm_scan_high(const ScanTiles& w, std::size_t rows, const DigitRows& x,
                               float* const* values) {
  const std::size_t groups = (rows + kTileRows - 1) / kTileRows;
  TmmScan scan;
  for (std::size_t first = 0; first < x.rows; first += kTmmRows) {
    const std::size_t count = x.rows - first < kTmmRows ? x.rows - first : kTmmRows;
    gather_digits(x, first, count, w.tiles, scan);
    configure_tmm({count});
    std::size_t group = 0;
    for (; group + kTmmScanGroups <= groups; group += kTmmScanGroups) {
      scan_tmm_groups<kTmmScanGroups>(w, group, scan);
      write_scan(scan, x, first, count, group, kTmmScanGroups, rows, values);
    }
    for (; group < groups; ++group) {
      scan_tmm_groups<1>(w, group, scan);
      write_scan(scan, x, first, count, group, 1, rows, values);
    }
    release_tmm();
  }
}
