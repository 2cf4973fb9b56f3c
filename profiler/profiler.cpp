#include "profiler/checkpoint.hpp"
#include "profiler/crossing.hpp"
#include "profiler/cuts.hpp"
#include "profiler/graph_cuts.hpp"
#include "profiler/host_wire.hpp"
#include "profiler/levels.hpp"
#include "profiler/link.hpp"
#include "profiler/validate.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/profiler/transfer.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <tuple>

namespace cleave::inline v0::profiler {
namespace {

using core::Seconds;

enum Phase { cloud_phase, cuts_phase, edge_phase, link_phase, fit_phase, check_phase, phase_count };
constexpr std::string_view phase_name[phase_count] = {
    "the cloud times itself", "bytes and accuracy per cut", "timing the edge's steps",
    "measuring the link",     "fitting the overhead",       "checking the predictions"};
using PhaseTimes = std::array<double, phase_count>;  // s

class PhasedProgress {
 public:
  PhasedProgress(const ProfileOptions& options, const PhaseTimes& expected)
      : options_(options), expected_(expected) {}
  void begin(Phase phase) {
    phase_ = phase;
    at(0);
  }
  void at(double fraction) {
    if (!options_.progress)
      return;
    const auto phase = expected_.begin() + phase_;
    const double before = std::accumulate(expected_.begin(), phase, 0.0);
    const double all = std::accumulate(phase, expected_.end(), before);
    // The cloud's later rounds fall into other phases: the bar stands still, it never goes back.
    drawn_ = std::max(drawn_, (before + *phase * fraction) / all);
    options_.progress(drawn_, phase_name[phase_]);
  }
  [[nodiscard]] std::function<void(double)> reporter() {
    return [this](double fraction) { at(fraction); };
  }

