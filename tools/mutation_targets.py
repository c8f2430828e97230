"""What tools/mutation_check breaks: source files and the test that guards them."""

from dataclasses import dataclass, field

from mutation_equivalents import EQUIVALENT


@dataclass(frozen=True)
class Target:
    files: tuple[str, ...]
    test: str  # the CMake target
    program: str  # the test, in the build directory
    # The tests that a file's mutants face first, as a filter of GoogleTest ("*": of other files);
    # what survives them faces all.
    first: dict[str, str] = field(default_factory=dict)
    # What survives faces these: tests of a program that never reach the files are not run.
    all: str = "*"
    # Tests of a command, one after another: then `program` is the command, named to them as $TERN.
    scripts: tuple[str, ...] = ()
    # Tests that cannot pass beside AddressSanitizer, as such a filter.
    without: str = ""
    # Mutants that nobody could tell from the code, each with the reason.
    equivalent: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def filters_of(self, file: str) -> list[str]:
        """What the mutants of a file face, one after another: filters of GoogleTest, or scripts."""
        if self.scripts:
            return list(self.scripts)
        first = self.first.get(file, self.first.get("*", self.all))
        return [self.less(tests) for tests in dict.fromkeys((first, self.all))]

    def less(self, tests: str) -> str:
        if not self.without:
            return tests
        return f"{tests}{':' if '-' in tests else '-'}{self.without}"


