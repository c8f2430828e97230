#include "diagnose/measure/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <random>

#include "arch/footprint.h"
#include "arch/gguf_dialect.h"
#include "backend/cpu/cpu_backend.h"
#include "core/machine.h"
#include "diagnose/measure/mac_ceiling.h"
#include "diagnose/measure/page_cache.h"
#include "engine/sequence.h"
#include "engine/stepper.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tern::diagnose {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint32_t kSeed = 1;  // of the tokens: the same in every run

struct Loaded {
  std::unique_ptr<backend::CpuBackend> backend;  // the model points to it
  model::Model model;
  // Not used here, but a user waits for it and it takes memory. None where the file has none.
  std::optional<text::Tokenizer> tokenizer;
};

class Bench {
 public:
  explicit Bench(const BenchOptions& options) : options_(options) {}

  // False where the caller asked to stop.
  Result<bool> run() {
    const auto start = options_.repetitions.clock();
    TERN_TRY(describe());
    TERN_TRY(measure_ceilings(&TierCeiling::before, report_.ceilings.read_before));
    report_.rss_excludes_probe = reset_peak_resident();
    TERN_TRY(measure_model());
    TERN_TRY(measure_loads());
    TERN_TRY(measure_ceilings(&TierCeiling::after, report_.ceilings.read_after));
    if (stopped()) return false;
    TERN_TRY(fill_shares());
    const auto end = options_.repetitions.clock();
    if (start && end) report_.stolen_share = stolen_share(*start, *end);
    return true;
  }
  BenchReport take() { return std::move(report_); }

 private:
  bool stopped() const { return options_.stop.stop_requested(); }

  Result<void> describe() {
    TERN_ASSIGN(const format::GgufFile file, options_.open());
    TERN_ASSIGN(const arch::DecoderConfig config, arch::read_decoder_config(file));
    // Before minutes of measuring.
    TERN_TRY(engine::checked_context(longest(), config.context));
    report_.model = config.name;
    report_.architecture = config.architecture;
    report_.source = file.source();
    report_.tier = options_.tier->name;
    report_.threads = options_.threads;
    report_.repetitions = options_.repetitions.count;
    report_.prefill_chunk = engine::SequenceOptions{}.prefill_chunk;
    report_.decode_tokens = options_.decode;
    report_.depth = options_.depth;
    report_.macs_per_token = arch::ternary_macs_per_token(config);
    weight_bytes_ = arch::payload_bytes_per_token(config, file.tensors());
    const std::uint64_t kv = arch::kv_bytes_per_token(config, options_.kv_type);
    report_.kv_type = options_.kv_type;
    // The step at position p reads the keys and values of p + 1 positions.
    report_.kv_bytes_per_token = kv * (2ull * options_.depth + options_.decode + 1) / 2;
    report_.kv_bytes = kv * most_tokens();
    for (const kernels::KernelTable* table : options_.tiers) {
      report_.ceilings.macs.push_back({.tier = table->name});
    }
    return {};
  }

  std::uint32_t decoded_length() const { return options_.depth + options_.decode; }
  std::uint32_t longest() const {
    std::uint32_t longest = decoded_length();
    for (const std::uint32_t tokens : options_.prefills) longest = std::max(longest, tokens);
    return longest;
  }
  // Of all sequences that are there at once.
  std::uint64_t most_tokens() const {
    std::uint64_t most = longest();
    for (const std::uint32_t sequences : options_.batches) {
      most = std::max(most, std::uint64_t{sequences} * decoded_length());
    }
    return most;
  }

  Result<void> measure_ceilings(double TierCeiling::*when, ReadCeiling& read) {
    if (stopped()) return {};
    options_.progress("ceilings", 0, options_.tiers.size() + 1);
    TERN_ASSIGN(read,
                measure_read_ceiling(options_.read_buffer, options_.threads, options_.read_budget));
    // Weights that fit into a cache are read faster than memory: theirs is that ceiling.
    if (weight_bytes_ < options_.read_buffer) {
      TERN_ASSIGN(const ReadCeiling cached,
                  measure_read_ceiling(weight_bytes_, options_.threads, kShortReadBudget));
      if (cached.bytes_per_second > read.bytes_per_second) read = cached;
    }
    for (std::size_t i = 0; i < options_.tiers.size() && !stopped(); ++i) {
      options_.progress("ceilings", i + 1, options_.tiers.size() + 1);
      TERN_ASSIGN(report_.ceilings.macs[i].*when,
                  measure_mac_ceiling(options_.tiers[i]->multiply_accumulate_loop, options_.threads,
                                      kMacBudget));
    }
    return {};
  }

