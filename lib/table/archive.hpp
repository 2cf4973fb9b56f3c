// How profiles and tables are laid out in a file's payload, over cereal's portable binary archives.
//
// The order of the fields is the format: a change of it needs a new format version and a reader for
// the old one. Sequences and strings are a u64 count and their elements, read one by one, so that a
// wrong count runs into the end of the payload instead of allocating what it says.
#pragma once

#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>

#include <cereal/archives/portable_binary.hpp>

#include <array>
#include <concepts>
#include <string>
#include <type_traits>
#include <vector>

namespace cleave::inline v0::table {

/// T is U or const U: one description of a layout serves reading and writing.
template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

/// Takes every field of a value through an archive, in the order of a format version.
template <class Archive>
class Layout {
 public:
  Layout(Archive& archive, std::uint32_t version) : archive_(archive), version_(version) {}

  template <class... Fields>
  void fields(Fields&... values) {
    (field(values), ...);
  }

 private:
  template <class T>
  requires(std::is_arithmetic_v<T> && !Is<T, bool>) void field(T& value) { archive_(value); }
  // A byte other than 0 and 1 is no bool.
  template <Is<bool> T>
  void field(T& value) {
    auto number = static_cast<std::uint8_t>(value);
    archive_(number);
    if constexpr (Archive::is_loading::value)
      value = number != 0;
  }
  template <class T>
  requires std::is_enum_v<T>
  void field(T& value) {
    auto number = static_cast<std::underlying_type_t<T>>(value);
    archive_(number);
    if constexpr (Archive::is_loading::value)
      value = static_cast<T>(number);
  }
  template <class Sequence>
  void sequence(Sequence& values) {
    std::uint64_t count = values.size();
    archive_(count);
    if constexpr (Archive::is_loading::value) {
      values.clear();
      for (std::uint64_t i = 0; i < count; ++i) {
        typename Sequence::value_type item{};
        field(item);
        values.push_back(std::move(item));
      }
    } else {
      for (const auto& item : values) field(item);
    }
  }
  template <Is<std::string> T>
  void field(T& text) {
    sequence(text);
  }
  template <class T>
  void field(std::vector<T>& values) {
    sequence(values);
  }
  template <class T>
  void field(const std::vector<T>& values) {
    sequence(values);
  }
  template <class Tag>
  void field(core::Quantity<Tag>& quantity) {
    double value = 0;
    archive_(value);
    quantity = core::Quantity<Tag>(value);
  }
  template <class Tag>
  void field(const core::Quantity<Tag>& quantity) {
    archive_(quantity.count());
  }

  template <Is<core::Fingerprint> T>
  void field(T& v) {
    fields(v.structure, v.weights);
  }
  template <Is<core::CutId> T>
  void field(T& v) {
    fields(v.value);
  }
  template <Is<core::StepRange> T>
  void field(T& v) {
    fields(v.begin, v.end);
  }
  template <Is<core::Level> T>
  void field(T& v) {
    fields(v.label, v.value);
  }
  template <Is<core::Knob> T>
  void field(T& v) {
    fields(v.name, v.host, v.unit, v.levels, v.categorical, v.switch_cost);
  }
  template <Is<core::Stage> T>
  void field(T& v) {
    fields(v.host, v.end, v.levels);
    since(2, v.head);
  }
  template <Is<core::Configuration> T>
  void field(T& v) {
    fields(v.stages, v.codecs);
  }
  template <Is<Timing> T>
  void field(T& v) {
    fields(v.mean, v.median, v.spread, v.samples);
  }
  template <Is<CodecCost> T>
  void field(T& v) {
    fields(v.encode_fixed, v.decode_fixed, v.encode_per_byte, v.decode_per_byte);
    since(5, v.spread);
  }
  template <Is<Setting> T>
  void field(T& v) {
    fields(v.levels, v.steps, v.whole, v.codecs, v.busy, v.idle, v.machine_busy, v.power_origin);
    since(4, v.predicted, v.interval);
    since(5, v.outliers, v.exchange);
    since(6, v.in_requests);
  }
  template <Is<core::Library> T>
  void field(T& v) {
    fields(v.name, v.version);
  }
  template <Is<core::Provenance> T>
  void field(T& v) {
    fields(v.machine, v.processor, v.cpus, v.device, v.libraries);
  }
  template <Is<Conditions> T>
  void field(T& v) {
    fields(v.steal, v.others, v.busiest, v.temperature, v.waited, v.took);
  }
  template <Is<HostProfile> T>
  void field(T& v) {
    fields(v.name, v.board, v.source, v.knobs, v.settings, v.transmit, v.receive);
    since(3, v.made_on);
    since(4, v.fit.left_out, v.fit.median_relative, v.fit.worst_relative);
    since(5, v.conditions);
    since(6, v.crossing.fixed, v.crossing.per_byte);
  }
  template <Is<Accuracy> T>
  void field(T& v) {
    fields(v.value, v.samples, v.basis);
  }
  template <Is<CutCodec> T>
  void field(T& v) {
    fields(v.encoded, v.accuracy);
  }
  template <Is<CutProfile> T>
  void field(T& v) {
    fields(v.id, v.position, v.layer, v.op, v.raw, v.codecs);
    since(2, v.head);
    since(5, v.head_memory, v.tail_memory);
    since(6, v.input_known, v.input);
  }
  template <Is<TransferSample> T>
  void field(T& v) {
    fields(v.bytes, v.time);
  }
  template <Is<LinkProfile> T>
  void field(T& v) {
    fields(v.round_trip, v.round_trip_spread, v.up, v.down, v.sizes, v.overhead);
  }
  template <Is<PredictionError> T>
  void field(T& v) {
    fields(v.configurations, v.median_relative, v.p90_relative, v.repeat_median_relative,
           v.repeat_p90_relative);
    since(4, v.p95_relative, v.repeat_p95_relative, v.covered, v.interval);
  }
  template <Is<Profile> T>
  void field(T& v) {
    fields(v.model, v.model_name, v.codecs, v.cuts, v.hosts[0], v.hosts[1], v.link, v.reply,
           v.chunk, v.error);
    since(4, v.predicted_error);
  }
  template <Is<LinkState> T>
  void field(T& v) {
    fields(v.round_trip, v.up, v.down);
  }
  template <Is<Ingredients> T>
  void field(T& v) {
    fields(v.uses_cloud, v.edge_compute, v.cloud_compute, v.encode_first, v.encode_rest,
           v.decode_rest, v.decode_last, v.overhead, v.up, v.down, v.ramp_round_trips, v.edge_busy,
           v.edge_idle, v.cloud_device, v.cloud_machine, v.transmit, v.receive, v.origin, v.spread,
           v.accuracy);
  }
  template <Is<TableRow> T>
  void field(T& v) {
    fields(v.configuration, v.ingredients, v.label, v.latency, v.energy, v.on_front);
  }
  template <Is<SearchSummary> T>
  void field(T& v) {
    fields(v.algorithm, v.seed, v.space, v.evaluations, v.hypervolume);
  }
  template <Is<ParetoTable> T>
  void field(T& v) {
    fields(v.model, v.model_name, v.edge_knobs, v.cloud_knobs, v.boundary, v.reference, v.margin,
           v.rows, v.search);
    since(3, v.made_on[0], v.made_on[1]);
  }

  // Fields that older versions do not have: they stay as they are.
  template <class... Fields>
  void since(std::uint32_t version, Fields&... values) {
    if (version_ >= version)
      fields(values...);
  }

  Archive& archive_;
  std::uint32_t version_;
};

}  // namespace cleave::inline v0::table
