"""Mutants of tools/mutation_check that change nothing observable, each with its reason.

By target: (file name, rule, broken text; of a deleted check its condition)."""

EQUIVALENT: dict[str, dict[tuple[str, str, str], str]] = {
    "core": {
        **dict.fromkeys(
            (
                ("aligned_buffer.cpp", "never", "rounded >= kHugePage"),
                ("aligned_buffer.cpp", "bound", "rounded > kHugePage"),
                ("thread_pool.cpp", "never", "value.load(std::memory_order_acquire) != old"),
                ("thread_pool.cpp", "never", "size_ == 1"),
                ("thread_pool.cpp", "sign", "size_ + 1"),
                (
                    "thread_pool.cpp",
                    "sign",
                    "Clock::now() - spin_limit",
                ),
                (
                    "thread_pool.cpp",
                    "bound",
                    "Clock::now() <= deadline",
                ),
                ("thread_pool.cpp", "bound", "i <= 32"),
            ),
            "pages, room, spinning and a team of one without barriers: speed alone",
        ),
        **dict.fromkeys(
            (
                ("atomic_file.cpp", "bound", "bytes < free"),
                ("cache_dir.cpp", "bound", "file_bytes >= free"),
            ),
            "no test can tell how many bytes a disk has free",
        ),
        ("file_descriptor.cpp", "bound", "written <= 0"): "a write of some bytes writes some",
        ("json.cpp", "never", "code"): "the text has been parsed before, without an error",
        **dict.fromkeys(
            (
                ("cache_dir.cpp", "bound", "attempt <= kAttempts"),
                ("cache_dir.cpp", "clause", "same_file(info, named)"),
                (
                    "cache_dir.cpp",
                    "bound",
                    "::lseek(state.fd.get(), static_cast<off_t>(kCacheHeaderBytes), SEEK_SET) <= 0",
                ),
            ),
            "one attempt more; what could not be looked at is no file; a place behind 0",
        ),
        **dict.fromkeys(
            (
                ("float16.cpp", "bound", "magnitude > 0x477ff000u"),
                ("float16.cpp", "bound", "magnitude > 0x38800000u"),
                ("float16.cpp", "bound", "magnitude < 0x33000000u"),
            ),
            "both ways round to the same half",
        ),
        (
            "machine.cpp",
            "sign",
            "text.data() - text.size()",
        ): "each text ends at the end of its line, and no digit is behind that",
        ("machine.cpp", "bound", "*limit >= held"): "nothing is left either way",
        **dict.fromkeys(
            (
                ("mapped_file.cpp", "never", "begin >= end"),
                ("mapped_file.cpp", "bound", "begin > end"),
            ),
            "the kernel refuses a range that ends before it begins; an empty one is nothing",
        ),
    },
    "format": {
        (
            "i2_s.cpp",
            "bound",
            "end - element > kI2sBlockElements",
        ): "a last whole block is then read value by value, with the same outcome",
        **dict.fromkeys(
            (
                ("tq.cpp", "bound", "v <= 243"),
                ("iq_bn.cpp", "bound", "v <= 243"),
                ("iq_bn.cpp", "sign", "static_cast<int>(rest % 3) + 1"),
            ),
            "a table that the compiler makes",
        ),
        ("float_blocks.cpp", "bound", "magnitude <= 0x400u"): "both ways to the same number",
        ("fingerprint.cpp", "sign", "kSamples + 1"): "other blocks, as evenly spread",
    },
    "text": {
        **dict.fromkeys(
            (
                ("pre_tokenizer.cpp", "clause", "code_point <= 'Z'"),
                ("pre_tokenizer.cpp", "bound", "code_point > 'A'"),
                ("pre_tokenizer.cpp", "bound", "code_point < 'Z'"),
            ),
            "no letter of a contraction comes or goes",
        ),
        (
            "stream_decoder.cpp",
            "bound",
            "at <= pending_.size()",
        ): "the NUL behind the end of a std::string adds nothing",
        ("token_index.cpp", "sign", "at - 1"): "the slots are probed the other way around",
        ("bpe.cpp", "shift", "hash ^ hash << 33"): "another hash, another slot to begin at",
        ("byte_alphabet.cpp", "bound", "code_point > 0x100"): "0x100 as a byte is its byte, 0",
        ("bpe.cpp", "sign", "slot - 1"): "the slots are probed the other way around",
        ("pre_tokenizer.cpp", "bound", "at <= end"): "three digits have no room at the end",
        (
            "pre_tokenizer.cpp",
            "clause",
            "at + 3 > end || !is_digit(at) || !is_digit(at + 2)",
        ): "no other numeral is one byte long, so that none stands between two digits",
        ("tokenizer.cpp", "bound", "at <= text.size()"): "no name begins at the end of a text",
        (
            "sentence_piece.cpp",
            "never",
            "next_utf8(part, 0).length != part.size()",
        ): "merges of symbols that no text has and no merge makes",
    },
    "jinja": {
        ("filters.cpp", "bound", "of.whole() <= 0"): "0 - 0 is 0",
        **dict.fromkeys(
            (
                ("operations.cpp", "bound", "b <= 0"),
                ("operations.cpp", "bound", "b <= 0.0"),
                ("operations.cpp", "bound", "step >= 0"),
            ),
            "a divisor of zero and a step of zero have been refused",
        ),
        ("filters.cpp", "sign", "text.data() - text.size()"): "the NUL behind it is no digit",
        ("filters.cpp", "bound", "digits <= 0"): "both ways to the nearest whole number",
        ("lexer.cpp", "bound", "i <= source_.size()"): "the NUL behind an open string is refused",
    },
    "hub": {
        (
            "listing.cpp",
            "clause",
            "value == nullptr || value->get_int64() < 0",
        ): "what Boost keeps in the place of the number is none of a size",
        (
            "listing.cpp",
            "clause",
            "value == nullptr || !value->is_int64()",
        ): "a negative size is then one beyond the largest",
        **dict.fromkeys(
            (
                (
                    "listing.cpp",
                    "never",
                    "dash == std::string_view::npos || slash == std::string_view::npos ||"
                    " slash < dash",
                ),
                ("listing.cpp", "clause", "slash == std::string_view::npos || slash < dash"),
                ("listing.cpp", "clause", "dash == std::string_view::npos || slash < dash"),
                (
                    "listing.cpp",
                    "clause",
                    "dash == std::string_view::npos || slash == std::string_view::npos",
                ),
                ("listing.cpp", "bound", "slash <= dash"),
            ),
            "one of the three parts is then no number, or none is below the total",
        ),
        ("listing.cpp", "sign", "end - close + 1"): "two characters more, of the next link",
        (
            "url.cpp",
            "clause",
            "curl_url_set(url.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK",
        ): "no test can tell when the system has no memory",
        ("url.cpp", "clause", "c <= '9'"): "what lies below '0' gives a negative number, too",
    },
    "arch": {
        (
            "gguf_dialect.cpp",
            "bound",
            "role <= kBlockTensorNames.size()",
        ): "a role behind the last is no norm",
    },
    "net": {
        ("http_message.cpp", "bound", "i <= text.size()"): "behind the end there is one more NUL",
        ("http_message.cpp", "bound", "first <= 0x80"): "is no first byte either way",
        **dict.fromkeys(
            (
                ("request_head.cpp", "clause", "end != last"),
                ("request_head.cpp", "bound", "c >= 0x20"),
                ("request_head.cpp", "bound", "c <= 0x7f"),
            ),
            "Beast has refused numbers beyond 64 bits and spaces; the reader a DEL",
        ),
        **dict.fromkeys(
            (
                ("request_head.cpp", "sign", "bytes.size() - 1"),
                ("request_reader.cpp", "sign", "next_ + head_begin_"),
            ),
            "Beast holds first line and headers to the limit in turn, and reads a head alone",
        ),
    },
    "serve": {
        **dict.fromkeys(
            (
                ("event_id.cpp", "sign", "text.data() - text.size()"),
                ("request_fields.cpp", "sign", "key.data() - key.size()"),
            ),
            "what stands behind a number is no digit: a sign, or the NUL behind a text",
        ),
        (
            "event_id.cpp",
            "clause",
            "text.size() > kMostBytes",
        ): "what has one dot alone has no numbers behind the second",
        ("fields.cpp", "bound", "std::fabs(value) <= 1e15"): "no range ends there",
        (
            "prompts.cpp",
            "clause",
            "items[0].is_number()",
        ): "what Boost has in the place of an empty array's first item is no number",
    },
    "convert": {
        **dict.fromkeys(
            (
                ("float_bits.cpp", "sign", "i - 8 <= count"),
                ("float_bits.cpp", "bound", "i + 8 < count"),
            ),
            "values that eight in turn leave are read one by one, alike",
        ),
        ("sentence_piece_model.cpp", "bound", "shift <= 64"): "no multiple of seven is 64",
        **dict.fromkeys(
            (
                ("tiktoken.cpp", "never", "!token"),
                ("tiktoken.cpp", "sign", "number.data() - number.size()"),
                ("tiktoken.cpp", "bound", "code_point <= 0x200"),
                ("tiktoken.cpp", "bound", "cut <= token.size()"),
            ),
            "a file that is known by its hash has whole lines alone; behind a number there is no "
            "digit, behind the alphabet no byte, behind a token nothing",
        ),
        **dict.fromkeys(
            (
                ("output_file.cpp", "never", "!same_fingerprint_"),
                ("output_file.cpp", "bound", "bytes_ >= written"),
            ),
            "a line without a hash is no sealed one; what is read of another is forgotten; 0 is 0",
        ),
        **dict.fromkeys(
            (
                ("output_file.cpp", "clause", "::fstatvfs(fd_.get(), &room) != 0"),
                ("output_file.cpp", "never", "::fsync(fd_.get()) != 0"),
                ("output_file.cpp", "sign", "bytes_ + written"),
                ("output_file.cpp", "bound", "missing < free"),
            ),
            "no test can tell how many bytes a disk has free, or make it fail",
        ),
    },
    "kernels": {
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
                ("attention_body.h", "p[key] >= maximum"),
                ("attention_body.h", "part.maximum >= total->maximum"),
            )
        },
        ("attention_body.h", "never", "queries[q].keys == common"): "no keys add nothing",
        **dict.fromkeys(
            (
                ("float_body.h", "sign", "row - at + kDotRows * n"),
                ("scan_body.h", "sign", "at - kPrefetchBytes"),
                ("scan_body.h", "sign", "codes - kPrefetchBytes"),
                ("scan_body.h", "never", "!kLow && q == 0"),
                ("scan_body.h", "clause", "q == 0"),
                ("scan_body.h", "clause", "!kLow"),
            ),
            "a prefetch changes no result",
        ),
        ("scan_body.h", "bound", "row + kLanes < rows"): "a whole vector, lane by lane",
        ("scan_body.h", "sign", "count + kMost + 1"): "more blocks of the same rows",
        **dict.fromkeys(
            (
                ("attention_body.h", "bound", "queries[q].keys <= common"),
                ("attention_body.h", "bound", "queries[q].keys >= most"),
                ("attention_body.h", "bound", "first >= start"),
                ("attention_int8_body.h", "bound", "queries[q].keys >= most"),
                ("attention_int8_body.h", "bound", "count <= kScored"),
            ),
            "replaces a number by its equal",
        ),
        **dict.fromkeys(
            (
                ("attention_body.h", "bound", "key + kLanes < keys"),
                ("attention_body.h", "bound", "q + 4 < count"),
                ("attention_body.h", "bound", "d + vectors * kLanes < width"),
                ("attention_body.h", "sign", "d - vectors * kLanes <= width"),
                ("attention_int8_body.h", "bound", "q + 8 < count"),
                ("attention_int8_body.h", "bound", "q + 2 < count"),
                ("attention_int8_body.h", "bound", "d + vectors * kLanes < width"),
                ("ternary_block_body.h", "bound", "rows > kVectorRows"),
            ),
            "smaller steps do what a whole one leaves",
        ),
        **dict.fromkeys(
            (
                ("ternary_block_body.h", "bound", "first <= b.w.tiles"),
                ("ternary_panel_body.h", "bound", "first <= b.w.tiles"),
                ("ternary_body.h", "bound", "step <= steps"),
            ),
            "one step more, over nothing or without an outcome",
        ),
        **dict.fromkeys(
            (
                ("ternary_block_body.h", "bound", "row > b.rows"),
                ("ternary_panel_body.h", "bound", "row > b.rows"),
                ("ternary_panel_body.h", "bound", "rest <= kPanelTiles"),
                ("ternary_panel_body.h", "bound", "tokens < kStreamTokens"),
            ),
            "replaces a number by its equal, decides speed alone or writes no row",
        ),
        ("kernels.cpp", "bound", "g[i] >= 0.0f"): "a zero of either sign is squared",
        ("float_body.h", "bound", "g[i] >= 0.0f"): "a zero of either sign is squared",
        ("kernels.cpp", "bound", "x >= kExpHigh"): "decides between infinity and a NaN alone",
    },
    "backend": {
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
            "packed_cache.cpp",
            "clause",
            "found->second.bytes != to.size()",
        ): "what stands at the end of a map is no size of a blob",
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
                ("head_search.cpp", "bound", "first <= rows.end"),
                ("head_search.cpp", "bound", "at > rows"),
                ("head_search.cpp", "bound", "at <= own.end"),
                ("head_search.cpp", "clause", "!step_.matrix.copy"),
                ("head_search.cpp", "bound", "shared.begin > shared.end"),
                ("head_search.cpp", "never", "count_ == 1"),
                ("head_search.cpp", "bound", "first <= shared.end"),
                ("head_search.cpp", "never", "reaching * kFewGroups <= groups"),
                ("head_search.cpp", "bound", "reaching * kFewGroups < groups"),
                ("head_search.cpp", "never", "!may_reach(i, group, lowers.least())"),
                ("head_search.cpp", "bound", "reaching >= 0"),
                ("head_search.cpp", "sign", "end + row < CpuWorkspace::kScratchRows"),
            ),
            "more work, over nothing or without an outcome",
        ),
        **dict.fromkeys(
            (
                ("head_search.cpp", "bound", "bounds[r] > threshold"),
                (
                    "head_search.cpp",
                    "bound",
                    "s + scans_[i].high.off(copy.residuals[row], copy.norms[row]) > least",
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
    },
    "model": dict.fromkeys(
        (
            ("self_proof.cpp", "sign", "state * 1664525u - 1013904223u"),
            ("self_proof.cpp", "shift", "static_cast<std::int32_t>(state) << 8"),
        ),
        "other values to try a tier with, as good",
    ),
    "engine": {
        **dict.fromkeys(
            (
                ("scheduler.cpp", "never", "running_.empty()"),
                ("scheduler.cpp", "bound", "running >= 0"),
                ("sampler.cpp", "never", "!counts_answer()"),
            ),
            "work on nothing; with none running there is room; penalties of zero",
        ),
        (
            "scheduler.cpp",
            "clause",
            "static_cast<std::uint32_t>(token) < vocab",
        ): "a negative token lies beyond every vocabulary as well",
        (
            "scheduler.cpp",
            "bound",
            "*task->request.deadline < now",
        ): "no test meets the nanosecond of a clock",
        **dict.fromkeys(
            (
                ("scheduler.cpp", "never", "index == 0"),
                ("scheduler.cpp", "never", "work_.empty()"),
                ("scheduler.cpp", "never", "!done"),
            ),
            "no test can tell when the system has no memory for a page",
        ),
        (
            "sequence.cpp",
            "bound",
            "options.available_memory >= logits",
        ): "nothing is left either way",
        (
            "stepper.cpp",
            "clause",
            "!advance.failed",
        ): "a row that did not fail leaves no failure where there is none",
        **dict.fromkeys(
            (
                ("sampler.cpp", "never", "recent.empty()"),
                ("sampler.cpp", "never", "all && options_.top_p == 1.0f"),
                ("sampler.cpp", "bound", "options_.top_k > candidates_.size()"),
                ("sampler.cpp", "never", "score + kLargestGumbel < best"),
                ("sampler.cpp", "bound", "score + kLargestGumbel <= best"),
            ),
            "work that changes no outcome: no token is penalised, sorted out or able to win",
        ),
        **dict.fromkeys(
            (
                ("sampler.cpp", "bound", "a.logit >= b.logit"),
                ("sampler.cpp", "bound", "a.token <= b.token"),
                ("logprobs.cpp", "bound", "x >= y"),
                ("logprobs.cpp", "bound", "a <= b"),
                ("sampler.cpp", "bound", "candidate.token <= chosen"),
            ),
            "the two differ where they are compared",
        ),
        ("sampler.cpp", "bound", "candidate.logit >= 0.0f"): "zero is zero either way",
        ("sampler.cpp", "bound", "count <= candidates_.size()"): "all of them reach any share",
        (
            "sequence.cpp",
            "clause",
            "static_cast<std::uint32_t>(token) < model().config().vocab",
        ): "a negative token lies beyond every vocabulary as well",
        (
            "stop_scanner.cpp",
            "sign",
            "stop.size() + 1",
        ): "a whole stop string was looked for before, so that none ends the text",
    },
}
