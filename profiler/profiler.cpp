#include "profiler/cuts.hpp"
#include "profiler/graph_cuts.hpp"
#include "profiler/host_wire.hpp"
#include "profiler/levels.hpp"
#include "profiler/link.hpp"
#include "profiler/validate.hpp"

#include <cleave/exec/executor.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/profiler/transfer.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <array>
#include <numeric>
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

// What the phases will take, roughly; the bar moves by it.
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
  times[edge_phase] = settings * std::max(options.edge.min_time.count(),
                                          2 * options.edge.min_passes * (gap + slower * pass));
  times[link_phase] = link_seconds;
  times[fit_phase] = options.overhead_fit * requests * request;
  times[check_phase] = 2 * options.held_out * requests * request;
  return times;
}

// The cloud times itself so often, at moments apart: what disturbs it for some seconds then spoils
// one of them.
constexpr int cloud_rounds = 3;

core::Result<table::HostProfile> measure_cloud(const core::Executable& model,
                                               const core::Values& example, exec::Remote& cloud,
                                               const ProfileOptions& options) {
  std::vector<std::byte> body;
  MeasureRequest request;
  request.model = model.fingerprint();
  request.codecs = options.codecs;
  request.passes =
      static_cast<std::uint32_t>((options.edge.min_passes + cloud_rounds - 1) / cloud_rounds);
  request.time = options.edge.min_time / cloud_rounds;
  write_measure_request_header(request, body);
  const auto raw = transport::find_codec("raw");
  if (!raw)
    return core::fail(raw);
  if (auto encoded = transport::encode_values(example, **raw, body); !encoded)
    return core::fail(encoded);
  const auto reply =
      cloud.call({profile_service, measure_method, std::move(body), 1, Seconds(0), Seconds(600)});
  if (!reply)
    return core::fail(reply);
  return parse_host_profile(reply->body, model.step_count(), options.codecs.size());
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
    auto measured =
        measure_cuts(model, example, {options.codecs, options.samples, {}, options.stop, cuts});
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

}  // namespace