  Result<Loaded> load() const {
    TERN_ASSIGN(std::unique_ptr<backend::CpuBackend> backend,
                backend::CpuBackend::create(*options_.tier, options_.threads));
    backend->use_tuning(options_.tuning);
    TERN_ASSIGN(format::GgufFile file, options_.open());
    model::LoadOptions load_options;
    load_options.available_memory = available_memory();
    load_options.head = options_.head;
    TERN_ASSIGN(model::Model model, model::Model::load(std::move(file), *backend, load_options));
    Loaded loaded{std::move(backend), std::move(model), std::nullopt};
    if (loaded.model.file().find("tokenizer.ggml.model") != nullptr) {
      TERN_ASSIGN(loaded.tokenizer, text::Tokenizer::from_gguf(loaded.model.file()));
    }
    return loaded;
  }

  // Prefill, decode and the peak of memory, with one model loaded.
  Result<void> measure_model() {
    if (stopped()) return {};
    options_.progress("load", 0, 1);
    TERN_ASSIGN(const Loaded loaded, load());
    report_.bytes_per_token = weight_bytes_ = loaded.model.search_bytes_per_token();
    report_.head = loaded.model.head();
    if (options_.decode > 0 && !options_.batches.empty()) {  // is there room? Before minutes again
      TERN_TRY(make_stepper(loaded.model, std::ranges::max(options_.batches)));
    }
    for (const std::uint32_t tokens : options_.prefills) {
      TERN_TRY(measure_prefill(loaded.model, tokens));
    }
    if (options_.decode > 0) {
      TERN_TRY(measure_decode(loaded.model));
      for (const std::uint32_t sequences : options_.batches) {
        TERN_TRY(measure_batch(loaded.model, sequences));
      }
    }
    note_peak();
    return {};
  }

  // Tokens a second of `count` tokens behind `before` others, `step` of them at a time.
  Result<std::optional<double>> append_once(const model::Model& model, std::uint32_t before,
                                            std::uint32_t count, std::uint32_t step) {
    const std::vector<text::TokenId> tokens = random_tokens(model.config().vocab);
    const engine::Sequence::AppendOptions greedy{
        .stop = options_.stop, .top = engine::TopLogits{1, model.config().vocab, {}}};
    TERN_ASSIGN(engine::Sequence sequence, fresh_sequence(model));
    TERN_TRY(sequence.pretend(std::span(tokens).first(before)));
    const std::span<const text::TokenId> measured = std::span(tokens).subspan(before, count);
    const auto start = Clock::now();
    std::size_t rows = 0;
    for (std::size_t i = 0; i < count && !stopped(); i += step) {
      TERN_TRY(sequence.append(measured.subspan(i, step), greedy));
      rows += sequence.candidates().size();
    }
    const Seconds seconds = Clock::now() - start;
    if (stopped()) return std::optional<double>();
    report_.exact_rows_per_token = static_cast<double>(rows) / count;
    return std::optional(count / seconds.count());
  }

  // A prompt, in turns with multiplying.
  Result<void> measure_prefill(const model::Model& model, std::uint32_t tokens) {
    const auto once = [&] { return append_once(model, 0, tokens, tokens); };
    PrefillRate prefill{.tokens = tokens};
    TERN_ASSIGN(const std::optional<Repeated> found,
                in_turns(
                    "prefill", once, [this] { return mac_rate(); }, prefill.turns));
    if (!found) return {};
    prefill.rate.tokens_per_second = *found;
    report_.prefills.push_back(std::move(prefill));
    return {};
  }

  // One token after another, in turns with reading.
  Result<void> measure_decode(const model::Model& model) {
    const auto once = [&] { return append_once(model, options_.depth, options_.decode, 1); };
    TERN_ASSIGN(const std::optional<Repeated> found,
                in_turns(
                    "decode", once, [this] { return read_rate(); }, report_.decode_turns));
    if (found) report_.decode = Rate{*found, 0.0};
    return {};
  }

