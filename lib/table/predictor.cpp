#include <cleave/table/predictor.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cleave::inline v0::table {
namespace {

using core::Bytes;
using core::BytesPerSecond;
using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

// Of a normal distribution: half of the width that holds 90 % of it.
constexpr double deviations_of_90_percent = 1.6449;

const Setting* find_setting(const HostProfile& host, const std::vector<core::LevelIndex>& levels) {
  const auto found = std::find_if(host.settings.begin(), host.settings.end(),
                                  [&](const Setting& setting) { return setting.levels == levels; });
  return found == host.settings.end() ? nullptr : &*found;
}

std::string describe(const std::vector<core::LevelIndex>& levels) {
  std::string text = "levels";
  for (const core::LevelIndex level : levels) text += " " + std::to_string(level);
  return levels.empty() ? "no levels" : text;
}

Seconds sum_of(const std::vector<Timing>& steps, std::size_t begin, std::size_t end) {
  return std::accumulate(steps.begin() + static_cast<std::ptrdiff_t>(begin),
                         steps.begin() + static_cast<std::ptrdiff_t>(end), Seconds(),
                         [](Seconds sum, const Timing& step) { return sum + step.mean; });
}

// The steps of a head, or those of its tail.
Seconds sum_of(const std::vector<Timing>& steps, const CutProfile& cut, std::uint32_t count,
               bool tail) {
  if (cut.head.empty())
    return tail ? sum_of(steps, cut.position, count) : sum_of(steps, 0, cut.position);
  Seconds sum;
  std::uint32_t at = 0;
  for (const core::StepRange& range : cut.head) {
    sum += tail ? sum_of(steps, at, range.begin) : sum_of(steps, range.begin, range.end);
    at = range.end;
  }
  return tail ? sum + sum_of(steps, at, count) : sum;
}

// From one pass to the next, and for a setting that was predicted how far the prediction may be
// off.
double relative_spread(const Setting& setting) {
  const double passes =
      setting.whole.mean.count() > 0 ? setting.whole.spread / setting.whole.mean : 0;
  return std::hypot(passes, setting.interval / deviations_of_90_percent);
}

// Of computing and coding together, in seconds. Where a codec's own spread is not known, it is as
// that of passes.
double spread_of(const Setting& setting, Seconds compute, Seconds coding, std::size_t codec) {
  const double passes = relative_spread(setting), own = setting.codecs[codec].spread;
  return own > 0 ? std::hypot(passes * compute.count(), own * coding.count())
                 : passes * (compute + coding).count();
}

// What a small request takes longer at this setting than at the fastest, where the link was
// measured. A difference that the samples may show by chance (two standard errors) counts as none:
// a link's jitter would be taken for the setting's doing.
Seconds slower_exchange(const HostProfile& host, const Setting& setting) {
  const auto fastest =
      std::min_element(host.settings.begin(), host.settings.end(),
                       [](const auto& a, const auto& b) { return a.whole.mean < b.whole.mean; });
  if (setting.exchange.samples < 2 || fastest->exchange.samples < 2)
    return {};
  const Seconds longer = setting.exchange.median - fastest->exchange.median;
  const auto error = [](const Timing& t) {
    return t.spread.count() / std::sqrt(double(t.samples));
  };
  // A median's error is 1.25 times a mean's (of a normal distribution).
  const double chance = 2 * 1.2533 * std::hypot(error(setting.exchange), error(fastest->exchange));
  return longer.count() > chance ? longer : Seconds();
}

// The round trips that TCP's slow start adds to a message. The window doubles every round trip, so
// what it adds grows with the logarithm of the size: samples are interpolated over log(bytes).
double ramp_round_trips(const LinkProfile& link, Bytes bytes) {
  if (link.sizes.empty() || link.round_trip.count() <= 0 || link.up.count() <= 0 ||
      bytes.count() <= 0)
    return 0;
  const auto ramp = [&](const TransferSample& sample) {
    return std::max(0.0, (sample.time - sample.bytes / link.up) / link.round_trip);
  };
  const auto after =
      std::find_if(link.sizes.begin(), link.sizes.end(),
                   [&](const TransferSample& sample) { return sample.bytes >= bytes; });
  if (after == link.sizes.begin())
    return ramp(*after);
  if (after == link.sizes.end())
    return ramp(link.sizes.back());
  const TransferSample& before = *std::prev(after);
  if (before.bytes.count() <= 0)
    return ramp(*after);
  const double share = std::log(bytes / before.bytes) / std::log(after->bytes / before.bytes);
  return ramp(before) + share * (ramp(*after) - ramp(before));
}

// Half precision by name would be wrong the other way round too: a profile says which codecs lost
// nothing by their names alone, "raw" and "raw+zstd" and the like.
bool lossless(const std::string& codec) {
  return codec == "raw" || codec.starts_with("raw+");
}

// What the network scores when nothing is lost on the link.
Accuracy lossless_accuracy(const Profile& profile) {
  for (const CutProfile& cut : profile.cuts)
    for (std::size_t c = 0; c < std::min(cut.codecs.size(), profile.codecs.size()); ++c)
      if (lossless(profile.codecs[c]) && cut.codecs[c].accuracy.basis != Accuracy::Basis::none)
        return cut.codecs[c].accuracy;
  return {.value = 1, .samples = 0, .basis = Accuracy::Basis::none};
}

Seconds time_for(Bytes bytes, BytesPerSecond rate) {
  if (bytes.count() <= 0)
    return {};
  return rate.count() > 0 ? bytes / rate : Seconds(std::numeric_limits<double>::infinity());
}

// Nothing drawn for ever is nothing, not NaN.
core::Joules energy_of(core::Watts power, Seconds time) {
  return power.count() == 0 ? core::Joules() : power * time;
}

// One configuration, looked up; of the all-edge cut only what the edge does.
struct Chosen {
  const CutProfile* cut = nullptr;
  const Setting *edge = nullptr, *cloud = nullptr;
  std::size_t codec = 0;
  Seconds head = {}, tail = {};
  Seconds exchange = {};  // what a request takes longer at this setting of the edge
  double ramp = 0;
  double edge_slower = 1, cloud_slower = 1;  // than the host's fastest setting
};

// How many times as long a pass takes as at the host's fastest setting.
double slowness(const HostProfile& host, const Setting& setting) {
  const auto fastest =
      std::min_element(host.settings.begin(), host.settings.end(),
                       [](const auto& a, const auto& b) { return a.whole.mean < b.whole.mean; });
  return fastest->whole.mean.count() > 0 ? setting.whole.mean / fastest->whole.mean : 1;
}

// What beginning or ending at a cut adds.
Seconds crossing(const CrossingCost& cost, Bytes raw, double slower) {
  return (cost.fixed + Seconds(cost.per_byte * raw.count())) * slower;
}

// The parts of what was looked up. `lossless`: what the network scores when nothing is lost.
Ingredients put_together(const Profile& profile, const Chosen& chosen, const Accuracy& lossless) {
  Ingredients out;
  const HostProfile& edge_half = profile.hosts[core::edge_host];
  const HostProfile& cloud_half = profile.hosts[core::cloud_host];
  out.edge_compute = chosen.head;
  if (chosen.cut->position > 0)
    out.edge_compute += chosen.edge->in_requests;
  out.edge_busy = chosen.edge->busy;
  out.edge_idle = chosen.edge->idle;
  out.origin = chosen.edge->power_origin;
  out.accuracy = lossless;
  if (chosen.cut->id == profile.cuts.back().id) {
    out.spread = relative_spread(*chosen.edge);
    return out;
  }
  const CutCodec& coded = chosen.cut->codecs[chosen.codec];
  if (coded.accuracy.basis != Accuracy::Basis::none)
    out.accuracy = coded.accuracy;
  const Setting& cloud = *chosen.cloud;
  out.uses_cloud = true;
  out.cloud_compute = chosen.tail + cloud.in_requests;
  if (chosen.cut->position > 0) {  // all in the cloud is a whole pass
    out.edge_compute += crossing(edge_half.crossing, chosen.cut->raw, chosen.edge_slower);
    out.cloud_compute += crossing(cloud_half.crossing, chosen.cut->raw, chosen.cloud_slower);
  }
  const double raw = chosen.cut->raw.count();
  const double chunk = profile.chunk.count();
  const bool overlapped = chunk > 0 && raw > chunk;
  const double one = overlapped ? chunk : raw;
  const CodecCost& encoder = chosen.edge->codecs[chosen.codec];
  const CodecCost& decoder = cloud.codecs[chosen.codec];
  out.encode_first = encoder.encode_fixed + Seconds(encoder.encode_per_byte * one);
  out.encode_rest = Seconds(encoder.encode_per_byte * (raw - one));
  out.decode_last = Seconds(decoder.decode_per_byte * one);
  out.decode_rest = Seconds(decoder.decode_per_byte * (raw - one));
  // The decoder's fixed cost falls due with the first chunk.
  (overlapped ? out.decode_rest : out.decode_last) += decoder.decode_fixed;
  out.overhead = profile.link.overhead + chosen.exchange;
  out.up = coded.encoded;
  out.down = profile.reply;
  out.ramp_round_trips = chosen.ramp;
  out.cloud_device = core::Watts(std::max(0.0, (cloud.busy - cloud.idle).count()));
  out.cloud_machine = cloud.machine_busy;
  out.transmit = profile.hosts[core::edge_host].transmit;
  out.receive = profile.hosts[core::edge_host].receive;
  if (cloud.power_origin == core::Origin::modelled)
    out.origin = core::Origin::modelled;

  const Seconds total = compose(out, link_of(profile), Seconds()).latency.total();
  if (total.count() > 0 && std::isfinite(total.count())) {
    const double on_edge =
        spread_of(*chosen.edge, out.edge_compute, out.encode_first + out.encode_rest, chosen.codec);
    const double on_cloud =
        spread_of(cloud, out.cloud_compute, out.decode_rest + out.decode_last, chosen.codec);
    out.spread =
        std::hypot(on_edge, on_cloud, profile.link.round_trip_spread.count()) / total.count();
  }
  return out;
}

}  // namespace