core::Result<table::Profile> profile(std::shared_ptr<const core::Executable> model,
                                     const core::Values& example, device::Arbiter& edge_knobs,
                                     exec::Remote& cloud, const ProfileOptions& options) {
  if (options.codecs.empty())
    return core::fail(core::Errc::invalid_argument, "no codec to profile", "codecs");
  const core::SteadyClock steady;
  const core::Clock& clock = options.clock != nullptr ? *options.clock : steady;
  const auto expected = expected_times(*model, example, edge_knobs, clock, options);
  if (!expected)
    return core::fail(expected);
  PhasedProgress progress(options, *expected);
  table::Profile result;
  result.model = model->fingerprint();
  result.model_name = options.model_name;
  result.codecs = options.codecs;
  // What exec::Executor encodes before it sends, and the cloud's decoder takes at a time.
  result.chunk = core::Bytes(static_cast<double>(transport::piece_bytes));

  std::vector<table::HostProfile> cloud_halves;
  const auto time_cloud = [&]() -> core::Result<void> {
    progress.begin(cloud_phase);
    auto half = measure_cloud(*model, example, cloud, options);
    if (!half)
      return core::fail(half);
    const auto levels = [](const table::HostProfile& host) {
      std::vector<std::vector<core::LevelIndex>> all;
      for (const table::Setting& setting : host.settings) all.push_back(setting.levels);
      return all;
    };
    if (!cloud_halves.empty() && levels(*half) != levels(cloud_halves.front()))
      return core::fail(core::Errc::mismatch, "the cloud's settings changed while it was measured",
                        "cloud", "profile again");
    cloud_halves.push_back(std::move(*half));
    return {};
  };
  if (auto timed = time_cloud(); !timed)
    return core::fail(timed);

  // Accuracy needs many passes and no timing: before any knob slows the edge down.
  progress.begin(cuts_phase);
  auto cuts = measure_cuts(*model, example,
                           {options.codecs, options.samples, progress.reporter(), options.stop});
  if (!cuts)
    return core::fail(cuts);
  result.cuts = std::move(cuts->cuts);
  result.reply = cuts->reply;

  if (auto timed = time_cloud(); !timed)
    return core::fail(timed);
  progress.begin(edge_phase);
  HostOptions edge = options.edge;
  edge.codecs = options.codecs;
  edge.clock = &clock;
  edge.stop = options.stop;
  edge.progress = progress.reporter();
  auto edge_half = measure_host(*model, example, edge_knobs, edge);
  if (!edge_half)
    return core::fail(edge_half);
  result.hosts[core::edge_host] = std::move(*edge_half);

  if (auto timed = time_cloud(); !timed)
    return core::fail(timed);
  result.hosts[core::cloud_host] = middle_of(std::move(cloud_halves));
  auto cloud_machine = machine_of(cloud);
  if (!cloud_machine)
    return core::fail(cloud_machine);
  result.hosts[core::cloud_host].made_on = std::move(*cloud_machine);

  progress.begin(link_phase);
  {
    // The link is measured at the fastest setting: what a slower one adds is priced with its steps.
    const auto lease = edge_knobs.acquire(fastest_of(result.hosts[core::edge_host]).levels);
    if (!lease)
      return core::fail(lease);
    auto link = measure_link(cloud, clock,
                             {.largest = largest_useful(result.cuts),
                              .progress = progress.reporter(),
                              .stop = options.stop});
    if (!link)
      return core::fail(link);
    result.link = std::move(*link);
  }
  if (auto added = settle_cuts(*model, example, edge_knobs, options, result); !added)
    return core::fail(added);
  // Which host a knob is on is decided here; the cloud does not know what we call it.
  for (std::size_t host = 0; host < result.hosts.size(); ++host)
    for (core::Knob& knob : result.hosts[host].knobs)
      knob.host = static_cast<core::HostIndex>(host);
  if (options.transmit)
    result.hosts[core::edge_host].transmit = options.transmit(result.link.up);
  if (options.receive)
    result.hosts[core::edge_host].receive = options.receive(result.link.down);

  exec::ExecutorOptions timed;
  timed.clock = std::shared_ptr<const core::Clock>(&clock, [](const core::Clock*) {});
  exec::Executor executor(model, &edge_knobs, &cloud, timed);
  ValidationOptions validation;
  validation.repeats = options.repeats;
  validation.idle_gap = edge.idle_gap;
  validation.idle = edge.idle;
  validation.stop = options.stop;
  validation.progress = progress.reporter();
  progress.begin(fit_phase);
  auto held_out = draw_of_both(result, options.held_out, options.seed, options.overhead_fit);
  // In a small space most are held out, so that the check never goes without. Nothing is fitted to
  // those at predicted settings, which come last.
  const auto measured = std::count_if(
      held_out.begin(), held_out.end(),
      [&](const core::Configuration& drawn) { return !table::is_predicted(result, drawn); });
  const auto fit_count = std::min<std::ptrdiff_t>(options.overhead_fit, measured / 3);
  const std::vector<core::Configuration> fitted(held_out.begin(), held_out.begin() + fit_count);
  held_out.erase(held_out.begin(), held_out.begin() + fit_count);
  while (std::ssize(held_out) > options.held_out) held_out.pop_back();
  const auto overhead = fit_overhead(result, executor, fitted, example, validation);
  if (!overhead)
    return core::fail(overhead);
  result.link.overhead = *overhead;

  progress.begin(check_phase);
  const auto checked = check_configurations(result, executor, held_out, example, validation);
  if (!checked)
    return core::fail(checked);
  result.error = summarise(*checked, false);
  result.predicted_error = summarise(*checked, true);
  progress.at(1);
  return result;
}

}  // namespace cleave::inline v0::profiler
