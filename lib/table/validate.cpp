#include <cleave/table/files.hpp>

#include <cmath>
#include <initializer_list>
#include <set>
#include <tuple>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::Result;

// A table does not say how many steps its network has.
constexpr std::uint32_t most_steps = 1u << 30;

// Collects the first thing that does not fit.
class Checker {
 public:
  void require(bool holds, const std::string& otherwise, const std::string& where) {
    if (!holds && result_)
      result_ = fail(Errc::invalid_argument, otherwise, where);
  }
  /// Finite and not negative, as every quantity here is.
  void amounts(std::initializer_list<double> values, const std::string& where) {
    for (const double value : values)
      require(std::isfinite(value) && value >= 0, "a quantity is negative or not finite", where);
  }
  void origin(core::Origin origin, const std::string& where) {
    require(origin == core::Origin::measured || origin == core::Origin::modelled,
            "unknown origin of an energy", where);
  }
  void accuracy(const Accuracy& accuracy, const std::string& where) {
    require(accuracy.value >= 0 && accuracy.value <= 1, "an accuracy is not between 0 and 1",
            where);
    require(accuracy.basis == Accuracy::Basis::none || accuracy.basis == Accuracy::Basis::labels ||
                accuracy.basis == Accuracy::Basis::agreement,
            "unknown basis of an accuracy", where);
  }
  void head(const std::vector<core::StepRange>& head, std::uint32_t steps,
            const std::string& where) {
    require(core::check_ranges(head, steps).has_value(), "a head is not ranges of steps", where);
    require(head.empty() || !core::is_prefix(head), "a head that is a prefix is written as one",
            where);
  }
  void knobs(const std::vector<core::Knob>& knobs, core::HostIndex host, const std::string& where) {
    for (const core::Knob& knob : knobs) {
      const std::string at = where + " knob " + knob.name;
      require(knob.host == host, "a knob belongs to another host", at);
      require(!knob.levels.empty(), "a knob without levels", at);
      amounts({knob.switch_cost.count()}, at);
      for (const core::Level& level : knob.levels)
        require(std::isfinite(level.value), "a level is not a number", at);
    }
  }
  void levels(const std::vector<core::LevelIndex>& levels, const std::vector<core::Knob>& knobs,
              const std::string& where) {
    require(levels.size() == knobs.size(), "not one level per knob", where);
    for (std::size_t k = 0; k < std::min(levels.size(), knobs.size()); ++k)
      require(levels[k] < knobs[k].levels.size(), "no such level of knob " + knobs[k].name, where);
  }
  [[nodiscard]] bool ok() const { return result_.has_value(); }
  [[nodiscard]] Result<void> result() const { return result_; }

 private:
  Result<void> result_;
};

void check_host(Checker& check, const Profile& profile, core::HostIndex index, std::size_t steps) {
  const HostProfile& host = profile.hosts[index];
  const std::string name = index == core::edge_host ? "edge" : "cloud";
  check.knobs(host.knobs, index, name);
  check.amounts({host.transmit.count(), host.receive.count()}, name);
  check.amounts(
      {host.fit.median_relative, host.fit.worst_relative, host.crossing.fixed.count(),
       host.crossing.per_byte, host.conditions.waited.count(), host.conditions.took.count()},
      name);
  for (const double known : {host.conditions.steal, host.conditions.others, host.conditions.busiest,
                             host.conditions.temperature})
    check.require(std::isfinite(known), "a condition is not finite", name);
  for (std::size_t s = 0; s < host.settings.size() && check.ok(); ++s) {
    const Setting& setting = host.settings[s];
    const std::string at = name + " setting " + std::to_string(s);
    check.levels(setting.levels, host.knobs, at);
    check.require(setting.steps.size() == steps, "not one timing per step", at);
    check.require(setting.codecs.size() == profile.codecs.size(), "not one cost per codec", at);
    for (const Timing& step : setting.steps)
      check.amounts({step.mean.count(), step.median.count(), step.spread.count()}, at);
    check.amounts(
        {setting.whole.mean.count(), setting.whole.median.count(), setting.whole.spread.count(),
         setting.busy.count(), setting.idle.count(), setting.machine_busy.count()},
        at);
    for (const CodecCost& cost : setting.codecs)
      check.amounts({cost.encode_fixed.count(), cost.decode_fixed.count(), cost.encode_per_byte,
                     cost.decode_per_byte, cost.spread},
                    at);
    check.origin(setting.power_origin, at);
    check.amounts({setting.interval, setting.in_requests.count(), setting.exchange.mean.count(),
                   setting.exchange.median.count(), setting.exchange.spread.count()},
                  at);
  }
}

}  // namespace