 private:
  const ProfileOptions& options_;
  const PhaseTimes expected_;
  Phase phase_ = cloud_phase;
  double drawn_ = 0;
};

// The cloud times itself so often, at moments apart: what disturbs it for some seconds then spoils
// one of them.
constexpr std::size_t cloud_rounds = 3;

// What the phases will take, roughly, if nothing bounds them; the bar moves by it.
core::Result<PhaseTimes> expected_times(const core::Executable& model, const core::Values& example,
                                        const device::Arbiter& edge_knobs, const core::Clock& clock,
                                        const ProfileOptions& options) {
  const auto cuts = model.cuts();
  double pass = 0;
  for (int i = 0; i < 2; ++i) {  // the first one warms up
    const Seconds start = clock.now();
    if (auto ran = model.run(cuts.front().id, cuts.back().id, example); !ran)
      return core::fail(ran);
    pass = (clock.now() - start).count();
  }
  std::vector<table::CutProfile> bytes(cuts.size());
  for (std::size_t i = 0; i < cuts.size(); ++i) bytes[i].raw = cuts[i].bytes;
  const std::vector<bool> useful = useful_cuts(bytes);
  const auto tails = static_cast<double>(std::count(useful.begin(), useful.end(), true) *
                                         std::ssize(options.codecs));
  const auto settings = static_cast<double>(
      options.edge.transfer_from
          ? probe_settings(edge_knobs.knobs(), options.edge.probes).size()
          : combinations(edge_knobs.knobs(), options.edge.measure_levels).size());

  // A tail is half of a pass; the edge is slower than full speed, by a few times; a request takes
  // a round trip more; the cloud has two settings, say, and idles between passes, too.
  constexpr double half = 0.5, slower = 3, link_seconds = 3, round_trip = 0.03;
  constexpr double cloud_settings = 2, cloud_gap = 0.022;
  const double gap = 1.5 * options.edge.idle_gap.count();
  const double request = gap + slower * pass + round_trip;
  const double requests = options.repeats + 1;
  PhaseTimes times{};
  times[cloud_phase] = cloud_settings * std::max(options.edge.min_time.count(),
                                                 2 * options.edge.min_passes * (cloud_gap + pass));
  times[cuts_phase] = pass * (2 + half * tails) * static_cast<double>(options.samples.size()) + 0.1;
  times[edge_phase] =
      settings * std::clamp(2 * options.edge.min_passes * (gap + slower * pass),
                            options.edge.min_time.count(),
                            std::max(options.edge.max_time.count(), 12 * slower * pass));
  times[link_phase] = link_seconds;
  times[fit_phase] =
      std::min(options.check_time.count() / 3, options.overhead_fit * requests * request);
  times[check_phase] =
      std::min(options.check_time.count(), 2 * options.held_out * requests * request);
  return times;
}

// Of each setting the round in the middle, by the time of a pass.
table::HostProfile middle_of(std::vector<table::HostProfile> rounds) {
  table::HostProfile result = rounds.front();
  for (std::size_t s = 0; s < result.settings.size(); ++s) {
    std::sort(rounds.begin(), rounds.end(), [s](const auto& a, const auto& b) {
      return a.settings[s].whole.mean < b.settings[s].whole.mean;
    });
    result.settings[s] = rounds[rounds.size() / 2].settings[s];
  }
  return result;
}

// The largest message that a configuration may send, for sizing the link's measurement.
core::Bytes largest_useful(const std::vector<table::CutProfile>& cuts) {
  const std::vector<bool> useful = useful_cuts(cuts);
  core::Bytes largest;
  for (std::size_t i = 0; i < cuts.size(); ++i)
    if (useful[i])
      largest = std::max(largest, cuts[i].raw);
  return largest;
}

const table::Setting& fastest_of(const table::HostProfile& host) {
  return *std::min_element(
      host.settings.begin(), host.settings.end(),
      [](const auto& a, const auto& b) { return a.whole.mean < b.whole.mean; });
}

// Adds the cuts that only the graph shows, and leaves out those that nothing prefers.
core::Result<void> settle_cuts(const core::Executable& model, const core::Values& example,
                               device::Arbiter& edge_knobs, const ProfileOptions& options,
                               table::Profile& profile) {
  const CutRange range;
  const auto found = cuts_across_branches(model.step_graph(), profile, range, options.stop);
  if (!found)
    return core::fail(found);
  std::vector<core::Cut> cuts;
  for (const core::StepSet& head : found->heads) {
    auto cut = model.cut_at(core::ranges_of(head));
    if (!cut)
      return core::fail(cut);
    cuts.push_back(std::move(*cut));
  }
  if (!cuts.empty()) {
    const auto lease = edge_knobs.acquire(fastest_of(profile.hosts[core::edge_host]).levels);
    if (!lease)
      return core::fail(lease);
    auto measured = measure_cuts(model, example,
                                 {.codecs = options.codecs,
                                  .samples = options.samples,
                                  .progress = {},
                                  .stop = options.stop,
                                  .others = cuts});
    if (!measured)
      return core::fail(measured);
    profile.cuts.insert(profile.cuts.end(), measured->cuts.begin(), measured->cuts.end());
    std::sort(profile.cuts.begin(), profile.cuts.end(), [](const auto& a, const auto& b) {
      return std::tie(a.position, a.head) < std::tie(b.position, b.head);
    });
  }
  if (options.every_cut)
    return {};
  const std::vector<bool> keep = cuts_to_keep(profile, range);
  std::vector<table::CutProfile> kept;
  for (std::size_t c = 0; c < keep.size(); ++c) {
    if (keep[c])
      kept.push_back(std::move(profile.cuts[c]));
  }
  profile.cuts = std::move(kept);
  return {};
}

// What a checkpoint must have been begun with to be gone on from.
std::uint64_t key_of(const core::Executable& model, const core::Values& example,
                     const device::Arbiter& edge_knobs, const core::Provenance& cloud,
                     const ProfileOptions& options) {
  std::vector<std::byte> facts;
  core::ByteWriter writer(facts);
  writer.put(model.fingerprint().structure);
  writer.put(model.fingerprint().weights);
  for (const core::Value& value : example)
    if (const core::Tensor* tensor = value.tensor())
      for (const std::int64_t size : tensor->sizes) writer.put(size);
  for (const std::string& codec : options.codecs) writer.put_string(codec);
  writer.put_string(options.edge.board);
  writer.put_string(options.edge.source);
  const std::vector<core::Knob> knobs = edge_knobs.knobs();
  std::vector<core::LevelIndex> levels(knobs.size());
  for (std::size_t k = 0; k < knobs.size(); ++k) {
    const core::Knob& knob = knobs[k];
    writer.put_string(knob.name);
    for (levels[k] = 0; levels[k] < knob.levels.size(); ++levels[k]) {
      const core::Level& level = knob.levels[levels[k]];
      writer.put_string(level.label);
      writer.put(level.value);
      const auto slice = options.edge.slice ? options.edge.slice(levels) : std::nullopt;
      writer.put(slice ? slice->quota.count() : 0);
      writer.put(slice ? slice->period.count() : 0);
    }
    levels[k] = 0;
  }
  for (const core::Provenance& machine : {options.edge.made_on, cloud}) {
    writer.put_string(to_string(machine));
    for (const core::Library& library : machine.libraries)
      writer.put_string(library.name + " " + library.version);
  }
  writer.put(static_cast<std::uint64_t>(options.samples.size()));
  for (const Sample& sample : options.samples) {
    writer.put(sample.label);
    for (const core::Value& value : sample.inputs)
      if (const core::Tensor* tensor = value.tensor()) {
        const core::Tensor dense = core::contiguous_copy(*tensor);
        writer.put(core::hash_bytes({dense.data_as<std::byte>(), dense.nbytes()}));
      }
  }
  const int probes = options.edge.transfer_from ? options.edge.probes : 0;
  for (const int number :
       {options.edge.measure_levels, probes, options.edge.min_passes, options.held_out,
        options.overhead_fit, options.repeats, options.every_cut ? 1 : 0})
    writer.put(number);
  writer.put(options.seed);
  writer.put(options.edge.seed);
  writer.put(options.edge.idle_gap.count());
  return core::hash_bytes(facts);
}

class ProfileRun {
 public:
  ProfileRun(std::shared_ptr<const core::Executable> model, const core::Values& example,
             device::Arbiter& edge_knobs, exec::Remote& cloud, const ProfileOptions& options,
             const core::Clock& clock, const PhaseTimes& expected, CheckpointFile& file,
             Checkpoint& so_far)
      : model_(std::move(model)),
        example_(example),
        edge_knobs_(edge_knobs),
        cloud_(cloud),
        options_(options),
        clock_(clock),
        expected_(expected),
        file_(file),
        so_far_(so_far),
        progress_(options, expected),
        start_(clock.now()),
        spent_before_(so_far.spent) {}

