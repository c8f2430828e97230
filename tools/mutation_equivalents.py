"""Mutants of tools/mutation_check that change nothing observable, each with its reason.

By target: (file name, rule, broken text; of a deleted check its condition)."""

from mutation_equivalents_compute import BACKEND, KERNELS

EQUIVALENT: dict[str, dict[tuple[str, str, str], str]] = {
    "core": {
        **dict.fromkeys(
            (
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
        ("atomic_file.cpp", "bound", "bytes < free"): (
            "no test can tell how many bytes a disk has free"
        ),
        ("file_descriptor.cpp", "bound", "written <= 0"): "a write of some bytes writes some",
        ("json.cpp", "never", "error"): "the text has been parsed before, without an error",
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
        ("filters.cpp", "sign", "decimal.data() - decimal.size()"): "the NUL behind it is no digit",
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
        ("tensor_job.cpp", "bound", "row <= rows_"): "behind the last row no row is read",
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
    "transcode": {
        **dict.fromkeys(
            (
                (
                    "transcode.cpp",
                    "clause",
                    "after.size == before.size && after.modified == before.modified &&"
                    " after.changed == before.changed",
                ),
                (
                    "transcode.cpp",
                    "clause",
                    "after.inode == before.inode && after.modified == before.modified &&"
                    " after.changed == before.changed",
                ),
                (
                    "transcode.cpp",
                    "clause",
                    "after.inode == before.inode && after.size == before.size &&"
                    " after.changed == before.changed",
                ),
            ),
            "whatever writes a file or puts another at its place moves the time of its change, too",
        ),
        ("transcode_plan.cpp", "never", "!layout"): "what a reader accepted, the writer lays out",
        (
            "trit_source.cpp",
            "sign",
            "rows() + tile_rows(step) + 1",
        ): "one tile more, over no rows",
    },
    "kernels": KERNELS,
    "backend": BACKEND,
    "model": {
        **dict.fromkeys(
            (
                ("self_proof.cpp", "sign", "state * 1664525u - 1013904223u"),
                ("self_proof.cpp", "shift", "static_cast<std::int32_t>(state) << 8"),
            ),
            "other values to try a tier with, as good",
        ),
        ("self_proof.cpp", "never", "input.columns() == columns"): "makes the same input again",
    },
    "engine": {
        **dict.fromkeys(
            (
                ("scheduler.cpp", "never", "running_.empty()"),
                ("scheduler.cpp", "bound", "running >= 0"),
                ("sampler.cpp", "never", "!counts_answer()"),
            ),
            "work on nothing; with none running there is room; penalties of zero",
        ),
        **dict.fromkeys(
            (
                ("scheduler.cpp", "clause", "static_cast<std::uint32_t>(token) < vocab"),
                ("embedder.cpp", "clause", "static_cast<std::uint32_t>(token) < vocab"),
            ),
            "a negative token lies beyond every vocabulary as well",
        ),
        (
            "scheduler.cpp",
            "bound",
            "*task->request.deadline < now",
        ): "no test meets the nanosecond of a clock",
        **dict.fromkeys(
            (
                ("scheduler.cpp", "never", "index == 0"),
                ("scheduler.cpp", "never", "work_.empty()"),
                ("scheduler.cpp", "never", "!computed"),
                ("embedder.cpp", "never", "!computed"),
            ),
            "no test can tell when the system has no memory for a page",
        ),
        (
            "sequence.cpp",
            "bound",
            "options.available_memory >= logits",
        ): "nothing is left either way",
        ("answer_pace.cpp", "bound", "waiting <= queue"): "one answer either way",
        (
            "embedder.cpp",
            "bound",
            "work.size() <= kMostTexts",
        ): "pages have room for one more: texts that share a step's rows leave some",
        (
            "stepper.cpp",
            "clause",
            "!advance.failed",
        ): "a row that did not fail leaves no failure where there is none",
        **dict.fromkeys(
            (
                ("sampler.cpp", "never", "recent.empty()"),
                ("sampler.cpp", "never", "draw.scaled(logit) + bounds[i] < best"),
                ("sampler.cpp", "bound", "draw.scaled(logit) + bounds[i] <= best"),
            ),
            "work that changes no outcome: no token is penalised, sorted out or able to win",
        ),
        **dict.fromkeys(
            (
                ("sampler.cpp", "bound", "a.logit >= b.logit"),
                ("sampler.cpp", "bound", "a.token <= b.token"),
                ("logprobs.cpp", "bound", "logit(a) >= logit(b)"),
                ("logprobs.cpp", "bound", "a <= b"),
                ("sampler.cpp", "bound", "token <= chosen"),
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
    },
}