  // What others on the same machine leave of its memory and its cores is not the same in every
  // second, so each repetition is held to what there was right before and behind it.
  Result<std::optional<Repeated>> in_turns(std::string_view what, const Repetition& once,
                                           const std::function<Result<double>()>& ceiling,
                                           std::vector<Turn>& kept) {
    if (stopped()) return std::optional<Repeated>();
    std::vector<Turn> turns;
    ceiling_disturbance_ = 0.0;
    TERN_ASSIGN(double before, ceiling());
    const auto turn = [&]() -> Result<std::optional<double>> {
      TERN_ASSIGN(const std::optional<double> found, once());
      if (!found) return found;
      TERN_ASSIGN(const double behind, ceiling());
      turns.push_back({*found, (before + behind) / 2});
      before = behind;
      return found;
    };
    TERN_ASSIGN(std::optional<Repeated> found, counted(what, turn));
    if (!found) return found;
    found->disturbance = std::max(found->disturbance, ceiling_disturbance_);
    for (const std::size_t i : found->kept) kept.push_back(turns[i + 1]);  // 0: not counted
    return found;
  }

  Result<double> read_rate() {
    return undisturbed("reading beside decode", [this]() -> Result<double> {
      note_peak();
      const ReadCeiling& way = report_.ceilings.read_before;
      TERN_ASSIGN(
          const double rate,
          measure_read_rate(way, std::min(way.buffer_bytes, kRateReadBuffer), options_.threads,
                            std::min(options_.read_budget, kRateReadBudget)));
      report_.rss_excludes_probe = reset_peak_resident() && report_.rss_excludes_probe;
      return rate;
    });
  }

  Result<double> mac_rate() {
    return undisturbed("multiplying beside prefill", [this] {
      return measure_mac_ceiling(options_.tier->multiply_accumulate_loop, options_.threads,
                                 kMacRateBudget);
    });
  }

  // Again where a hypervisor took time from it: what the machine gave less then would flatter what
  // is computed on either side of it, of which one alone is discarded for that.
  Result<double> undisturbed(std::string_view what,
                             const std::function<Result<double>()>& ceiling) {
    const auto once = [&]() -> Result<std::optional<double>> {
      TERN_ASSIGN(const double rate, ceiling());
      return std::optional(rate);
    };
    TERN_ASSIGN(const std::optional<Repeated> found,
                repeat(what, {1, options_.repetitions.clock}, once));
    // A ceiling has a value always.
    ceiling_disturbance_ = std::max(ceiling_disturbance_, found.value().disturbance);
    return found.value().value.median;
  }

  void note_peak() { report_.rss_bytes = std::max(report_.rss_bytes, peak_resident_bytes()); }

  Result<std::unique_ptr<engine::Stepper>> make_stepper(const model::Model& model,
                                                        std::uint32_t sequences) const {
    const std::uint64_t pages =
        std::uint64_t{sequences} * backend::KvPool::pages_for(decoded_length());
    if (pages > std::numeric_limits<std::uint32_t>::max()) {
      return Error{ErrorCode::kUsage, "expected fewer sequences or tokens: that many have no room",
                   "bench"};
    }
    engine::StepperOptions wanted;
    wanted.rows = sequences;
    wanted.pages = static_cast<std::uint32_t>(pages);
    wanted.sequences = sequences;
    wanted.available_memory = available_memory();
    wanted.kv_type = options_.kv_type;
    return engine::Stepper::create(model, wanted);
  }

  // Steps in which each of some sequences gets a token.
  Result<void> measure_batch(const model::Model& model, std::uint32_t sequences) {
    TERN_ASSIGN(const std::unique_ptr<engine::Stepper> stepper, make_stepper(model, sequences));
    const std::vector<text::TokenId> tokens = random_tokens(model.config().vocab);
    const auto once = [&]() { return batch_once(*stepper, sequences, tokens); };
    TERN_ASSIGN(const std::optional<Repeated> found,
                counted(fmt::format("batch of {}", sequences), once));
    if (found) report_.batches.push_back({sequences, {*found, 0.0}});
    return {};
  }