  core::Result<table::Profile> run(const core::Provenance& cloud_machine) {
    profile_.model = model_->fingerprint();
    profile_.model_name = options_.model_name;
    profile_.codecs = options_.codecs;
    // What exec::Executor encodes before it sends, and the cloud's decoder takes at a time.
    profile_.chunk = core::Bytes(static_cast<double>(transport::piece_bytes));
    // Accuracy needs many passes and no timing: it comes before any knob slows the edge down. The
    // cloud's rounds lie between the phases.
    using Step = core::Result<void> (ProfileRun::*)();
    for (const Step step :
         {&ProfileRun::time_cloud, &ProfileRun::measure_bytes, &ProfileRun::time_cloud,
          &ProfileRun::time_edge, &ProfileRun::time_cloud, &ProfileRun::time_link})
      if (auto done = (this->*step)(); !done)
        return core::fail(done);
    profile_.hosts[core::cloud_host] = middle_of(so_far_.cloud_halves);
    profile_.hosts[core::cloud_host].made_on = cloud_machine;
    auto conditions = conditions_of(cloud_);
    if (!conditions)
      return core::fail(conditions);
    profile_.hosts[core::cloud_host].conditions = *conditions;
    for (const Step step : {&ProfileRun::finish_cuts, &ProfileRun::check})
      if (auto done = (this->*step)(); !done)
        return core::fail(done);
    progress_.at(1);
    return std::move(profile_);
  }

 private:
  [[nodiscard]] double spent() const { return spent_before_ + (clock_.now() - start_).count(); }

  // What a phase may take when it begins: of the time that is left, its part by what it and those
  // after it are expected to take.
  [[nodiscard]] std::optional<double> allowance(Phase phase) const {
    if (options_.time_limit <= Seconds(0))
      return std::nullopt;
    const auto first = expected_.begin() + phase;
    const double all = std::accumulate(first, expected_.end(), 0.0);
    const double left = std::max(0.0, options_.time_limit.count() - spent());
    return all > 0 ? left * *first / all : 0;
  }
  // Asks whether a phase that begins now has used up its time: an allowance, or `otherwise`.
  [[nodiscard]] std::function<bool()> used_up(Phase phase, std::optional<double> otherwise) const {
    const auto allowed = allowance(phase);
    if (!allowed && !otherwise)
      return {};
    const double until =
        spent() + std::min(allowed.value_or(*otherwise), otherwise.value_or(allowed.value_or(0)));
    return [this, until] { return spent() >= until; };
  }

