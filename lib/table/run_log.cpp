#include "lib/table/csv.hpp"
#include "lib/table/json.hpp"

#include <cleave/core/file.hpp>
#include <cleave/table/workload.hpp>

#include <limits>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr int runs_version = 1;
constexpr std::size_t runs_size_limit = std::size_t{256} << 20;

// A field that is missing or of another type, by name. Does not leave this file.
struct Misfit {
  std::string what;
};

const Json& member(const Json& json, const char* key) {
  const auto found = json.is_object() ? json.find(key) : json.end();
  if (!json.is_object() || found == json.end())
    throw Misfit{std::string("\"") + key + "\" is missing"};
  return *found;
}

// JSON has no infinity: it was written as null.
double real(const Json& json, const char* key) {
  const Json& value = member(json, key);
  if (value.is_null())
    return std::numeric_limits<double>::infinity();
  if (!value.is_number())
    throw Misfit{std::string("\"") + key + "\" is not a number"};
  return value.get<double>();
}

core::Seconds seconds(const Json& json, const char* key) {
  return core::Seconds(real(json, key));
}

core::Joules joules(const Json& json, const char* key) {
  return core::Joules(real(json, key));
}

template <class T>
T integer(const Json& json, const char* key) {
  const Json& value = member(json, key);
  if (!value.is_number_integer())
    throw Misfit{std::string("\"") + key + "\" is not a whole number"};
  // Beyond int64 only a u64 could be, and no field here holds one.
  const auto number = value.get<std::int64_t>();
  if ((value.is_number_unsigned() &&
       value.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<T>::max()}) ||
      number < std::int64_t{std::numeric_limits<T>::min()} ||
      number > std::int64_t{std::numeric_limits<T>::max()})
    throw Misfit{std::string("\"") + key + "\" is out of range"};
  return static_cast<T>(number);
}

bool truth(const Json& json, const char* key) {
  const Json& value = member(json, key);
  if (!value.is_boolean())
    throw Misfit{std::string("\"") + key + "\" is neither true nor false"};
  return value.get<bool>();
}

std::string text(const Json& json, const char* key) {
  const Json& value = member(json, key);
  if (!value.is_string())
    throw Misfit{std::string("\"") + key + "\" is not a string"};
  return value.get<std::string>();
}

// One of an enumeration's values, by the word that to_string() gives it.
template <class Enum>
Enum word(const Json& json, const char* key, std::initializer_list<Enum> values) {
  const std::string given = text(json, key);
  for (const Enum value : values)
    if (to_string(value) == given)
      return value;
  throw Misfit{std::string("\"") + key + "\" has the unknown value \"" + given + "\""};
}

const Json& array(const Json& json, const char* key) {
  const Json& value = member(json, key);
  if (!value.is_array())
    throw Misfit{std::string("\"") + key + "\" is not a list"};
  return value;
}

LatencyParts latency_parts(const Json& json) {
  LatencyParts parts;
  parts.edge_compute = seconds(json, "edge_compute_s");
  parts.encode = seconds(json, "encode_s");
  parts.transfer = seconds(json, "transfer_s");
  parts.decode = seconds(json, "decode_s");
  parts.round_trip = seconds(json, "round_trip_s");
  parts.queue = seconds(json, "queue_s");
  parts.cloud_compute = seconds(json, "cloud_compute_s");
  parts.reply = seconds(json, "reply_s");
  parts.overhead = seconds(json, "overhead_s");
  return parts;
}

EnergyParts energy_parts(const Json& json) {
  EnergyParts parts;
  parts.edge_compute = joules(json, "edge_compute_j");
  parts.edge_wait = joules(json, "edge_wait_j");
  parts.radio = joules(json, "radio_j");
  parts.cloud_device = joules(json, "cloud_device_j");
  parts.cloud_machine = joules(json, "cloud_machine_j");
  parts.origin = word(json, "origin", {core::Origin::measured, core::Origin::modelled});
  return parts;
}

Json json_of(const RequestOutcome& outcome) {
  return {{"input", outcome.request.input},
          {"deadline_s", outcome.request.deadline.count()},
          {"row", outcome.row},
          {"label", outcome.label},
          {"decided", to_string(outcome.decided)},
          {"fell_back", outcome.fell_back},
          {"latency_s", outcome.latency.count()},
          {"latency_parts", json_of(outcome.parts)},
          {"energy_parts", json_of(outcome.energy)},
          {"predicted_s", outcome.predicted.count()},
          {"predicted_class", outcome.predicted_class},
          {"label_class", outcome.label_class},
          {"error", outcome.error}};
}