Result<Ingredients> price(const Profile& profile, const core::Configuration& configuration) {
  if (configuration.stages.size() != 2 || configuration.codecs.size() != 1 ||
      configuration.stages[0].host != core::edge_host ||
      configuration.stages[1].host != core::cloud_host)
    return fail(Errc::invalid_argument,
                "a configuration needs an edge stage, a cloud stage and one codec");
  if (profile.cuts.empty())
    return fail(Errc::not_found, "the profile has no cuts", profile.model_name);
  const CutProfile& last = profile.cuts.back();
  const auto cut = std::find_if(profile.cuts.begin(), profile.cuts.end(),
                                [&](const CutProfile& c) { return c.id == configuration.cut(); });
  if (cut == profile.cuts.end())
    return fail(Errc::not_found, "no such cut in the profile", to_string(configuration.cut()));
  if (configuration.stages[1].end != last.id)
    return fail(Errc::invalid_argument, "the last stage must end at the network's last cut",
                to_string(configuration.stages[1].end));

  Chosen chosen{.cut = &*cut};
  chosen.edge = find_setting(profile.hosts[core::edge_host], configuration.stages[0].levels);
  if (chosen.edge == nullptr)
    return fail(Errc::not_found, "the profile has no such setting of the edge",
                describe(configuration.stages[0].levels));
  if (chosen.edge->steps.size() < last.position || cut->position > last.position ||
      !core::check_ranges(cut->head, last.position))
    return fail(Errc::invalid_argument, "the profile's steps do not fit its cuts",
                profile.model_name);
  chosen.head = sum_of(chosen.edge->steps, *cut, last.position, false);
  if (cut->id == last.id)
    return put_together(profile, chosen, lossless_accuracy(profile));

  const auto codec = std::find(profile.codecs.begin(), profile.codecs.end(), configuration.codec());
  chosen.codec = static_cast<std::size_t>(codec - profile.codecs.begin());
  if (codec == profile.codecs.end() || chosen.codec >= cut->codecs.size() ||
      chosen.codec >= chosen.edge->codecs.size())
    return fail(Errc::not_found, "no such codec in the profile", configuration.codec());
  chosen.cloud = find_setting(profile.hosts[core::cloud_host], configuration.stages[1].levels);
  if (chosen.cloud == nullptr)
    return fail(Errc::not_found, "the profile has no such setting of the cloud",
                describe(configuration.stages[1].levels));
  if (chosen.cloud->steps.size() < last.position || chosen.codec >= chosen.cloud->codecs.size())
    return fail(Errc::invalid_argument, "the profile's steps do not fit its cuts",
                profile.model_name);
  const CutCodec& coded = cut->codecs[chosen.codec];
  if (coded.accuracy.basis == Accuracy::Basis::none && !lossless(configuration.codec()))
    return fail(Errc::invalid_argument,
                "the accuracy of this codec was not measured at cut " + to_string(cut->id),
                configuration.codec(), "profile with labelled inputs");
  chosen.tail = sum_of(chosen.cloud->steps, *cut, last.position, true);
  chosen.ramp = ramp_round_trips(profile.link, coded.encoded);
  chosen.exchange = slower_exchange(profile.hosts[core::edge_host], *chosen.edge);
  chosen.edge_slower = slowness(profile.hosts[core::edge_host], *chosen.edge);
  chosen.cloud_slower = slowness(profile.hosts[core::cloud_host], *chosen.cloud);
  return put_together(profile, chosen, lossless_accuracy(profile));
}