  core::Result<void> keep() {
    so_far_.spent = spent();
    return file_.save(so_far_);
  }

  core::Result<void> time_cloud() {
    if (++cloud_round_ <= so_far_.cloud_halves.size())
      return {};
    progress_.begin(cloud_phase);
    const double all = std::accumulate(expected_.begin(), expected_.end(), 0.0);
    const double scale =
        options_.time_limit > Seconds(0) ? std::min(1.0, options_.time_limit.count() / all) : 1.0;
    auto half = measure_cloud(scale);
    if (!half)
      return core::fail(half);
    auto& halves = so_far_.cloud_halves;
    if (!halves.empty() && !same_settings(*half, halves.front()))
      return core::fail(core::Errc::mismatch, "the cloud's settings changed while it was measured",
                        "cloud", "profile again");
    halves.push_back(std::move(*half));
    return keep();
  }

  core::Result<table::HostProfile> measure_cloud(double scale) {
    std::vector<std::byte> body;
    MeasureRequest request;
    request.model = model_->fingerprint();
    request.codecs = options_.codecs;
    const double passes = scale * options_.edge.min_passes / cloud_rounds;
    request.passes = static_cast<std::uint32_t>(std::max(2.0, std::ceil(passes)));
    request.time = options_.edge.min_time * scale / cloud_rounds;
    write_measure_request_header(request, body);
    const auto raw = transport::find_codec("raw");
    if (!raw)
      return core::fail(raw);
    if (auto encoded = transport::encode_values(example_, **raw, body); !encoded)
      return core::fail(encoded);
    const auto reply = cloud_.call(
        {profile_service, measure_method, std::move(body), 1, Seconds(0), Seconds(600)});
    if (!reply)
      return core::fail(reply);
    return parse_host_profile(reply->body, model_->step_count(), options_.codecs.size());
  }

  core::Result<void> measure_bytes() {
    if (!so_far_.cuts) {
      progress_.begin(cuts_phase);
      auto cuts = measure_cuts(*model_, example_,
                               {.codecs = options_.codecs,
                                .samples = options_.samples,
                                .progress = progress_.reporter(),
                                .stop = options_.stop,
                                .enough = used_up(cuts_phase, std::nullopt)});
      if (!cuts)
        return core::fail(cuts);
      so_far_.cuts = std::move(*cuts);
      if (auto kept = keep(); !kept)
        return kept;
    }
    profile_.cuts = so_far_.cuts->cuts;
    profile_.reply = so_far_.cuts->reply;
    return {};
  }

  core::Result<void> time_edge() {
    progress_.begin(edge_phase);
    edge_ = options_.edge;
    edge_.codecs = options_.codecs;
    edge_.clock = &clock_;
    edge_.stop = options_.stop;
    edge_.progress = progress_.reporter();
    edge_.exchange = [this] { return exchange(cloud_, clock_); };
    if (const auto allowed = allowance(edge_phase))
      edge_.time_limit = Seconds(std::max(1e-9, *allowed + so_far_.edge.spent));
    auto half = measure_host(*model_, example_, edge_knobs_, edge_, so_far_.edge,
                             [this] { return keep(); });
    if (!half)
      return core::fail(half);
    profile_.hosts[core::edge_host] = std::move(*half);
    return {};
  }

  core::Result<void> time_link() {
    if (!so_far_.link) {
      progress_.begin(link_phase);
      // The link is measured at the fastest setting: what a slower one adds is priced with its
      // steps and its exchanges.
      const auto lease = edge_knobs_.acquire(fastest_of(profile_.hosts[core::edge_host]).levels);
      if (!lease)
        return core::fail(lease);
      auto link = measure_link(cloud_, clock_,
                               {.largest = largest_useful(profile_.cuts),
                                .progress = progress_.reporter(),
                                .stop = options_.stop});
      if (!link)
        return core::fail(link);
      so_far_.link = std::move(*link);
      if (auto kept = keep(); !kept)
        return kept;
    }
    profile_.link = *so_far_.link;
    return {};
  }