TARGETS = {
    "core": Target(
        files=(
            "src/core/aligned_buffer.cpp",
            "src/core/atomic_file.cpp",
            "src/core/cache_dir.cpp",
            "src/core/cache_header.cpp",
            "src/core/file_descriptor.cpp",
            "src/core/fixed_math.cpp",
            "src/core/fixed_math_body.h",
            "src/core/float16.cpp",
            "src/core/gumbel.cpp",
            "src/core/json.cpp",
            "src/core/machine.cpp",
            "src/core/mapped_file.cpp",
            "src/core/philox_body.h",
            "src/core/read_ahead.cpp",
            "src/core/sha256.cpp",
            "src/core/thread_pool.cpp",
        ),
        test="core_test",
        program="tests/core/core_test",
        first={
            "src/core/fixed_math.cpp": "Fixed*",
            "src/core/gumbel.cpp": "Gumbel*",
            "src/core/json.cpp": "Json.*",
            "src/core/philox_body.h": "Philox.*",
        },
        without="ThreadPoolCreate.MoreThreadsThanTheMachineGivesIsAnError",
        equivalent=EQUIVALENT["core"],
    ),
    "format": Target(
        files=(
            "src/format/gguf/byte_reader.cpp",
            "src/format/gguf/fingerprint.cpp",
            "src/format/gguf/gguf_parser.cpp",
            "src/format/gguf/gguf_parser_tensors.cpp",
            "src/format/gguf/gguf_text.cpp",
            "src/format/gguf/gguf_types.cpp",
            "src/format/gguf/gguf_file.cpp",
            "src/format/gguf/gguf_writer.cpp",
            "src/format/safetensors/checkpoint.cpp",
            "src/format/safetensors/safetensors_file.cpp",
            "src/format/safetensors/safetensors_header.cpp",
            "src/format/kernel_config.cpp",
            "src/format/ternary/i2_s.cpp",
            "src/format/ternary/iq_bn.cpp",
            "src/format/ternary/tl.cpp",
            "src/format/ternary/tq.cpp",
            "src/format/ternary_encoder.cpp",
            "src/format/ternary_matrix.cpp",
            "src/format/float_blocks.cpp",
        ),
        test="format_test",
        program="tests/format/format_test",
        first={
            "src/format/safetensors/checkpoint.cpp": "CheckpointFolder.*",
            "src/format/safetensors/safetensors_file.cpp": "*Safetensors*:CheckpointFolder.*",
            "src/format/safetensors/safetensors_header.cpp": "*Safetensors*",
            "src/format/ternary/iq_bn.cpp": "IqBn.*",
            "src/format/ternary/tl.cpp": "Tl.*",
            "src/format/ternary_encoder.cpp": "TernaryEncoder.*",
        },
        equivalent=EQUIVALENT["format"],
    ),
    "text": Target(
        files=(
            "src/text/bpe.cpp",
            "src/text/byte_alphabet.cpp",
            "src/text/byte_level.cpp",
            "src/text/byte_tokens.cpp",
            "src/text/chat_template.cpp",
            "src/text/normalizer.cpp",
            "src/text/pre_tokenizer.cpp",
            "src/text/sentence_piece.cpp",
            "src/text/stream_decoder.cpp",
            "src/text/token_index.cpp",
            "src/text/token_trie.cpp",
            "src/text/tokenizer.cpp",
            "src/text/unigram.cpp",
            "src/text/utf8.cpp",
            "src/text/vocabulary.cpp",
        ),
        test="text_test",
        program="tests/text/text_test",
        first={
            "*": "-LinearTime.*:ChatTemplate.*:UnicodeTables.*",
            "src/text/chat_template.cpp": "ChatTemplate.*",
            "src/text/pre_tokenizer.cpp": "PreTokenizer*",
            "src/text/utf8.cpp": "Utf8.*",
        },
        equivalent=EQUIVALENT["text"],
    ),
    "jinja": Target(
        files=tuple(
            f"src/text/jinja/{name}.cpp"
            for name in (
                "evaluate",
                "expression_parser",
                "filters",
                "interpreter",
                "json",
                "lexer",
                "methods",
                "operations",
                "parser",
                "sequence_filters",
                "tests",
                "value",
            )
        ),
        test="text_test",
        program="tests/text/text_test",
        first={"*": "ChatTemplate.*-*.IsBounded:*.IsBoundedInWhatItsValuesHold"},
        all="ChatTemplate.*:ChatPrompt.*:NamedTemplates.*",
        equivalent=EQUIVALENT["jinja"],
    ),
    "checkpoints": Target(
        files=(
            "src/convert/plan.cpp",
            "src/convert/pooling.cpp",
            "src/convert/tokenizer.cpp",
        ),
        test="tern",
        program="src/cli/tern",
        scripts=("tests/cli/test_bad_checkpoints.py", "tests/cli/test_convert.py"),
    ),
    "convert": Target(
        files=(
            "src/convert/float_bits.cpp",
            "src/convert/output_file.cpp",
            "src/convert/pieces_json.cpp",
            "src/convert/sentence_piece_model.cpp",
            "src/convert/tensor_job.cpp",
            "src/convert/tiktoken.cpp",
            "src/convert/tokenizer_json.cpp",
        ),
        test="convert_test",
        program="tests/convert/convert_test",
        equivalent=EQUIVALENT["convert"],
    ),
    "transcode": Target(
        files=(
            "src/convert/certificate.cpp",
            "src/convert/output_types.cpp",
            "src/convert/transcode.cpp",
            "src/convert/transcode_plan.cpp",
            "src/convert/trit_source.cpp",
        ),
        test="transcode_test",
        program="tests/integration/transcode_test",
        first={"*": "SmallTranscode.*:MatrixCertificate.*"},
        equivalent=EQUIVALENT["transcode"],
    ),
    "arch": Target(
        files=(
            "src/arch/footprint.cpp",
            "src/arch/gguf_dialect.cpp",
            "src/arch/hf_dialect.cpp",
            "src/arch/hf_rope.cpp",
            "src/arch/json_settings.cpp",
        ),
        test="arch_test",
        program="tests/arch/arch_test",
        first={
            "src/arch/hf_dialect.cpp": "HfDialect.*",
            "src/arch/hf_rope.cpp": "HfDialect.*",
            "src/arch/json_settings.cpp": "HfDialect.*",
        },
        equivalent=EQUIVALENT["arch"],
    ),
    # What reads what a server says; a server that misbehaves, of tests/hub, guards the rest.
    "hub": Target(
        files=(
            "src/hub/aliases.cpp",
            "src/hub/listing.cpp",
            "src/hub/model_ref.cpp",
            "src/hub/url.cpp",
        ),
        test="hub_test",
        program="tests/hub/hub_test",
        equivalent=EQUIVALENT["hub"],
    ),
    # Of the server, programs of tests/serve guard the rest.
    "net": Target(
        files=(
            "src/net/http_message.cpp",
            "src/net/request_head.cpp",
            "src/net/request_reader.cpp",
        ),
        test="net_test",
        program="tests/net/net_test",
        first={"*": "HttpMessage.*:RequestReader.*:*/HostileRequest.*"},
        equivalent=EQUIVALENT["net"],
    ),
    "serve": Target(
        files=(
            "src/serve/chat_request.cpp",
            "src/serve/event_id.cpp",
            "src/serve/fields.cpp",
            "src/serve/messages.cpp",
            "src/serve/request_fields.cpp",
            "src/serve/prompts.cpp",
            "src/serve/text_request.cpp",
        ),
        test="serve_test",
        program="tests/serve/serve_test",
        equivalent=EQUIVALENT["serve"],
    ),
    "kernels": Target(
        files=(
            "src/kernels/scalar/kernels.cpp",
            "src/kernels/generic/attention_body.h",
            "src/kernels/generic/attention_int8_body.h",
            "src/kernels/generic/block_rows_body.h",
            "src/kernels/generic/float_body.h",
            "src/kernels/generic/lut_body.h",
            "src/kernels/generic/quantize_body.h",
            "src/kernels/generic/scan_body.h",
            "src/kernels/generic/ternary_block_body.h",
            "src/kernels/generic/ternary_body.h",
            "src/kernels/generic/ternary_panel_body.h",
            "src/kernels/generic/tmm_attention_body.h",
            "src/kernels/generic/tmm_body.h",
            "src/kernels/generic/tmm_shape.h",
            "src/kernels/generic/value_digits.h",
            "src/kernels/x86/simd256.h",
            "src/kernels/avx2/kernels.cpp",
            "src/kernels/avx2/lut.h",
            "src/kernels/avx_vnni/kernels.cpp",
            "src/kernels/avx512_vnni/kernels.cpp",
            "src/kernels/avx512_vnni/simd.h",
            "src/kernels/avx512_vbmi/simd.h",
        ),
        test="conformance_test",
        program="tests/conformance/conformance_test",
        first={
            "src/kernels/scalar/kernels.cpp": "*Tier.*/avx2:*Tier.*/scalar"
            "-*ScanRows/scalar:*TernaryLinear*/scalar",
            "src/kernels/generic/attention_body.h": "*/Tier.Attention*-*/scalar",
            "src/kernels/generic/attention_int8_body.h": "*/Int8AttentionTier.*-*/scalar",
            "src/kernels/generic/block_rows_body.h": "*/HeadTier.DotRows*-*/scalar",
            "src/kernels/generic/float_body.h": "*/Tier.*-*/scalar",
            "src/kernels/generic/lut_body.h": "*/TernaryTier.*/avx2",
            "src/kernels/avx2/lut.h": "*/TernaryTier.*/avx2",
            "src/kernels/generic/quantize_body.h": "*/TernaryTier.Quantize*:*/Tier.StoreF16*"
            "-*/scalar",
            "src/kernels/generic/scan_body.h": "*/HeadTier.Scan*-*/scalar",
            "src/kernels/generic/ternary_block_body.h": "*/TernaryTier.*-*/scalar",
            "src/kernels/generic/ternary_body.h": "*/TernaryTier.*-*/scalar",
            "src/kernels/generic/ternary_panel_body.h": "*/TernaryTier.*-*/scalar",
            "src/kernels/generic/tmm_attention_body.h": "*/Int8AttentionTier.*/amx_emulated",
            "src/kernels/generic/tmm_body.h": "Tmm.*:*/TernaryTier.*/amx_emulated",
            "src/kernels/generic/tmm_shape.h": "Tmm.*:*/TernaryTier.*/amx_emulated",
            "src/kernels/generic/value_digits.h": "*/Int8AttentionTier.*-*/scalar",
        },
        equivalent=EQUIVALENT["kernels"],
    ),
    "registry": Target(
        files=("src/kernels/registry.cpp",),
        test="kernels_test",
        program="tests/kernels/kernels_test",
    ),
    "backend": Target(
        files=(
            "src/backend/cpu/attention.cpp",
            "src/backend/cpu/attention_division.cpp",
            "src/backend/cpu/linear_division.cpp",
            "src/backend/cpu/cpu_backend.cpp",
            "src/backend/cpu/execution.cpp",
            "src/backend/cpu/head_copy.cpp",
            "src/backend/cpu/head_search.cpp",
            "src/backend/cpu/kv_cache.cpp",
            "src/backend/cpu/kv_pool.cpp",
            "src/backend/cpu/open_calls.h",
            "src/backend/cpu/packed_cache.cpp",
            "src/backend/cpu/schedule.cpp",
            "src/backend/cpu/slots.cpp",
            "src/backend/cpu/tuning.cpp",
            "src/backend/cpu/weights.cpp",
            "src/backend/cpu/workspace.cpp",
        ),
        test="backend_test",
        program="tests/backend/backend_test",
        equivalent=EQUIVALENT["backend"],
        first={
            "src/backend/cpu/attention.cpp": "*/CpuAttentionTest.*:CpuAttention.*:"
            "*/CpuBackendTest.*",
            "src/backend/cpu/attention_division.cpp": "AttentionDivision.*",
            "src/backend/cpu/linear_division.cpp": "LinearDivision.*",
            "src/backend/cpu/open_calls.h": "OpenCalls.*",
            "src/backend/cpu/cpu_backend.cpp": "*/CpuBackendTest.*:*/CpuHidden.*:HeadSearch.Ref*:"
            "TuningOf*:CpuKvPool.*-*.AttentionOfOne*",
            "src/backend/cpu/execution.cpp": "*/CpuBackendTest.*:CpuRows.*:*/CpuHidden.*:"
            "HeadSearch.Ref*-*.AttentionOfOne*",
            "src/backend/cpu/head_copy.cpp": "HeadCopy.*:CachedHeadCopy.*",
            "src/backend/cpu/head_search.cpp": "HeadSearch*.*:HeadDraw.*"
            "-*.Find*:*.Takes*:*.Near*:*.Adv*",
            "src/backend/cpu/kv_cache.cpp": "Kv*:CpuKv*:*/CpuBackendTest.*",
            "src/backend/cpu/kv_pool.cpp": "Kv*:CpuKv*",
            "src/backend/cpu/packed_cache.cpp": "PackedCacheTest.*",
            "src/backend/cpu/schedule.cpp": "Schedule.*",
            "src/backend/cpu/slots.cpp": "CpuWorkspace.*:CpuRows.*",
            "src/backend/cpu/tuning.cpp": "Tuning*",
            "src/backend/cpu/weights.cpp": "*Weight.*:TuningOf*:PackedCacheTest.*:"
            "*/CpuBackendTest.*",
            "src/backend/cpu/workspace.cpp": "CpuWorkspace.*:CpuRows.*",
        },
    ),
    "model": Target(
        files=(
            "src/model/decoder_plan.cpp",
            "src/model/model.cpp",
            "src/model/self_proof.cpp",
        ),
        test="model_test",
        program="tests/model/model_test",
        first={"src/model/self_proof.cpp": "SelfProof.*"},
        equivalent=EQUIVALENT["model"],
    ),
    "engine": Target(
        files=(
            "src/engine/answer.cpp",
            "src/engine/answer_pace.cpp",
            "src/engine/chat_session.cpp",
            "src/engine/embedder.cpp",
            "src/engine/engine.cpp",
            "src/engine/generate.cpp",
            "src/engine/logprobs.cpp",
            "src/engine/pooler.cpp",
            "src/engine/sampler.cpp",
            "src/engine/scheduler.cpp",
            "src/engine/sequence.cpp",
            "src/engine/stepper.cpp",
            "src/engine/stop_scanner.cpp",
        ),
        test="engine_test",
        program="tests/engine/engine_test",
        first={
            "src/engine/answer.cpp": "GenerateTest.*",
            "src/engine/answer_pace.cpp": "AnswerPace.*",
            "src/engine/chat_session.cpp": "*/ChatSessionTest.*",
            "src/engine/embedder.cpp": "EmbedderTest.*",
            "src/engine/engine.cpp": "EngineTest.*",
            "src/engine/logprobs.cpp": "Logprobs.*",
            "src/engine/pooler.cpp": "Pooler.*",
            "src/engine/sampler.cpp": "Sampler.*",
            "src/engine/scheduler.cpp": "Scheduler*",
            "src/engine/sequence.cpp": "SequenceTest.*",
            "src/engine/stepper.cpp": "Stepper*",
            "src/engine/stop_scanner.cpp": "StopScanner.*",
        },
        equivalent=EQUIVALENT["engine"],
    ),
    "diagnose": Target(
        files=(
            "src/diagnose/measure/bench.cpp",
            "src/diagnose/measure/bench_report.cpp",
            "src/diagnose/measure/mac_ceiling.cpp",
            "src/diagnose/measure/page_cache.cpp",
            "src/diagnose/measure/perplexity.cpp",
            "src/diagnose/measure/read_ceiling.cpp",
            "src/diagnose/measure/repeat.cpp",
            "src/diagnose/measure/statistics.cpp",
            "src/diagnose/measure/steal.cpp",
            "src/diagnose/measure/tune.cpp",
            "src/diagnose/measure/tune_report.cpp",
            "src/diagnose/synth/random_bytes.cpp",
            "src/diagnose/synth/synth.cpp",
            "src/diagnose/synth/vocabulary.cpp",
        ),
        test="diagnose_test",
        program="tests/diagnose/diagnose_test",
        first={
            "src/diagnose/measure/bench.cpp": "Bench*:ShareOf.*",
            "src/diagnose/measure/bench_report.cpp": "BenchReport.*",
            "src/diagnose/measure/mac_ceiling.cpp": "MacCeiling.*",
            "src/diagnose/measure/page_cache.cpp": "PageCache.*",
            "src/diagnose/measure/perplexity.cpp": "Perplexity*:NegativeLog*:RunningMean.*",
            "src/diagnose/measure/read_ceiling.cpp": "*ReadCeiling*",
            "src/diagnose/measure/repeat.cpp": "Repeat.*:Disturbance.*",
            "src/diagnose/measure/statistics.cpp": "Quartiles.*",
            "src/diagnose/measure/steal.cpp": "Steal.*",
            "src/diagnose/measure/tune.cpp": "Tun*:ClearlyFaster.*:KeptTileTokens.*",
            "src/diagnose/measure/tune_report.cpp": "TuneReport.*:TuneTilesReport.*",
            "src/diagnose/synth/random_bytes.cpp": "Synth.*",
            "src/diagnose/synth/synth.cpp": "Synth.*",
            "src/diagnose/synth/vocabulary.cpp": "SynthVocabulary.*",
        },
    ),
}