Result<PriceList> PriceList::make(const Profile& profile) {
  const auto unfit = [&] {
    return fail(Errc::invalid_argument, "the profile's steps do not fit its cuts",
                profile.model_name, "profile the model anew");
  };
  if (profile.cuts.empty())
    return fail(Errc::invalid_argument, "the profile has no cuts", profile.model_name,
                "profile the model anew");
  const std::uint32_t steps = profile.cuts.back().position;
  for (const CutProfile& cut : profile.cuts)
    if (cut.position > steps || !core::check_ranges(cut.head, steps))
      return unfit();
  PriceList list(profile);
  for (const core::HostIndex host : {core::edge_host, core::cloud_host})
    for (const Setting& setting : profile.hosts[host].settings) {
      if (setting.steps.size() < steps || setting.codecs.size() < profile.codecs.size())
        return unfit();
      list.slower_[host].push_back(slowness(profile.hosts[host], setting));
      const bool tail = host == core::cloud_host;
      if (!tail)
        list.exchanges_.push_back(slower_exchange(profile.hosts[host], setting));
      for (const CutProfile& cut : profile.cuts)
        (tail ? list.tails_ : list.heads_).push_back(sum_of(setting.steps, cut, steps, tail));
    }
  for (const CutProfile& cut : profile.cuts)
    for (std::size_t codec = 0; codec < profile.codecs.size(); ++codec)
      list.ramps_.push_back(codec < cut.codecs.size()
                                ? ramp_round_trips(profile.link, cut.codecs[codec].encoded)
                                : 0);
  list.lossless_ = lossless_accuracy(profile);
  return list;
}

