#include "lib/table/csv.hpp"
#include "lib/table/json.hpp"

#include <cleave/table/files.hpp>

namespace cleave::inline v0::table {
namespace {

std::string_view to_text(Accuracy::Basis basis) {
  switch (basis) {
    case Accuracy::Basis::none:
      return "none";
    case Accuracy::Basis::labels:
      return "labels";
    case Accuracy::Basis::agreement:
      return "agreement";
  }
  return "unknown";
}

Json json_of(const Accuracy& accuracy) {
  return {
      {"value", accuracy.value}, {"samples", accuracy.samples}, {"basis", to_text(accuracy.basis)}};
}

Json json_of(const Timing& timing) {
  return {{"mean_s", timing.mean.count()},
          {"median_s", timing.median.count()},
          {"spread_s", timing.spread.count()},
          {"samples", timing.samples}};
}

// Declared before list_of(), which finds them by name only here: its items' namespaces are others.
Json json_of(const Timing& timing);
Json json_of(const core::Knob& knob);
Json json_of(const CodecCost& cost);
Json json_of(const Setting& setting);
Json json_of(const TransferSample& sample);

template <class T>
Json list_of(const std::vector<T>& items) {
  Json list = Json::array();
  for (const T& item : items) list.push_back(json_of(item));
  return list;
}

Json json_of(const core::Knob& knob) {
  Json levels = Json::array();
  for (const core::Level& level : knob.levels)
    levels.push_back({{"label", level.label}, {"value", level.value}});
  return {{"name", knob.name},
          {"host", knob.host},
          {"unit", knob.unit},
          {"levels", std::move(levels)},
          {"categorical", knob.categorical},
          {"switch_cost_s", knob.switch_cost.count()}};
}

Json json_of(const CodecCost& cost) {
  return {{"encode_fixed_s", cost.encode_fixed.count()},
          {"decode_fixed_s", cost.decode_fixed.count()},
          {"encode_s_per_byte", cost.encode_per_byte},
          {"decode_s_per_byte", cost.decode_per_byte},
          {"relative_spread", cost.spread}};
}

Json json_of(const Setting& setting) {
  return {{"levels", setting.levels},
          {"whole", json_of(setting.whole)},
          {"busy_w", setting.busy.count()},
          {"idle_w", setting.idle.count()},
          {"machine_busy_w", setting.machine_busy.count()},
          {"power_origin", to_string(setting.power_origin)},
          {"predicted", setting.predicted},
          {"relative_interval", setting.interval},
          {"outliers", setting.outliers},
          {"exchange", json_of(setting.exchange)},
          {"longer_in_requests_s", setting.in_requests.count()},
          {"codecs", list_of(setting.codecs)},
          {"steps", list_of(setting.steps)}};
}

Json json_of(const core::Provenance& provenance) {
  Json libraries = Json::object();
  for (const core::Library& library : provenance.libraries)
    libraries[library.name] = library.version;
  return {{"machine", provenance.machine},
          {"processor", provenance.processor},
          {"cpus", provenance.cpus},
          {"device", provenance.device},
          {"libraries", std::move(libraries)}};
}

// Null where it could not be read.
Json json_of(const Conditions& conditions) {
  const auto known = [](double value) { return value < 0 ? Json() : Json(value); };
  return {{"steal", known(conditions.steal)},
          {"other_load", known(conditions.others)},
          {"largest_other_load", known(conditions.busiest)},
          {"highest_temperature_celsius", known(conditions.temperature)},
          {"waited_to_cool_s", conditions.waited.count()},
          {"took_s", conditions.took.count()}};
}

Json json_of(const HostProfile& host) {
  return {{"name", host.name},
          {"board", host.board},
          {"source", host.source},
          {"transmit_j_per_byte", host.transmit.count()},
          {"receive_j_per_byte", host.receive.count()},
          {"made_on", json_of(host.made_on)},
          {"conditions", json_of(host.conditions)},
          {"crossing_fixed_s", host.crossing.fixed.count()},
          {"crossing_s_per_byte", host.crossing.per_byte},
          {"level_fit",
           {{"left_out", host.fit.left_out},
            {"median_relative", host.fit.median_relative},
            {"worst_relative", host.fit.worst_relative}}},
          {"knobs", list_of(host.knobs)},
          {"settings", list_of(host.settings)}};
}

// Pairs of the first step and the one after the last.
Json json_of(const std::vector<core::StepRange>& head) {
  Json json = Json::array();
  for (const core::StepRange& range : head) json.push_back(Json::array({range.begin, range.end}));
  return json;
}

// The first and the last step of each range, "0-11 13 17-20"; "" for a prefix.
std::string text_of(const std::vector<core::StepRange>& head) {
  std::string text;
  for (const auto& [begin, end] : head) {
    text += (text.empty() ? "" : " ") + std::to_string(begin);
    if (end - begin > 1)
      text += "-" + std::to_string(end - 1);
  }
  return text;
}

Json json_of(const CutProfile& cut, const std::vector<std::string>& names) {
  Json codecs = Json::array();
  for (std::size_t c = 0; c < std::min(cut.codecs.size(), names.size()); ++c)
    codecs.push_back({{"codec", names[c]},
                      {"encoded_bytes", cut.codecs[c].encoded.count()},
                      {"accuracy", json_of(cut.codecs[c].accuracy)}});
  Json json = {{"id", to_string(cut.id)},      {"position", cut.position},
               {"layer", cut.layer},           {"op", cut.op},
               {"raw_bytes", cut.raw.count()}, {"codecs", std::move(codecs)}};
  if (cut.head_memory.count() > 0 || cut.tail_memory.count() > 0) {
    json["head_memory_bytes"] = cut.head_memory.count();
    json["tail_memory_bytes"] = cut.tail_memory.count();
  }
  if (cut.input_known)
    json["input_bytes"] = cut.input.count();
  if (!cut.head.empty())
    json["head"] = json_of(cut.head);
  return json;
}

Json json_of(const TransferSample& sample) {
  return {{"bytes", sample.bytes.count()}, {"time_s", sample.time.count()}};
}

Json json_of(const LinkProfile& link) {
  return {{"round_trip_s", link.round_trip.count()},
          {"round_trip_spread_s", link.round_trip_spread.count()},
          {"up_bytes_per_s", link.up.count()},
          {"down_bytes_per_s", link.down.count()},
          {"overhead_s", link.overhead.count()},
          {"sizes", list_of(link.sizes)}};
}

Json json_of(const PredictionError& error) {
  return {{"configurations", error.configurations},
          {"median_relative", error.median_relative},
          {"p90_relative", error.p90_relative},
          {"p95_relative", error.p95_relative},
          {"repeat_median_relative", error.repeat_median_relative},
          {"repeat_p90_relative", error.repeat_p90_relative},
          {"repeat_p95_relative", error.repeat_p95_relative},
          {"covered", error.covered},
          {"relative_interval", error.interval}};
}

Json json_of(const LinkState& link) {
  return {{"round_trip_s", link.round_trip.count()},
          {"up_bytes_per_s", link.up.count()},
          {"down_bytes_per_s", link.down.count()}};
}

Json json_of(const core::Configuration& configuration) {
  Json stages = Json::array();
  for (const core::Stage& stage : configuration.stages) {
    stages.push_back(
        {{"host", stage.host}, {"end", to_string(stage.end)}, {"levels", stage.levels}});
    if (!stage.head.empty())
      stages.back()["head"] = json_of(stage.head);
  }
  return {{"stages", std::move(stages)}, {"codecs", configuration.codecs}};
}

Json json_of(const Ingredients& in) {
  return {{"uses_cloud", in.uses_cloud},
          {"edge_compute_s", in.edge_compute.count()},
          {"cloud_compute_s", in.cloud_compute.count()},
          {"encode_first_s", in.encode_first.count()},
          {"encode_rest_s", in.encode_rest.count()},
          {"decode_rest_s", in.decode_rest.count()},
          {"decode_last_s", in.decode_last.count()},
          {"overhead_s", in.overhead.count()},
          {"up_bytes", in.up.count()},
          {"down_bytes", in.down.count()},
          {"ramp_round_trips", in.ramp_round_trips},
          {"edge_busy_w", in.edge_busy.count()},
          {"edge_idle_w", in.edge_idle.count()},
          {"cloud_device_w", in.cloud_device.count()},
          {"cloud_machine_w", in.cloud_machine.count()},
          {"transmit_j_per_byte", in.transmit.count()},
          {"receive_j_per_byte", in.receive.count()},
          {"power_origin", to_string(in.origin)},
          {"latency_relative_spread", in.spread},
          {"accuracy", json_of(in.accuracy)}};
}

}  // namespace

std::string to_json(const Profile& profile) {
  Json cuts = Json::array();
  for (const CutProfile& cut : profile.cuts) cuts.push_back(json_of(cut, profile.codecs));
  return dump({{"format", "cleave-profile"},
               {"version", profile_format_version},
               {"model", to_string(profile.model)},
               {"model_name", profile.model_name},
               {"codecs", profile.codecs},
               {"reply_bytes", profile.reply.count()},
               {"chunk_bytes", profile.chunk.count()},
               {"prediction_error", json_of(profile.error)},
               {"prediction_error_at_predicted_settings", json_of(profile.predicted_error)},
               {"link", json_of(profile.link)},
               {"cuts", std::move(cuts)},
               {"edge", json_of(profile.hosts[core::edge_host])},
               {"cloud", json_of(profile.hosts[core::cloud_host])}});
}

std::string to_json(const ParetoTable& table) {
  Json rows = Json::array();
  for (const TableRow& row : table.rows) {
    const Prediction prediction = compose(row.ingredients, table.reference, core::Seconds());
    rows.push_back({{"label", row.label},
                    {"latency_s", row.latency.count()},
                    {"energy_j", row.energy.count()},
                    {"energy_boundary", to_string(table.boundary)},
                    {"energy_origin", to_string(row.ingredients.origin)},
                    {"on_front", row.on_front},
                    {"configuration", json_of(row.configuration)},
                    {"latency_parts", json_of(prediction.latency)},
                    {"energy_parts", json_of(prediction.energy)},
                    {"ingredients", json_of(row.ingredients)}});
  }
  return dump({{"format", "cleave-table"},
               {"version", table_format_version},
               {"model", to_string(table.model)},
               {"model_name", table.model_name},
               {"energy_boundary", to_string(table.boundary)},
               {"reference_link", json_of(table.reference)},
               {"margin", table.margin},
               {"search",
                {{"algorithm", table.search.algorithm},
                 {"seed", table.search.seed},
                 {"space", table.search.space},
                 {"evaluations", table.search.evaluations},
                 {"hypervolume", table.search.hypervolume}}},
               {"edge_made_on", json_of(table.made_on[core::edge_host])},
               {"cloud_made_on", json_of(table.made_on[core::cloud_host])},
               {"edge_knobs", list_of(table.edge_knobs)},
               {"cloud_knobs", list_of(table.cloud_knobs)},
               {"rows", std::move(rows)}});
}

std::string to_csv(const Profile& profile) {
  CsvLines csv;
  csv.text("cut").text("position").text("head").text("layer").text("op").text("tensor_bytes");
  for (const std::string& codec : profile.codecs)
    csv.text(codec + "_bytes").text(codec + "_accuracy");
  csv.text("head_memory_bytes").text("tail_memory_bytes");
  csv.end_line();
  for (const CutProfile& cut : profile.cuts) {
    csv.text(to_string(cut.id)).number(cut.position).text(text_of(cut.head));
    csv.text(cut.layer).text(cut.op);
    csv.number(cut.raw.count());
    for (std::size_t c = 0; c < profile.codecs.size(); ++c) {
      if (c >= cut.codecs.size()) {
        csv.text("").text("");
        continue;
      }
      csv.number(cut.codecs[c].encoded.count());
      if (cut.codecs[c].accuracy.basis == Accuracy::Basis::none)
        csv.text("");
      else
        csv.number(cut.codecs[c].accuracy.value);
    }
    for (const core::Bytes memory : {cut.head_memory, cut.tail_memory}) {
      if (memory.count() > 0)
        csv.number(memory.count());
      else
        csv.text("");
    }
    csv.end_line();
  }
  return csv.take();
}

std::string to_csv(const ParetoTable& table) {
  CsvLines csv;
  for (const std::string_view name :
       {"label", "latency_s", "energy_j", "energy_boundary", "energy_origin", "accuracy",
        "accuracy_basis", "on_front", "cut", "head", "codec"})
    csv.text(name);
  for (const core::Knob& knob : table.edge_knobs) csv.text("edge_" + knob.name);
  for (const core::Knob& knob : table.cloud_knobs) csv.text("cloud_" + knob.name);
  csv.end_line();
  for (const TableRow& row : table.rows) {
    csv.text(row.label).number(row.latency.count()).number(row.energy.count());
    csv.text(to_string(table.boundary)).text(to_string(row.ingredients.origin));
    csv.number(row.ingredients.accuracy.value).text(to_text(row.ingredients.accuracy.basis));
    csv.number(row.on_front ? 1 : 0);
    csv.text(to_string(row.configuration.cut()));
    csv.text(text_of(row.configuration.stages[0].head)).text(row.configuration.codec());
    for (std::size_t k = 0; k < table.edge_knobs.size(); ++k)
      csv.text(table.edge_knobs[k].levels.at(row.configuration.stages[0].levels.at(k)).label);
    for (std::size_t k = 0; k < table.cloud_knobs.size(); ++k)
      csv.text(table.cloud_knobs[k].levels.at(row.configuration.stages[1].levels.at(k)).label);
    csv.end_line();
  }
  return csv.take();
}

}  // namespace cleave::inline v0::table
