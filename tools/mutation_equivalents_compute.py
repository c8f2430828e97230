"""Those of tools/mutation_equivalents.py in kernels and in the backend: what computes."""

KERNELS: dict[tuple[str, str, str], str] = {
    **dict.fromkeys(
        (
            ("float_body.h", "never", "j % kVectorsPerLine<Weight> == 0"),
            ("float_body.h", "never", "i == n"),
            ("float_body.h", "bound", "i + kSumLanes < n"),
            ("float_body.h", "bound", "i + kLanes < n"),
            ("float_body.h", "sign", "i - kLanes <= n"),
            ("float_body.h", "bound", "i + kLanes < half"),
            ("float_body.h", "sign", "i - kLanes <= half"),
            ("attention_body.h", "bound", "d + kLanes < head_dim"),
            ("attention_body.h", "sign", "d - kLanes <= head_dim"),
        ),
        "the tail does what the vectors leave; a prefetch changes no result",
    ),
    **{
        (file, "bound", broken): "replaces a maximum by its equal"
        for file, broken in (
            ("kernels.cpp", "bits >= magnitude"),
            ("kernels.cpp", "m >= kLeastMaximum"),
            ("kernels.cpp", "scores[key] >= maximum"),
            ("kernels.cpp", "part.maximum >= total->maximum"),
            ("quantize_body.h", "lanes[j] >= magnitude"),
            ("quantize_body.h", "m >= kLeastMaximum"),
            ("attention_body.h", "part.maximum >= total->maximum"),
        )
    },
    ("attention_body.h", "never", "queries[q].keys == common"): "no keys add nothing",
    ("attention_int8_body.h", "bound", "first <= pages"): "no pages add nothing",
    ("ternary_block_body.h", "never", "packing == Packing::kTwoBits"): "sums in another order",
    # Whatever Fetch holds is asked for and not read.
    **dict.fromkeys(
        (
            (
                "attention_body.h",
                "never",
                "fetch.count > 0 && fetch.runs[fetch.count - 1].end == at",
            ),
            ("attention_body.h", "clause", "fetch.count > 0"),
            ("attention_body.h", "sign", "fetch.count + 1"),
            ("attention_body.h", "sign", "at - bytes"),
            ("attention_body.h", "sign", "bytes + kLineBytes + 1"),
            ("attention_body.h", "never", "bytes < length"),
            ("attention_body.h", "bound", "bytes <= length"),
            ("attention_body.h", "bound", "fetch.at > fetch.end"),
            ("attention_body.h", "never", "fetch.at >= fetch.end"),
            ("attention_body.h", "bound", "fetch.next <= fetch.count"),
            ("attention_int8_body.h", "sign", "kv.head_dim - kQuad - 1"),
            ("attention_int8_body.h", "sign", "kv.head_dim + kQuad + 1"),
            ("attention_body.h", "bound", "i <= count"),
            ("attention_body.h", "sign", "page.last + page.first"),
            ("attention_body.h", "sign", "kChunkKeys + kSumLanes"),
        ),
        "a prefetch changes no result",
    ),
    **dict.fromkeys(
        (
            ("float_body.h", "sign", "row - at + kDotRows * n"),
            ("float_body.h", "sign", "row + at - kDotRows * n"),
            ("scan_body.h", "sign", "at - kPrefetchBytes"),
            (
                "ternary_block_body.h",
                "sign",
                "codes[g * kVectorsPerGroup] + tile * kTileBytes - b.read.prefetch_bytes",
            ),
            (
                "ternary_block_body.h",
                "sign",
                "codes[g * kVectorsPerGroup] - tile * kTileBytes + b.read.prefetch_bytes",
            ),
            ("ternary_block_body.h", "never", "w.read.streams != 0"),
            *(
                ("ternary_panel_body.h", "sign", prefetched)
                for prefetched in (
                    "panel.packed[g] - tile * kTileBytes + b.read.prefetch_bytes",
                    "panel.packed[g] + tile * kTileBytes - b.read.prefetch_bytes",
                    "b.y - (of + kStoresAhead) * b.y_stride + row",
                    "of - kStoresAhead",
                    "b.y + (of + kStoresAhead) * b.y_stride - row",
                )
            ),
            ("scan_body.h", "sign", "at - kGroups * group_bytes"),
            ("scan_body.h", "never", "v % kScanVectorsPerGroup == 0"),
            ("scan_body.h", "never", "!kLow && v % kScanVectorsPerGroup == 0 && fetch[g]"),
            ("scan_body.h", "clause", "v % kScanVectorsPerGroup == 0 && fetch[g]"),
            ("scan_body.h", "clause", "!kLow && fetch[g]"),
            ("scan_body.h", "clause", "!kLow && v % kScanVectorsPerGroup == 0"),
        ),
        "a prefetch changes no result",
    ),
    **dict.fromkeys(
        (
            ("float_body.h", "sign", "r - kDotRows <= rows"),
            ("float_body.h", "bound", "r + kDotRows < rows"),
        ),
        "one row at a time, to the same end",
    ),
    ("kernels.cpp", "bound", "i <= whole_"): "the first behind whole eights is of the first sum",
    ("attention_int8_body.h", "bound", "maximum >= 0.0f"): "the unit of what it makes is 0",
    (
        "tmm_attention_body.h",
        "bound",
        "head_dim < kTmmMostDim",
    ): "decides speed alone",
    ("scan_body.h", "bound", "row + kLanes < rows"): "a whole vector, lane by lane",
    (
        "scan_body.h",
        "bound",
        "group + kScanBlockGroups < groups",
    ): "group by group, to the same end",
    **dict.fromkeys(
        (
            ("ternary_panel_body.h", "sign", "tokens + kBatchTokens + 1"),
            ("ternary_panel_body.h", "sign", "tokens + kChunkTokens + 1"),
            ("lut_body.h", "sign", "groups + kGroups + 1"),
        ),
        "more blocks of the same tokens, or of the same rows",
    ),
    **dict.fromkeys(
        (
            ("tmm_body.h", "bound", "step <= kTmmSteps"),
            ("tmm_body.h", "bound", "step <= kTmmLead"),
        ),
        "unpacks a step early, to where none is needed",
    ),
    **dict.fromkeys(
        (
            ("tmm_body.h", "sign", "packed - kGroups * block.group_bytes"),
            ("tmm_body.h", "sign", "y - kTmmFetchTokens * p.out.stride"),
            ("tmm_body.h", "bound", "r <= kGroups * kTileRows"),
            ("tmm_body.h", "sign", "soon - r"),
            ("lut_body.h", "sign", "at - kTiles * kTileBytes"),
            ("lut_body.h", "sign", "at - 2 * group_bytes"),
        ),
        "fetches what is not needed",
    ),
    **dict.fromkeys(
        (
            ("tmm_body.h", "never", "block.tiles == kWhole && next.tiles == kWhole"),
            ("tmm_body.h", "never", "first == last"),
            ("tmm_body.h", "bound", "begin <= groups"),
        ),
        "more time, to the same end",
    ),
    ("lut_body.h", "sign", "group - 1"): "of two, the other one",
    **dict.fromkeys(
        (
            ("lut_body.h", "never", "rows >= kLanes && tokens >= kLanes"),
            ("lut_body.h", "bound", "rows > kLanes"),
            ("lut_body.h", "bound", "tokens > kLanes"),
            ("lut_body.h", "bound", "left <= some * kTileRows"),
            ("lut_body.h", "bound", "left <= most"),
        ),
        "no tokens, or as many either way",
    ),
    **dict.fromkeys(
        (
            ("lut_body.h", "bound", "left <= least_of_two"),
            ("lut_body.h", "bound", "tokens - done > least"),
            ("kernels.cpp", "bound", "rows > kLeastLutRows"),
            ("kernels.cpp", "never", "rows >= kLeastLutRows"),
            ("attention_body.h", "never", "!are_many(queries)"),
            ("attention_body.h", "bound", "queries > static_cast<int>(kMaxQueries)"),
        ),
        "decides speed alone",
    ),
    **dict.fromkeys(
        (
            ("attention_body.h", "bound", "queries[q].keys <= common"),
            ("attention_body.h", "bound", "queries[q].keys >= most"),
            ("attention_body.h", "bound", "first >= start"),
            ("attention_body.h", "bound", "last - start <= kPageKeys"),
            ("quantize_body.h", "bound", "n - first <= kLanes"),
            ("attention_body.h", "bound", "queries <= most"),
            ("attention_body.h", "bound", "pages_of_scores <= kManyChains"),
            ("attention_body.h", "bound", "queries >= kValueQueries"),
            ("attention_int8_body.h", "bound", "queries[q].keys >= most"),
            ("attention_int8_body.h", "bound", "kChains / queries <= kKeyVectors"),
            ("attention_int8_body.h", "bound", "pages - first <= kValuePages"),
            ("lut_body.h", "bound", "w.tiles - tile <= kTiles"),
            ("tmm_attention_body.h", "bound", "queries[q].keys >= most"),
            ("tmm_attention_body.h", "bound", "count - q <= kTmmRows"),
            ("tmm_body.h", "bound", "left <= kTmmRows"),
            ("tmm_body.h", "bound", "left <= kBlockTiles<kPacking>"),
            ("tmm_body.h", "bound", "rows <= kTileRows"),
            ("tmm_body.h", "bound", "begin + kTmmBandGroups <= groups"),
        ),
        "replaces a number by its equal",
    ),
    **dict.fromkeys(
        (
            ("attention_body.h", "sign", "q - kTogether <= count"),
            ("attention_body.h", "bound", "q + kTogether < count"),
            ("attention_body.h", "sign", "q - 8 <= count"),
            ("attention_body.h", "bound", "q + 8 < count"),
            ("attention_body.h", "bound", "q + 4 < count"),
            ("attention_body.h", "bound", "q + 2 < count"),
            ("attention_body.h", "bound", "2 * queries * kKeyVectors < kChains"),
            ("attention_body.h", "bound", "d + kVectors * kLanes < page.width"),
            ("attention_body.h", "sign", "d - kVectors * kLanes <= page.width"),
            ("attention_int8_body.h", "sign", "q - 8 <= count"),
            ("attention_int8_body.h", "bound", "q + 8 < count"),
            ("attention_int8_body.h", "bound", "q + 4 < count"),
            ("attention_int8_body.h", "bound", "q + 2 < count"),
            ("attention_int8_body.h", "bound", "d + kVectors * kLanes < width"),
            ("attention_int8_body.h", "sign", "d - kVectors * kLanes <= width"),
            ("ternary_block_body.h", "bound", "rows > kVectorRows"),
        ),
        "smaller steps do what a whole one leaves",
    ),
    **dict.fromkeys(
        (
            ("ternary_block_body.h", "bound", "first <= b.w.tiles"),
            ("ternary_panel_body.h", "bound", "first <= b.w.tiles"),
            ("ternary_body.h", "bound", "step <= steps"),
            ("quantize_body.h", "bound", "first <= n"),
            ("kernels.cpp", "bound", "i <= steps"),
            ("float_body.h", "bound", "step <= steps"),
        ),
        "one step more, over nothing or without an outcome",
    ),
    **dict.fromkeys(
        (
            ("ternary_block_body.h", "bound", "row > b.rows"),
            ("ternary_panel_body.h", "bound", "row > b.rows"),
            ("ternary_panel_body.h", "bound", "rest <= kPanelTiles"),
            ("ternary_block_body.h", "bound", "left <= kTilesPerDrain"),
            ("ternary_body.h", "never", "tokens == 1"),
            ("ternary_body.h", "bound", "tokens >= kBatchTokens"),
            ("ternary_panel_body.h", "bound", "tokens < kStreamTokens"),
        ),
        "replaces a number by its equal, decides speed alone or writes no row",
    ),
    ("kernels.cpp", "bound", "g[i] >= 0.0f"): "a zero of either sign is squared",
    ("kernels.cpp", "bound", "weight >= 0.0f"): "a zero of either sign is one",
    **dict.fromkeys(
        (
            ("simd.h", "bound", "i <= 64"),
            ("simd.h", "sign", "28 * group % 64 - group / 3 * 64"),
        ),
        "compilers compute the table, without the switch",
    ),
    ("float_body.h", "bound", "g[i] >= 0.0f"): "a zero of either sign is squared",
    ("kernels.cpp", "bound", "x >= kExpHigh"): "decides between infinity and a NaN alone",
}