  // Tokens a second of all sequences together.
  Result<std::optional<double>> batch_once(engine::Stepper& stepper, std::uint32_t sequences,
                                           std::span<const text::TokenId> tokens) const {
    std::vector<engine::Sequence> batch;
    batch.reserve(sequences);
    for (std::uint32_t i = 0; i < sequences; ++i) {
      TERN_ASSIGN(engine::Sequence sequence, engine::Sequence::create(stepper));
      TERN_TRY(sequence.pretend(tokens.first(options_.depth)));
      batch.push_back(std::move(sequence));
    }
    const engine::TopLogits greedy{1, stepper.model().config().vocab, {}};
    const auto start = Clock::now();
    for (std::uint32_t step = 0; step < options_.decode && !stopped(); ++step) {
      std::vector<engine::Advance> work;
      for (std::uint32_t i = 0; i < sequences; ++i) {  // each a token of its own
        work.push_back({&batch[i], tokens.subspan((step + i) % tokens.size(), 1),
                        engine::Advance::Logits::kNone, greedy});
      }
      TERN_TRY(stepper.step(work));
      for (engine::Advance& advance : work) {
        if (advance.failed) return std::move(*advance.failed);
      }
    }
    const Seconds seconds = Clock::now() - start;
    if (stopped()) return std::optional<double>();
    return std::optional(static_cast<double>(sequences) * options_.decode / seconds.count());
  }

  // repeat() with one repetition before the first, which finds pages and caches as the others do.
  Result<std::optional<Repeated>> counted(std::string_view what, const Repetition& once) {
    return counted(what, options_.repetitions, once);
  }
  Result<std::optional<Repeated>> counted(std::string_view what, const Repetitions& repetitions,
                                          const Repetition& once) {
    std::uint64_t done = 0;
    const auto next = [&]() -> Result<std::optional<double>> {
      options_.progress(what, done++, repetitions.count + 1);
      return once();
    };
    TERN_ASSIGN(const std::optional<double> first, next());
    if (!first) return std::optional<Repeated>();
    return repeat(what, repetitions, next);
  }

  Result<engine::Sequence> fresh_sequence(const model::Model& model) const {
    engine::SequenceOptions sequence;
    sequence.context = longest();
    sequence.available_memory = available_memory();
    sequence.kv_type = options_.kv_type;
    return engine::Sequence::create(model, sequence);
  }

  std::vector<text::TokenId> random_tokens(std::uint32_t vocab) const {
    std::mt19937 random(kSeed);  // whose numbers the standard fixes
    std::vector<text::TokenId> tokens(longest());
    for (text::TokenId& token : tokens) token = static_cast<text::TokenId>(random() % vocab);
    return tokens;
  }

  Result<void> measure_loads() {
    const auto seconds = [this]() -> Result<std::optional<double>> {
      if (stopped()) return std::optional<double>();
      const auto start = Clock::now();
      TERN_ASSIGN(const Loaded loaded, load());
      return std::optional(Seconds(Clock::now() - start).count());
    };
    TERN_ASSIGN(const std::optional<Repeated> warm, counted("warm load", seconds));
    if (!warm) return {};
    report_.load.warm = *warm;
    if (options_.path.empty()) return {};
    const auto cold_seconds = [&]() -> Result<std::optional<double>> {
      TERN_TRY(drop_from_page_cache(options_.path));
      TERN_ASSIGN(const double kept, resident_share(options_.path));
      report_.load.cold_resident_share = std::max(report_.load.cold_resident_share, kept);
      return seconds();
    };
    // Reading the disk of a virtual machine is its hypervisor's work: that is borne, and reported.
    Repetitions repetitions = options_.repetitions;
    repetitions.most_borne = 1.0;
    TERN_ASSIGN(report_.load.cold, counted("cold load", repetitions, cold_seconds));
    return {};
  }

  // In steps of so many tokens; look-up tables may pass what multiply-accumulates give at most.
  Result<double> share_of_macs(std::string_view what, std::uint32_t tokens, double rate,
                               double ceiling) const {
    const std::uint32_t least = options_.tier->lut_tokens;
    if (least != 0 && tokens >= least) return rate / ceiling;
    return share_of(what, rate, ceiling);
  }

