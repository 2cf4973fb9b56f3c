#include "profiler/host_wire.hpp"

#include <cleave/core/bytes.hpp>

#include <cmath>

namespace cleave::inline v0::profiler {
namespace {

constexpr std::uint8_t format = 1;
constexpr std::uint32_t text_limit = 4096;
constexpr std::uint32_t codec_limit = 64;
constexpr std::uint32_t knob_limit = 64;
constexpr std::uint32_t level_limit = 4096;
constexpr std::uint32_t setting_limit = 65536;
constexpr std::uint32_t step_limit = 1u << 20;
constexpr std::uint32_t library_limit = 64;
constexpr std::size_t timing_size = 28;

void put_timing(core::ByteWriter& writer, const table::Timing& timing) {
  writer.put(timing.mean.count());
  writer.put(timing.median.count());
  writer.put(timing.spread.count());
  writer.put(timing.samples);
}

// Reads numbers that must be finite and not negative.
class Quantities {
 public:
  explicit Quantities(core::ByteReader& reader) : reader_(reader) {}
  double get() {
    const auto value = reader_.get<double>();
    sane_ = sane_ && std::isfinite(value) && value >= 0;
    return value;
  }
  table::Timing timing() {
    table::Timing timing;
    timing.mean = core::Seconds(get());
    timing.median = core::Seconds(get());
    timing.spread = core::Seconds(get());
    timing.samples = reader_.get<std::uint32_t>();
    return timing;
  }
  [[nodiscard]] bool sane() const { return sane_; }

 private:
  core::ByteReader& reader_;
  bool sane_ = true;
};

tl::unexpected<core::Error> malformed(std::string_view what) {
  return core::fail(core::Errc::corrupt, "malformed " + std::string(what));
}

}  // namespace

void write_measure_request_header(const MeasureRequest& request, std::vector<std::byte>& out) {
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put(request.model.structure);
  writer.put(request.model.weights);
  writer.put(static_cast<std::uint32_t>(request.codecs.size()));
  for (const std::string& codec : request.codecs) writer.put_string(codec);
  writer.put(request.passes);
  writer.put(request.time.count());
}

core::Result<MeasureRequest> parse_measure_request(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  Quantities quantities(reader);
  MeasureRequest request;
  if (reader.get<std::uint8_t>() != format)
    return malformed("profile request");
  request.model.structure = reader.get<std::uint64_t>();
  request.model.weights = reader.get<std::uint64_t>();
  request.codecs.resize(reader.get_count(4, codec_limit));
  for (std::string& codec : request.codecs) codec = reader.get_string(text_limit);
  request.passes = reader.get<std::uint32_t>();
  request.time = core::Seconds(quantities.get());
  request.inputs = reader.rest();
  if (!reader.ok() || !quantities.sane())
    return malformed("profile request");
  return request;
}

std::vector<std::byte> write_host_profile(const table::HostProfile& host) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put_string(host.name);
  writer.put_string(host.board);
  writer.put_string(host.source);
  writer.put(host.transmit.count());
  writer.put(host.receive.count());
  writer.put(static_cast<std::uint32_t>(host.knobs.size()));
  for (const core::Knob& knob : host.knobs) {
    writer.put_string(knob.name);
    writer.put(knob.host);
    writer.put_string(knob.unit);
    writer.put(static_cast<std::uint8_t>(knob.categorical));
    writer.put(knob.switch_cost.count());
    writer.put(static_cast<std::uint32_t>(knob.levels.size()));
    for (const core::Level& level : knob.levels) {
      writer.put_string(level.label);
      writer.put(level.value);
    }
  }
  writer.put(static_cast<std::uint32_t>(host.settings.size()));
  for (const table::Setting& setting : host.settings) {
    writer.put(static_cast<std::uint32_t>(setting.levels.size()));
    for (const core::LevelIndex level : setting.levels) writer.put(level);
    writer.put(static_cast<std::uint32_t>(setting.steps.size()));
    for (const table::Timing& step : setting.steps) put_timing(writer, step);
    put_timing(writer, setting.whole);
    writer.put(static_cast<std::uint32_t>(setting.codecs.size()));
    for (const table::CodecCost& cost : setting.codecs) {
      writer.put(cost.encode_fixed.count());
      writer.put(cost.decode_fixed.count());
      writer.put(cost.encode_per_byte);
      writer.put(cost.decode_per_byte);
    }
    writer.put(setting.busy.count());
    writer.put(setting.idle.count());
    writer.put(setting.machine_busy.count());
    writer.put(static_cast<std::uint8_t>(setting.power_origin));
  }
  return out;
}