Result<void> validate(const Profile& profile) {
  Checker check;
  check.require(profile.cuts.size() >= 2 && profile.cuts.front().position == 0,
                "a profile needs the all-cloud cut at position 0 and the all-edge cut", "cuts");
  if (!check.ok())
    return check.result();
  std::set<core::CutId> seen;
  for (std::size_t c = 0; c < profile.cuts.size() && check.ok(); ++c) {
    const CutProfile& cut = profile.cuts[c];
    const bool last = c + 1 == profile.cuts.size();
    const std::string at = "cut " + to_string(cut.id);
    check.require(seen.insert(cut.id).second, "a cut occurs twice", at);
    check.require(c == 0 || std::tie(profile.cuts[c - 1].position, profile.cuts[c - 1].head) <
                                std::tie(cut.position, cut.head),
                  "cuts are not in order of position", at);
    check.head(cut.head, profile.cuts.back().position, at);
    check.require(cut.head.empty() || core::step_count(cut.head) == cut.position,
                  "a head has another number of steps than its position says", at);
    check.require(cut.codecs.size() == profile.codecs.size() || (last && cut.codecs.empty()),
                  "not one entry per codec", at);
    check.amounts(
        {cut.raw.count(), cut.head_memory.count(), cut.tail_memory.count(), cut.input.count()}, at);
    for (const CutCodec& codec : cut.codecs) {
      check.amounts({codec.encoded.count()}, at);
      check.accuracy(codec.accuracy, at);
    }
  }
  for (const core::HostIndex host : {core::edge_host, core::cloud_host})
    check_host(check, profile, host, profile.cuts.back().position);
  const LinkProfile& link = profile.link;
  check.amounts(
      {link.round_trip.count(), link.round_trip_spread.count(), link.up.count(), link.down.count(),
       link.overhead.count(), profile.reply.count(), profile.chunk.count()},
      "link");
  for (std::size_t s = 0; s < link.sizes.size(); ++s) {
    check.amounts({link.sizes[s].bytes.count(), link.sizes[s].time.count()}, "link sizes");
    check.require(s == 0 || link.sizes[s].bytes > link.sizes[s - 1].bytes,
                  "sizes are not ascending", "link sizes");
  }
  for (const PredictionError& error : {profile.error, profile.predicted_error})
    check.amounts({error.median_relative, error.p90_relative, error.p95_relative,
                   error.repeat_median_relative, error.repeat_p90_relative,
                   error.repeat_p95_relative, error.covered, error.interval},
                  "prediction error");
  return check.result();
}

Result<void> validate(const ParetoTable& table) {
  Checker check;
  check.knobs(table.edge_knobs, core::edge_host, "edge");
  check.knobs(table.cloud_knobs, core::cloud_host, "cloud");
  check.require(table.boundary == core::Boundary::edge ||
                    table.boundary == core::Boundary::edge_cloud_device ||
                    table.boundary == core::Boundary::edge_cloud_machine,
                "unknown energy boundary", "table");
  check.amounts({table.reference.round_trip.count(), table.reference.up.count(),
                 table.reference.down.count(), table.margin},
                "table");
  check.require(std::isfinite(table.search.hypervolume), "the hypervolume is not a number",
                "table");
  for (std::size_t r = 0; r < table.rows.size() && check.ok(); ++r) {
    const TableRow& row = table.rows[r];
    const core::Configuration& configuration = row.configuration;
    const std::string at = "row " + std::to_string(r);
    check.require(configuration.stages.size() == 2 && configuration.codecs.size() == 1 &&
                      configuration.stages[0].host == core::edge_host &&
                      configuration.stages[1].host == core::cloud_host,
                  "not an edge stage, a cloud stage and one codec", at);
    if (!check.ok())
      break;
    check.head(configuration.stages[0].head, most_steps, at);
    check.require(configuration.stages[1].head.empty(), "the last stage ends with all steps", at);
    check.levels(configuration.stages[0].levels, table.edge_knobs, at);
    check.levels(configuration.stages[1].levels, table.cloud_knobs, at);
    const Ingredients& in = row.ingredients;
    check.amounts(
        {row.latency.count(), row.energy.count(), in.edge_compute.count(), in.cloud_compute.count(),
         in.encode_first.count(), in.encode_rest.count(), in.decode_rest.count(),
         in.decode_last.count(), in.overhead.count(), in.up.count(), in.down.count(),
         in.ramp_round_trips, in.edge_busy.count(), in.edge_idle.count(), in.cloud_device.count(),
         in.cloud_machine.count(), in.transmit.count(), in.receive.count(), in.spread},
        at);
    check.origin(in.origin, at);
    check.accuracy(in.accuracy, at);
    check.require(r == 0 || row.energy >= table.rows[r - 1].energy,
                  "rows are not by ascending energy", at);
  }
  return check.result();
}

}  // namespace cleave::inline v0::table
