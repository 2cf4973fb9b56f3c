#include "tests/table/sample.hpp"

namespace cleave::tests {

using core::Bytes;
using core::BytesPerSecond;
using core::Joules;
using core::JoulesPerByte;
using core::milliseconds;
using core::Seconds;
using core::Watts;
using table::Accuracy;

namespace {

table::Timing timing(double ms, double spread_share, std::uint32_t samples) {
  return {.mean = milliseconds(ms),
          .median = milliseconds(ms * 0.9),
          .spread = milliseconds(ms * spread_share),
          .samples = samples};
}

table::Setting setting(core::LevelIndex level, double slowness, double busy) {
  table::Setting s;
  s.levels = {level};
  for (int i = 0; i < 5; ++i)
    s.steps.push_back(timing((i + 1) * slowness, 0.1, static_cast<std::uint32_t>(10 + i)));
  s.whole = timing(15 * slowness, 0.05, 40);
  s.codecs = {{.encode_fixed = core::microseconds(3 * slowness),
               .decode_fixed = core::microseconds(4 * slowness),
               .encode_per_byte = 1e-10 * slowness,
               .decode_per_byte = 2e-10 * slowness},
              {.encode_fixed = core::microseconds(5 * slowness),
               .decode_fixed = core::microseconds(6 * slowness),
               .encode_per_byte = 3e-9 * slowness,
               .decode_per_byte = 1e-9 * slowness}};
  s.busy = Watts(busy);
  s.idle = Watts(busy / 4);
  s.machine_busy = Watts(busy * 1.5);
  return s;
}

}  // namespace

table::Profile sample_profile() {
  table::Profile p;
  p.model = {.structure = 0x0123456789abcdef, .weights = 0xfedcba9876543210};
  p.model_name = "sample \xc3\xa9";
  p.codecs = {"raw", "int8"};
  const double raw[] = {50176, 100000, 20000, 40};
  const std::uint32_t positions[] = {0, 2, 4, 5};
  const char* layers[] = {"input", "features.1", "features.3", "classifier"};
  const char* ops[] = {"input", "aten::conv2d", "aten::relu", "aten::linear"};
  for (std::size_t c = 0; c < 4; ++c) {
    table::CutProfile cut;
    cut.id = {0x1000 + c};
    cut.position = positions[c];
    cut.layer = layers[c];
    cut.op = ops[c];
    cut.raw = Bytes(raw[c]);
    if (c < 3)
      cut.codecs = {
          {.encoded = Bytes(raw[c] + 64),
           .accuracy = {.value = 0.92, .samples = 1000, .basis = Accuracy::Basis::labels}},
          {.encoded = Bytes(raw[c] / 4 + 80),
           .accuracy = {.value = 0.90 + 0.005 * static_cast<double>(c),
                        .samples = 1000,
                        .basis = Accuracy::Basis::labels}}};
    p.cuts.push_back(cut);
  }
  table::HostProfile& edge = p.hosts[core::edge_host];
  edge.name = "camera";
  edge.board = "rpi4";
  edge.source = "a datasheet";
  edge.knobs = {{.name = "cpu_share",
                 .host = core::edge_host,
                 .unit = "share of one CPU",
                 .levels = {{"25 %", 0.25}, {"100 %", 1}},
                 .categorical = false,
                 .switch_cost = core::microseconds(120)}};
  edge.settings = {setting(0, 4, 2.5), setting(1, 1, 6)};
  edge.transmit = JoulesPerByte(1e-7);
  edge.receive = JoulesPerByte(5e-8);
  table::HostProfile& cloud = p.hosts[core::cloud_host];
  cloud.name = "server";
  cloud.board = "";
  cloud.source = "RAPL";
  cloud.knobs = {{.name = "mode",
                  .host = core::cloud_host,
                  .unit = "",
                  .levels = {{"fast", 0}, {"slow", 1}},
                  .categorical = true,
                  .switch_cost = core::microseconds(7)}};
  cloud.settings = {setting(0, 0.2, 60)};
  cloud.settings[0].power_origin = core::Origin::measured;
  p.link = {.round_trip = milliseconds(10),
            .round_trip_spread = milliseconds(1.5),
            .up = core::megabits_per_second(20),
            .down = core::megabits_per_second(40),
            .sizes = {{Bytes(1000), milliseconds(1)},
                      {Bytes(10000), milliseconds(9)},
                      {Bytes(100000), milliseconds(60)}},
            .overhead = core::microseconds(200)};
  p.reply = Bytes(104);
  p.chunk = Bytes(16384);
  p.error = {.configurations = 30,
             .median_relative = 0.04,
             .p90_relative = 0.11,
             .repeat_median_relative = 0.02,
             .repeat_p90_relative = 0.07};
  return p;
}

core::Configuration sample_configuration(const table::Profile& profile, std::size_t cut,
                                         const std::string& codec, core::LevelIndex edge_level) {
  return {
      .stages = {{.host = core::edge_host, .end = profile.cuts.at(cut).id, .levels = {edge_level}},
                 {.host = core::cloud_host, .end = profile.cuts.back().id, .levels = {0}}},
      .codecs = {codec}};
}

table::ParetoTable sample_table() {
  const table::Profile profile = sample_profile();
  table::ParetoTable t;
  t.model = profile.model;
  t.model_name = profile.model_name;
  t.edge_knobs = profile.hosts[0].knobs;
  t.cloud_knobs = profile.hosts[1].knobs;
  t.boundary = core::Boundary::edge_cloud_machine;
  t.reference = {.round_trip = milliseconds(10),
                 .up = core::megabits_per_second(20),
                 .down = core::megabits_per_second(40)};
  t.margin = 0.05;
  table::TableRow all_edge;
  all_edge.configuration = sample_configuration(profile, 3, "raw", 0);
  all_edge.ingredients.edge_compute = milliseconds(60);
  all_edge.ingredients.edge_busy = Watts(2.5);
  all_edge.ingredients.edge_idle = Watts(0.625);
  all_edge.ingredients.spread = 0.05;
  all_edge.ingredients.accuracy = {
      .value = 0.92, .samples = 1000, .basis = Accuracy::Basis::labels};
  all_edge.label = "edge | 25 %";
  all_edge.latency = milliseconds(60);
  all_edge.energy = Joules(0.15);
  table::TableRow split;
  split.configuration = sample_configuration(profile, 2, "int8", 1);
  split.ingredients = {
      .uses_cloud = true,
      .edge_compute = milliseconds(10),
      .cloud_compute = milliseconds(1),
      .encode_first = milliseconds(0.1),
      .encode_rest = milliseconds(0.2),
      .decode_rest = milliseconds(0.3),
      .decode_last = milliseconds(0.4),
      .overhead = milliseconds(0.5),
      .up = Bytes(5080),
      .down = Bytes(104),
      .ramp_round_trips = 0.25,
      .edge_busy = Watts(6),
      .edge_idle = Watts(1.5),
      .cloud_device = Watts(45),
      .cloud_machine = Watts(90),
      .transmit = JoulesPerByte(1e-7),
      .receive = JoulesPerByte(5e-8),
      .origin = core::Origin::measured,
      .spread = 0.08,
      .accuracy = {.value = 0.91, .samples = 500, .basis = Accuracy::Basis::agreement}};
  split.label = "features.3 int8 | 100 %";
  split.latency = milliseconds(26.75);
  split.energy = Joules(0.5);
  split.on_front = false;
  t.rows = {all_edge, split};
  t.search = {
      .algorithm = "NSGA-II", .seed = 42, .space = 12, .evaluations = 9, .hypervolume = 1.25};
  return t;
}

table::Profile sample_graph_profile() {
  table::Profile p = sample_profile();
  table::CutProfile cut = p.cuts[1];
  cut.id = {0x2001};
  cut.position = 3;
  cut.layer = "block: branch1, branch2.0";
  cut.raw = Bytes(30000);
  cut.head = {{0, 2}, {3, 4}};
  p.cuts.insert(p.cuts.begin() + 2, cut);
  return p;
}

table::ParetoTable sample_graph_table() {
  table::ParetoTable t = sample_table();
  t.rows[1].configuration.stages[0].end = {0x2001};
  t.rows[1].configuration.stages[0].head = {{0, 2}, {3, 4}};
  return t;
}

namespace {

const core::Provenance edge_machine{
    "camera-1", "a small processor", 4, "cpu", {{"cleave", "0.1.0"}, {"libtorch", "1.13.1"}}};
const core::Provenance cloud_machine{"server-1", "a large processor", 64, "cuda:0", {}};

}  // namespace

table::Profile sample_located_profile() {
  table::Profile p = sample_graph_profile();
  p.hosts[core::edge_host].made_on = edge_machine;
  p.hosts[core::cloud_host].made_on = cloud_machine;
  return p;
}

table::Profile sample_predicted_profile() {
  table::Profile p = sample_located_profile();
  table::HostProfile& edge = p.hosts[core::edge_host];
  edge.knobs[0].levels.insert(edge.knobs[0].levels.begin() + 1, {"50 %", 0.5});
  edge.settings[1].levels = {2};
  table::Setting between = setting(1, 2, 4);
  between.predicted = true;
  between.interval = 0.125;
  edge.settings.insert(edge.settings.begin() + 1, between);
  edge.fit = {.left_out = 3, .median_relative = 0.01, .worst_relative = 0.06};
  p.error.p95_relative = 0.13;
  p.error.repeat_p95_relative = 0.08;
  p.error.covered = 0.93;
  p.error.interval = 0.12;
  p.predicted_error = {.configurations = 15,
                       .median_relative = 0.05,
                       .p90_relative = 0.14,
                       .repeat_median_relative = 0.021,
                       .repeat_p90_relative = 0.071,
                       .p95_relative = 0.16,
                       .repeat_p95_relative = 0.081,
                       .covered = 0.87,
                       .interval = 0.15};
  return p;
}

table::Profile sample_observed_profile() {
  table::Profile p = sample_predicted_profile();
  for (std::size_t c = 0; c < p.cuts.size(); ++c) {
    p.cuts[c].head_memory = Bytes(1e6 * static_cast<double>(c + 1));
    p.cuts[c].tail_memory = Bytes(3e6 - 1e5 * static_cast<double>(c));
  }
  table::HostProfile& edge = p.hosts[core::edge_host];
  edge.conditions = {.steal = 0.01,
                     .others = 0.02,
                     .busiest = 0.3,
                     .temperature = 61.5,
                     .waited = Seconds(4),
                     .took = Seconds(70)};
  for (std::size_t s = 0; s < edge.settings.size(); ++s) {
    edge.settings[s].outliers = static_cast<std::uint32_t>(s + 1);
    edge.settings[s].exchange = timing(3 + static_cast<double>(s), 0.2, 20);
    for (table::CodecCost& cost : edge.settings[s].codecs) cost.spread = 0.07;
  }
  return p;
}

table::Profile sample_private_profile() {
  table::Profile p = sample_observed_profile();
  p.hosts[core::edge_host].crossing = {core::microseconds(40), 2e-10};
  p.hosts[core::cloud_host].crossing = {core::microseconds(10), 1e-10};
  p.hosts[core::cloud_host].settings[0].in_requests = core::microseconds(700);
  for (table::CutProfile& cut : p.cuts) {
    cut.input_known = true;
    cut.input = cut.position == 0 ? cut.raw : Bytes(cut.position == 2 ? 1234 : 0);
  }
  return p;
}

table::ParetoTable sample_located_table() {
  table::ParetoTable t = sample_graph_table();
  t.made_on = {edge_machine, cloud_machine};
  return t;
}

}  // namespace cleave::tests