  Result<void> fill_shares() {
    const Ceilings& ceilings = report_.ceilings;
    const auto own = std::find_if(ceilings.macs.begin(), ceilings.macs.end(),
                                  [this](const auto& c) { return c.tier == report_.tier; });
    const double macs_per_second = own->best();
    const auto macs = static_cast<double>(report_.macs_per_token);
    for (PrefillRate& prefill : report_.prefills) {
      const double ceiling = ceiling_of(prefill.turns).median;
      const double done = share_in_turns(prefill.turns, macs) * ceiling;
      TERN_ASSIGN(
          prefill.rate.share,
          share_of_macs("prefill", std::min(prefill.tokens, report_.prefill_chunk), done, ceiling));
    }
    for (auto& [sequences, rate] : report_.batches) {
      const double read =
          static_cast<double>(report_.bytes_per_token) / ceilings.read().bytes_per_second;
      const double least = std::max(read, sequences * macs / macs_per_second);
      const double median = rate.tokens_per_second.value.median;
      TERN_TRY(share_of("batch", median, sequences / read));
      TERN_ASSIGN(rate.share, share_of_macs("batch", sequences, median, sequences / least));
    }
    if (report_.decode) {
      const auto weights = static_cast<double>(report_.bytes_per_token);
      const auto kv = static_cast<double>(report_.kv_bytes_per_token);
      const double ceiling = ceiling_of(report_.decode_turns).median;
      const double read = share_in_turns(report_.decode_turns, weights) * ceiling;
      TERN_ASSIGN(report_.decode->share, share_of("bytes of decode", read, ceiling));
      // Keys and values may come from a cache in part: then there is no share of reading memory.
      const double with_kv = report_.decode->share * ((weights + kv) / weights);
      if (with_kv <= 1.0) report_.share_with_kv = with_kv;
    }
    return {};
  }

  const BenchOptions& options_;
  BenchReport report_;
  double ceiling_disturbance_ = 0.0;  // the most of a ceiling beside what is measured now
  std::uint64_t weight_bytes_ = 0;    // that a token reads: of the file, and once loaded as packed
};

Result<void> check(const BenchOptions& options) {
  const auto is_own = [&](const auto* table) { return table == options.tier; };
  if (std::none_of(options.tiers.begin(), options.tiers.end(), is_own)) {
    return Error{ErrorCode::kUsage, "the tier in use is not among those to measure", "bench"};
  }
  const auto has_zero = [](const std::vector<std::uint32_t>& counts) {
    return std::find(counts.begin(), counts.end(), 0u) != counts.end();
  };
  if (has_zero(options.prefills) || has_zero(options.batches)) {
    return Error{ErrorCode::kUsage, "expected prompts and batches of at least 1", "bench"};
  }
  if (!options.batches.empty() && options.decode == 0) {
    return Error{ErrorCode::kUsage, "expected tokens to decode in batches, found none", "bench"};
  }
  if (options.repetitions.count == 0 || options.depth == 0) {
    return Error{ErrorCode::kUsage, "expected at least 1 repetition and a depth of at least 1",
                 "bench"};
  }
  return {};
}

}  // namespace

Result<double> share_of(std::string_view what, double rate, double ceiling) {
  const double share = rate / ceiling;
  if (share <= 1.0) return share;
  return Error{
      ErrorCode::kNumeric,
      fmt::format("found {:.3g} a second, above the measured ceiling of {:.3g}: the ceiling "
                  "was disturbed; measure again on a quiet machine",
                  rate, ceiling),
      std::string(what)};
}

double share_in_turns(std::span<const Turn> turns, double a_token) {
  std::vector<double> shares;
  for (const Turn& turn : turns) shares.push_back(turn.tokens_per_second * a_token / turn.ceiling);
  return quartiles(shares).median;
}

Quartiles ceiling_of(std::span<const Turn> turns) {
  std::vector<double> ceilings;
  for (const Turn& turn : turns) ceilings.push_back(turn.ceiling);
  return quartiles(ceilings);
}

Result<std::optional<BenchReport>> bench(const BenchOptions& options) {
  TERN_TRY(check(options));
  Bench bench(options);
  TERN_ASSIGN(const bool finished, bench.run());
  if (!finished) return std::optional<BenchReport>();
  return std::optional(bench.take());
}

}  // namespace tern::diagnose