core::Result<table::HostProfile> parse_host_profile(std::span<const std::byte> message,
                                                    std::size_t steps, std::size_t codecs) {
  core::ByteReader reader(message);
  Quantities quantities(reader);
  if (reader.get<std::uint8_t>() != format)
    return malformed("host profile");
  table::HostProfile host;
  bool fits = true;
  host.name = reader.get_string(text_limit);
  host.board = reader.get_string(text_limit);
  host.source = reader.get_string(text_limit);
  host.transmit = core::JoulesPerByte(quantities.get());
  host.receive = core::JoulesPerByte(quantities.get());
  host.knobs.resize(reader.get_count(22, knob_limit));
  for (core::Knob& knob : host.knobs) {
    knob.name = reader.get_string(text_limit);
    knob.host = reader.get<core::HostIndex>();
    knob.unit = reader.get_string(text_limit);
    knob.categorical = reader.get<std::uint8_t>() != 0;
    knob.switch_cost = core::Seconds(quantities.get());
    knob.levels.resize(reader.get_count(12, level_limit));
    for (core::Level& level : knob.levels) {
      level.label = reader.get_string(text_limit);
      level.value = quantities.get();
    }
    fits = fits && !knob.levels.empty();
  }
  host.settings.resize(reader.get_count(timing_size, setting_limit));
  for (table::Setting& setting : host.settings) {
    setting.levels.resize(reader.get_count(sizeof(core::LevelIndex), knob_limit));
    fits = fits && setting.levels.size() == host.knobs.size();
    for (std::size_t i = 0; i < setting.levels.size(); ++i) {
      setting.levels[i] = reader.get<core::LevelIndex>();
      fits = fits && i < host.knobs.size() && setting.levels[i] < host.knobs[i].levels.size();
    }
    setting.steps.resize(reader.get_count(timing_size, step_limit));
    fits = fits && setting.steps.size() == steps;
    for (table::Timing& step : setting.steps) step = quantities.timing();
    setting.whole = quantities.timing();
    setting.codecs.resize(reader.get_count(32, codec_limit));
    fits = fits && setting.codecs.size() == codecs;
    for (table::CodecCost& cost : setting.codecs) {
      cost.encode_fixed = core::Seconds(quantities.get());
      cost.decode_fixed = core::Seconds(quantities.get());
      cost.encode_per_byte = quantities.get();
      cost.decode_per_byte = quantities.get();
    }
    setting.busy = core::Watts(quantities.get());
    setting.idle = core::Watts(quantities.get());
    setting.machine_busy = core::Watts(quantities.get());
    const auto origin = reader.get<std::uint8_t>();
    fits = fits && origin <= 1;
    setting.power_origin = static_cast<core::Origin>(origin);
  }
  if (!reader.finished() || !quantities.sane() || !fits || host.settings.empty())
    return malformed("host profile");
  return host;
}

std::vector<std::byte> write_conditions(const table::Conditions& conditions) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put(conditions.steal);
  writer.put(conditions.others);
  writer.put(conditions.busiest);
  writer.put(conditions.temperature);
  writer.put(conditions.waited.count());
  writer.put(conditions.took.count());
  return out;
}

core::Result<table::Conditions> parse_conditions(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  Quantities quantities(reader);
  if (reader.get<std::uint8_t>() != format)
    return malformed("conditions");
  table::Conditions conditions;
  for (double* known :
       {&conditions.steal, &conditions.others, &conditions.busiest, &conditions.temperature}) {
    *known = reader.get<double>();
    if (!std::isfinite(*known))
      return malformed("conditions");
  }
  conditions.waited = core::Seconds(quantities.get());
  conditions.took = core::Seconds(quantities.get());
  if (!reader.finished() || !quantities.sane())
    return malformed("conditions");
  return conditions;
}

std::vector<std::byte> write_provenance(const core::Provenance& provenance) {
  std::vector<std::byte> out;
  core::ByteWriter writer(out);
  writer.put(format);
  writer.put_string(provenance.machine);
  writer.put_string(provenance.processor);
  writer.put(provenance.cpus);
  writer.put_string(provenance.device);
  writer.put(static_cast<std::uint32_t>(provenance.libraries.size()));
  for (const core::Library& library : provenance.libraries) {
    writer.put_string(library.name);
    writer.put_string(library.version);
  }
  return out;
}

core::Result<core::Provenance> parse_provenance(std::span<const std::byte> message) {
  core::ByteReader reader(message);
  if (reader.get<std::uint8_t>() != format)
    return malformed("description of a machine");
  core::Provenance provenance;
  provenance.machine = reader.get_string(text_limit);
  provenance.processor = reader.get_string(text_limit);
  provenance.cpus = reader.get<std::uint32_t>();
  provenance.device = reader.get_string(text_limit);
  provenance.libraries.resize(reader.get_count(8, library_limit));
  for (core::Library& library : provenance.libraries) {
    library.name = reader.get_string(text_limit);
    library.version = reader.get_string(text_limit);
  }
  if (!reader.finished())
    return malformed("description of a machine");
  return provenance;
}

}  // namespace cleave::inline v0::profiler