RequestOutcome outcome_of(const Json& json) {
  RequestOutcome outcome;
  outcome.request.input = integer<std::uint32_t>(json, "input");
  outcome.request.deadline = seconds(json, "deadline_s");
  outcome.row = integer<std::uint32_t>(json, "row");
  outcome.label = text(json, "label");
  outcome.decided =
      word(json, "decided", {DecisionKind::edge, DecisionKind::cloud, DecisionKind::split});
  outcome.fell_back = truth(json, "fell_back");
  outcome.latency = seconds(json, "latency_s");
  outcome.parts = latency_parts(member(json, "latency_parts"));
  outcome.energy = energy_parts(member(json, "energy_parts"));
  outcome.predicted = seconds(json, "predicted_s");
  outcome.predicted_class = integer<std::int32_t>(json, "predicted_class");
  outcome.label_class = integer<std::int32_t>(json, "label_class");
  outcome.error = text(json, "error");
  return outcome;
}

}  // namespace

std::string to_json(const std::vector<RunLog>& logs) {
  Json runs = Json::array();
  for (const RunLog& log : logs) {
    Json outcomes = Json::array();
    for (const RequestOutcome& outcome : log.outcomes) outcomes.push_back(json_of(outcome));
    runs.push_back({{"policy", log.policy},
                    {"energy_boundary", to_string(log.boundary)},
                    {"requests", std::move(outcomes)}});
  }
  return dump({{"format", "cleave-runs"}, {"version", runs_version}, {"runs", std::move(runs)}});
}

Result<std::vector<RunLog>> load_run_logs(const std::filesystem::path& path) {
  const auto file = core::read_text(path, runs_size_limit);
  if (!file)
    return fail(file);
  const std::string where = path.string();
  const Json json = Json::parse(*file, nullptr, false);
  std::string at = where;
  try {
    if (json.is_discarded() || text(json, "format") != "cleave-runs")
      return fail(Errc::corrupt, "not a log of cleave's runs", where);
    if (const auto version = integer<std::int32_t>(json, "version"); version != runs_version) {
      if (version > runs_version)
        return fail(Errc::version, "written by a newer cleave", where, "use that one");
      return fail(Errc::corrupt, "there is no such version of a run log", where);
    }
    std::vector<RunLog> logs;
    for (const Json& run : array(json, "runs")) {
      RunLog& log = logs.emplace_back();
      log.policy = text(run, "policy");
      log.boundary = word(run, "energy_boundary",
                          {core::Boundary::edge, core::Boundary::edge_cloud_device,
                           core::Boundary::edge_cloud_machine});
      for (const Json& request : array(run, "requests")) {
        at = where + ", policy " + log.policy + ", request " + std::to_string(log.outcomes.size());
        log.outcomes.push_back(outcome_of(request));
      }
    }
    return logs;
  } catch (const Misfit& misfit) {
    return fail(Errc::corrupt, misfit.what, at);
  }
}

std::string to_csv(const std::vector<RunLog>& logs) {
  CsvLines csv;
  for (const std::string_view name :
       {"policy", "request", "input", "deadline_s", "latency_s", "met", "decided", "fell_back",
        "label", "energy_j", "energy_boundary", "energy_origin", "predicted_s", "predicted_class",
        "label_class", "error"})
    csv.text(name);
  csv.end_line();
  for (const RunLog& log : logs) {
    std::size_t index = 0;
    for (const RequestOutcome& o : log.outcomes) {
      csv.text(log.policy).number(index++).number(o.request.input);
      csv.number(o.request.deadline.count()).number(o.latency.count());
      csv.number(o.met() ? 1 : 0).text(to_string(o.decided)).number(o.fell_back ? 1 : 0);
      csv.text(o.label).number(o.energy.total(log.boundary).count());
      csv.text(to_string(log.boundary)).text(to_string(o.energy.origin));
      csv.number(o.predicted.count()).number(o.predicted_class).number(o.label_class);
      csv.text(o.error);
      csv.end_line();
    }
  }
  return csv.take();
}

}  // namespace cleave::inline v0::table