BACKEND: dict[tuple[str, str, str], str] = {
    **dict.fromkeys(
        (
            ("attention.cpp", "clause", "!folds"),
            ("attention.cpp", "never", "!calls"),
            ("attention.cpp", "never", "division.shared_units() == 0"),
            ("attention.cpp", "bound", "keys_of(step, unit, query) >= chunk * kChunkKeys"),
            ("attention.cpp", "bound", "chunk * calls <= section.end"),
        ),
        "totals that are written again, work over nothing, or one barrier more",
    ),
    ("execution.cpp", "never", "op.factor == 1.0f"): "multiplies by 1",
    **dict.fromkeys(
        (
            ("execution.cpp", "never", "slice.begin == slice.end"),
            ("execution.cpp", "bound", "first <= slice.end"),
            ("execution.cpp", "bound", "first <= batch_.tops.size()"),
            ("execution.cpp", "bound", "first >= 0"),
        ),
        "work over nothing, or one barrier more",
    ),
    **dict.fromkeys(
        (
            (
                "packed_cache.cpp",
                "clause",
                "!take_front(table, std::span(&row, 1)) || row.name_bytes > table.size() ||"
                " row.blob_bytes > table_offset - offset",
            ),
            ("packed_cache.cpp", "sign", "row.blob_bytes > table_offset + offset"),
        ),
        "saves room for what is refused a moment later",
    ),
    (
        "head_copy.cpp",
        "bound",
        "norm <= kMostNorm",
    ): "at the limit itself both ways are right",
    (
        "head_copy.cpp",
        "bound",
        "largest >= 0.0",
    ): "the integers that NaNs become have zeros for digits",
    (
        "head_copy.cpp",
        "bound",
        "count <= kComparedRows",
    ): "of just so many rows all are compared either way",
    **dict.fromkeys(
        (
            ("head_search.cpp", "bound", "value >= least()"),
            ("head_search.cpp", "never", "!(most > lowers.least())"),
            ("head_search.cpp", "bound", "most >= lowers.least()"),
            ("head_search.cpp", "bound", "at > rows"),
            ("head_search.cpp", "bound", "at <= own.end"),
            ("head_search.cpp", "clause", "!step_.matrix.copy"),
            ("head_search.cpp", "bound", "shared.begin > shared.end"),
            ("head_search.cpp", "never", "count_ == 1"),
            ("head_search.cpp", "never", "reaching * kFewGroups <= groups"),
            ("head_search.cpp", "bound", "reaching * kFewGroups < groups"),
            ("head_search.cpp", "never", "!scans_[i].bounded"),
            ("head_search.cpp", "clause", "!draw"),
            ("head_search.cpp", "never", "step_.matrix.copy"),
            ("head_search.cpp", "never", "!reaches"),
            ("head_search.cpp", "bound", "reaching >= 0"),
            ("head_search.cpp", "sign", "end + row < CpuWorkspace::kScratchRows"),
        ),
        "more work, over nothing or without an outcome",
    ),
    **dict.fromkeys(
        (
            ("head_search.cpp", "bound", "bounds[r] > threshold"),
            ("head_search.cpp", "bound", "u > least"),
            ("head_search.cpp", "sign", "std::fabs(scaled) - most"),
            (
                "head_search.cpp",
                "bound",
                "most_perturbed(upper[r], by_temperature, variates[r]) > least",
            ),
        ),
        "no logit reaches its bound, which has margins",
    ),
    **dict.fromkeys(
        (
            ("kv_cache.cpp", "shift", "z << 27"),
            ("kv_cache.cpp", "shift", "z << 30"),
            ("kv_cache.cpp", "shift", "z << 31"),
        ),
        "other random numbers to fill pages with, as good",
    ),
    ("kv_cache.cpp", "bound", "wanted < pages_.size()"): "takes no pages where it has all",
    ("workspace.cpp", "bound", "mine <= seen"): "replaces a number by its equal",
    (
        "workspace.cpp",
        "bound",
        "worker <= threads_",
    ): "slots of a worker that is not there: memory that nobody looks at",
    (
        "attention_division.cpp",
        "sign",
        "std::size_t{workers} - 1",
    ): "room that a list makes for itself where it has none",
    ("attention_division.cpp", "bound", "at < before"): "both ways to 0",
    (
        "attention_division.cpp",
        "sign",
        "worker - 1 == workers",
    ): "the share of the last worker ends where the last unit does",
    (
        "attention_division.cpp",
        "bound",
        "rows[0].position <= kChunkKeys",
    ): "a division by heads, as right and as even",
}