Ingredients PriceList::price(std::size_t cut, std::size_t codec, std::size_t edge,
                             std::size_t cloud) const {
  const std::size_t cuts = profile_->cuts.size();
  Chosen chosen{.cut = &profile_->cuts[cut],
                .edge = &profile_->hosts[core::edge_host].settings[edge],
                .codec = codec,
                .head = heads_[edge * cuts + cut]};
  if (cut + 1 < cuts) {
    chosen.cloud = &profile_->hosts[core::cloud_host].settings[cloud];
    chosen.tail = tails_[cloud * cuts + cut];
    chosen.exchange = exchanges_[edge];
    chosen.edge_slower = slower_[core::edge_host][edge];
    chosen.cloud_slower = slower_[core::cloud_host][cloud];
    chosen.ramp = ramps_[cut * profile_->codecs.size() + codec];
  }
  return put_together(*profile_, chosen, lossless_);
}

bool is_predicted(const Profile& profile, const core::Configuration& configuration) {
  for (const core::Stage& stage : configuration.stages) {
    if (stage.host >= profile.hosts.size())
      continue;
    const bool runs =
        stage.host == core::edge_host || configuration.cut() != profile.cuts.back().id;
    const Setting* setting = find_setting(profile.hosts[stage.host], stage.levels);
    if (runs && setting != nullptr && setting->predicted)
      return true;
  }
  return false;
}

Result<double> interval_of(const Profile& profile, const core::Configuration& configuration) {
  const auto priced = price(profile, configuration);
  if (!priced)
    return fail(priced);
  const double spread = deviations_of_90_percent * priced->spread;
  if (!is_predicted(profile, configuration))
    return profile.error.interval > 0 ? profile.error.interval : spread;
  return profile.predicted_error.interval > 0 ? profile.predicted_error.interval
                                              : std::hypot(profile.error.interval, spread);
}

LinkState link_of(const Profile& profile) {
  return {.round_trip = profile.link.round_trip, .up = profile.link.up, .down = profile.link.down};
}

Prediction compose(const Ingredients& in, const LinkState& link, Seconds queue) {
  Prediction out;
  LatencyParts& t = out.latency;
  EnergyParts& e = out.energy;
  t.edge_compute = in.edge_compute;
  e.origin = in.origin;
  e.edge_compute = energy_of(in.edge_busy, in.edge_compute);
  if (!in.uses_cloud)
    return out;

  const Seconds encode = in.encode_first + in.encode_rest;
  const Seconds decode = in.decode_rest + in.decode_last;
  const Seconds transfer =
      time_for(in.up, link.up) + Seconds(in.ramp_round_trips * link.round_trip.count());
  t.encode = in.encode_first;
  t.decode = in.decode_last;
  // Of the three that overlap, the longest is the one that is waited for.
  if (transfer >= in.encode_rest && transfer >= in.decode_rest)
    t.transfer = transfer;
  else if (in.encode_rest >= in.decode_rest)
    t.encode += in.encode_rest;
  else
    t.decode += in.decode_rest;
  t.round_trip = link.round_trip;
  t.queue = queue;
  t.cloud_compute = in.cloud_compute;
  t.reply = time_for(in.down, link.down);
  t.overhead = in.overhead;

  e.edge_compute += energy_of(in.edge_busy, encode);
  const Seconds waiting = t.total() - in.edge_compute - encode;
  e.edge_wait = energy_of(in.edge_idle, std::max(Seconds(), waiting));
  e.radio = in.transmit * in.up + in.receive * in.down;
  e.cloud_device = energy_of(in.cloud_device, decode + in.cloud_compute);
  e.cloud_machine = energy_of(in.cloud_machine, decode + in.cloud_compute);
  return out;
}

}  // namespace cleave::inline v0::table