  core::Result<void> finish_cuts() {
    if (auto settled = settle_cuts(*model_, example_, edge_knobs_, options_, profile_); !settled)
      return core::fail(settled);
    trace_input(model_->step_graph(), profile_.cuts);
    if (auto known = measure_memory(*model_, example_, profile_.cuts); !known)
      return core::fail(known);
    if (auto crossed = time_crossing(); !crossed)
      return crossed;
    // Which host a knob is on is decided here; the cloud does not know what we call it.
    for (std::size_t host = 0; host < profile_.hosts.size(); ++host)
      for (core::Knob& knob : profile_.hosts[host].knobs)
        knob.host = static_cast<core::HostIndex>(host);
    if (options_.transmit)
      profile_.hosts[core::edge_host].transmit = options_.transmit(profile_.link.up);
    if (options_.receive)
      profile_.hosts[core::edge_host].receive = options_.receive(profile_.link.down);
    return {};
  }

  // The cloud runs the same code: its tails begin as much slower or faster as its passes are.
  core::Result<void> time_crossing() {
    table::HostProfile& edge = profile_.hosts[core::edge_host];
    table::HostProfile& cloud = profile_.hosts[core::cloud_host];
    const table::Setting& fastest = fastest_of(edge);
    const auto lease = edge_knobs_.acquire(fastest.levels);
    if (!lease)
      return core::fail(lease);
    constexpr Seconds limit = Seconds(5);
    if (!so_far_.crossing) {
      const auto crossing =
          measure_crossing(*model_, example_, profile_.cuts, clock_, limit, options_.stop);
      if (!crossing)
        return core::fail(crossing);
      so_far_.crossing = *crossing;
      if (auto kept = keep(); !kept)
        return kept;
    }
    edge.crossing = so_far_.crossing->leaving;
    cloud.crossing = so_far_.crossing->entering;
    const double ratio =
        fastest.whole.mean.count() > 0 ? fastest_of(cloud).whole.mean / fastest.whole.mean : 1;
    cloud.crossing.fixed = cloud.crossing.fixed * ratio;
    cloud.crossing.per_byte *= ratio;
    return {};
  }

  // What a request takes with the idle time before it, in seconds, as far as it is known.
  [[nodiscard]] double request_of(const core::Configuration& configuration) const {
    const auto priced = table::price(profile_, configuration);
    if (!priced)
      return 0;
    const auto parts = table::compose(*priced, table::link_of(profile_), Seconds(0));
    return (parts.latency.total() + edge_.idle_gap * 1.5).count();
  }

  // Fits a request's overhead to some configurations, and holds the predictions of others against
  // what is measured.
  core::Result<void> check() {
    exec::ExecutorOptions timed;
    timed.clock = std::shared_ptr<const core::Clock>(&clock_, [](const core::Clock*) {});
    exec::Executor executor(model_, &edge_knobs_, &cloud_, timed);
    ValidationOptions validation;
    validation.repeats = options_.repeats;
    validation.rest = {edge_.idle_gap, edge_.idle, edge_.slice, edge_.cpu_time, &clock_};
    validation.stop = options_.stop;
    validation.progress = progress_.reporter();
    validation.kept = [this] { return keep(); };

    // Nothing is fitted to configurations at predicted settings, which come last.
    constexpr int choice = 4;
    auto held_out =
        draw_of_both(profile_, options_.held_out, options_.seed, choice * options_.overhead_fit);
    const auto predicted = [&](const core::Configuration& drawn) {
      return table::is_predicted(profile_, drawn);
    };
    const auto measured =
        std::ssize(held_out) - std::count_if(held_out.begin(), held_out.end(), predicted);
    // In a small space most are held out, so that the check never goes without.
    const auto others = std::ssize(held_out) - measured;
    const auto pool =
        std::min<std::ptrdiff_t>(choice * options_.overhead_fit,
                                 std::max(measured - (options_.held_out - others), measured / 3));
    const auto fitted =
        quickest_of(profile_, {held_out.begin(), held_out.begin() + pool}, options_.overhead_fit);
    held_out.erase(held_out.begin(), held_out.begin() + pool);
    while (std::ssize(held_out) > options_.held_out) held_out.pop_back();
    // Of both kinds in turn, so that either is checked if time runs out.
    std::vector<core::Configuration> in_turn;
    const auto middle = std::find_if(held_out.begin(), held_out.end(), predicted);
    for (auto a = held_out.begin(), b = middle; a != middle || b != held_out.end();) {
      if (a != middle)
        in_turn.push_back(*a++);
      if (b != held_out.end())
        in_turn.push_back(*b++);
    }

    progress_.begin(fit_phase);
    validation.enough = used_up(fit_phase, options_.check_time.count() / 3);
    if (auto measured_so =
            fit_requests(profile_, executor, fitted, example_, validation, so_far_.fitted);
        !measured_so)
      return measured_so;
    take_in(so_far_.fitted, fitted, profile_);

    progress_.begin(check_phase);
    // Ten configurations say more than many requests at a few.
    constexpr std::size_t some = 10;
    const double time = std::min(options_.check_time.count(),
                                 allowance(check_phase).value_or(options_.check_time.count()));
    double each = 0;
    for (const core::Configuration& configuration : in_turn)
      each += request_of(configuration) / static_cast<double>(in_turn.size());
    if (each > 0)
      validation.repeats = static_cast<int>(std::clamp(
          time / (2 * some * each) - 1, 2.0, static_cast<double>(std::max(2, options_.repeats))));
    const std::size_t least = options_.time_limit > Seconds(0) ? 1 : some;
    const auto out_of_time = used_up(check_phase, options_.check_time.count());
    validation.enough = [&] { return so_far_.checked.size() >= least && out_of_time(); };
    const auto checked =
        check_configurations(profile_, executor, in_turn, example_, validation, so_far_.checked);
    if (!checked)
      return core::fail(checked);
    profile_.error = summarise(*checked, false);
    profile_.predicted_error = summarise(*checked, true);
    return {};
  }

  const std::shared_ptr<const core::Executable> model_;
  const core::Values& example_;
  device::Arbiter& edge_knobs_;
  exec::Remote& cloud_;
  const ProfileOptions& options_;
  const core::Clock& clock_;
  const PhaseTimes expected_;
  CheckpointFile& file_;
  Checkpoint& so_far_;
  PhasedProgress progress_;
  const Seconds start_;
  const double spent_before_;
  std::size_t cloud_round_ = 0;
  HostOptions edge_;
  table::Profile profile_;
};

}  // namespace

core::Result<table::Profile> profile(std::shared_ptr<const core::Executable> model,
                                     const core::Values& example, device::Arbiter& edge_knobs,
                                     exec::Remote& cloud, const ProfileOptions& options) {
  if (options.codecs.empty())
    return core::fail(core::Errc::invalid_argument, "no codec to profile", "codecs");
  HostOptions edge = options.edge;
  edge.codecs = options.codecs;
  if (auto fit = check_host_options(*model, edge); !fit)
    return core::fail(fit);
  const auto lock = lock_partial(options.partial);
  if (!lock)
    return core::fail(lock);
  const core::SteadyClock steady;
  const core::Clock& clock = options.clock != nullptr ? *options.clock : steady;
  const auto cloud_machine = machine_of(cloud);
  if (!cloud_machine)
    return core::fail(cloud_machine);
  const std::uint64_t key = key_of(*model, example, edge_knobs, *cloud_machine, options);
  Checkpoint so_far;
  if (options.resume) {
    auto loaded = load_checkpoint(options.partial, key, model->step_count(), options.codecs.size());
    if (!loaded)
      return core::fail(loaded);
    so_far = std::move(*loaded);
  }
  CheckpointFile file(options.partial, key, clock);
  const auto expected = expected_times(*model, example, edge_knobs, clock, options);
  if (!expected)
    return core::fail(expected);
  ProfileRun run(model, example, edge_knobs, cloud, options, clock, *expected, file, so_far);
  auto profile = run.run(*cloud_machine);
  if (!profile) {
    // What ended it is what is told, whatever becomes of the file.
    if (!so_far.cloud_halves.empty())
      (void)file.save_now(so_far);
    return core::fail(profile);
  }
  return profile;
}

}  // namespace cleave::inline v0::profiler
