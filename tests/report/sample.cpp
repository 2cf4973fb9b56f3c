#include "tests/report/sample.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace cleave::tests {
namespace {

using core::Bytes;
using core::milliseconds;
using core::Seconds;
using core::Watts;
using table::Accuracy;

constexpr std::size_t steps = 26;

table::Setting setting(core::LevelIndex level, double slowness, double busy) {
  table::Setting s;
  s.levels = {level};
  for (std::size_t i = 0; i < steps; ++i) {
    const double ms = (0.4 + 1.6 * std::fmod(static_cast<double>(i) * 0.618, 1)) * slowness;
    s.steps.push_back({.mean = milliseconds(ms),
                       .median = milliseconds(ms),
                       .spread = milliseconds(ms / 20),
                       .samples = 20});
  }
  s.whole = {.mean = milliseconds(30 * slowness),
             .median = milliseconds(30 * slowness),
             .spread = milliseconds(slowness),
             .samples = 20};
  for (const double ns : {0.1, 1.2, 2.0})
    s.codecs.push_back({.encode_fixed = core::microseconds(20),
                        .decode_fixed = core::microseconds(20),
                        .encode_per_byte = ns * 1e-9 * slowness,
                        .decode_per_byte = ns * 1e-9 * slowness});
  s.busy = Watts(busy);
  s.idle = Watts(2.6);
  s.machine_busy = Watts(busy);
  return s;
}

table::Profile profile() {
  table::Profile p;
  p.model = {.structure = 0x1f3a9c0e55aa1234, .weights = 0x9c0e1f3a0badcafe};
  p.model_name = "resnet-fashion";
  p.codecs = {"raw", "fp16", "int8"};
  for (std::size_t c = 0; c < 14; ++c) {
    table::CutProfile cut;
    cut.id = {0xabc000 + c};
    cut.position = static_cast<std::uint32_t>(2 * c);
    cut.layer = c == 0 ? "input"
                       : "layer" + std::to_string((c + 2) / 3) + "." + std::to_string(c % 3) +
                             ".conv" + std::to_string(1 + c % 2);
    cut.op = "aten::conv2d";
    cut.raw = Bytes(c == 0 ? 602112 : 802816 / std::pow(2, static_cast<double>(c) / 1.6));
    if (c < 13)
      for (const double divisor : {1.0, 2.0, 4.0})
        cut.codecs.push_back({.encoded = Bytes(cut.raw.count() / divisor + 64),
                              .accuracy = {.value = 0.918 - 0.0008 * (divisor - 1),
                                           .samples = 1000,
                                           .basis = Accuracy::Basis::labels}});
    p.cuts.push_back(cut);
  }
  p.hosts[0].name = "this machine at a reduced share";
  p.hosts[0].board = "Raspberry Pi 4B";
  p.hosts[0].source = "published measurements";
  p.hosts[0].knobs = {{.name = "cpu_share",
                       .host = core::edge_host,
                       .unit = "share of one CPU",
                       .levels = {{"600 MHz", 0.2}, {"1000 MHz", 0.33}, {"1500 MHz", 0.5}},
                       .categorical = false,
                       .switch_cost = {}}};
  p.hosts[0].settings = {setting(0, 5, 3.2), setting(1, 3, 4.1), setting(2, 2, 6.0)};
  p.hosts[0].transmit = core::JoulesPerByte(2e-7);
  p.hosts[0].receive = core::JoulesPerByte(1e-7);
  p.hosts[1].name = "server";
  p.hosts[1].board = "Xeon";
  p.hosts[1].source = "published measurements";
  p.hosts[1].knobs = {{.name = "threads",
                       .host = core::cloud_host,
                       .unit = "threads",
                       .levels = {{"1", 1}, {"2", 2}},
                       .categorical = false,
                       .switch_cost = {}}};
  p.hosts[1].settings = {setting(0, 0.4, 14), setting(1, 0.25, 20)};
  p.link = {.round_trip = milliseconds(10),
            .round_trip_spread = milliseconds(1),
            .up = core::megabits_per_second(20),
            .down = core::megabits_per_second(20),
            .sizes = {{Bytes(1000), milliseconds(0.6)}, {Bytes(1e6), milliseconds(430)}},
            .overhead = core::microseconds(350)};
  p.reply = Bytes(104);
  p.chunk = Bytes(12500);
  p.error = {.configurations = 30,
             .median_relative = 0.041,
             .p90_relative = 0.093,
             .repeat_median_relative = 0.022,
             .repeat_p90_relative = 0.061};
  return p;
}

table::ParetoTable table_of(const table::Profile& p) {
  table::ParetoTable t;
  t.model = p.model;
  t.model_name = p.model_name;
  t.edge_knobs = p.hosts[0].knobs;
  t.cloud_knobs = p.hosts[1].knobs;
  t.reference = link_of(p);
  t.margin = 0.05;
  std::uint64_t space = 0;
  for (const auto& cut : p.cuts)
    for (const auto& codec : p.codecs)
      for (const auto& edge : p.hosts[0].settings)
        for (const auto& cloud : p.hosts[1].settings) {
          table::TableRow row;
          row.configuration = {.stages = {{core::edge_host, cut.id, edge.levels},
                                          {core::cloud_host, p.cuts.back().id, cloud.levels}},
                               .codecs = {codec}};
          row.ingredients = *price(p, row.configuration);
          const auto prediction = compose(row.ingredients, t.reference, Seconds());
          row.latency = prediction.latency.total();
          row.energy = prediction.energy.total(t.boundary);
          row.label = cut.layer + " " + codec + " | " +
                      t.edge_knobs[0].levels[edge.levels[0]].label + " | " +
                      t.cloud_knobs[0].levels[cloud.levels[0]].label + " threads";
          t.rows.push_back(row);
          ++space;
        }
  const auto dominated = [&](const table::TableRow& row, double margin) {
    return std::any_of(t.rows.begin(), t.rows.end(), [&](const table::TableRow& other) {
      return other.latency * (1 + margin) <= row.latency &&
             other.energy * (1 + margin) <= row.energy &&
             other.ingredients.accuracy.value >= row.ingredients.accuracy.value &&
             (other.latency < row.latency || other.energy < row.energy);
    });
  };
  std::vector<table::TableRow> kept;
  for (auto row : t.rows)
    if (!dominated(row, 0.12)) {
      row.on_front = !dominated(row, 0);
      kept.push_back(row);
    }
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return a.energy < b.energy; });
  t.rows = std::move(kept);
  t.search = {.algorithm = "NSGA-II",
              .seed = 1,
              .space = space,
              .evaluations = space / 3,
              .hypervolume = 1.7};
  return t;
}

}  // namespace

report::ReportInput sample_report() {
  report::ReportInput input;
  input.title = "resnet-fashion, split between a camera and a server";
  input.note = "300 requests over Fashion-MNIST test images on an emulated 20 Mbit/s link.";
  input.profile = profile();
  input.table = table_of(*input.profile);
  const table::ParetoTable& t = *input.table;
  const auto requests = table::weibull_workload(300, 1, milliseconds(42), milliseconds(420), 10000);
  std::mt19937_64 engine(3);
  const auto noise = [&] { return 0.94 + 0.16 * static_cast<double>(engine() % 1000) / 1000; };
  const auto fastest =
      std::min_element(t.rows.begin(), t.rows.end(),
                       [](const auto& a, const auto& b) { return a.latency < b.latency; });
  const auto row_of = [&](std::size_t cut) {
    table::TableRow row;
    const auto& p = *input.profile;
    row.configuration = {.stages = {{core::edge_host, p.cuts[cut].id, {2}},
                                    {core::cloud_host, p.cuts.back().id, {1}}},
                         .codecs = {"raw"}};
    row.ingredients = *price(p, row.configuration);
    row.latency = compose(row.ingredients, t.reference, Seconds()).latency.total();
    row.label = cut == 0 ? "all cloud" : "all edge";
    return row;
  };
  const table::TableRow all_cloud = row_of(0);
  const table::TableRow all_edge = row_of(input.profile->cuts.size() - 1);
  for (const std::string policy :
       {"cleave", "all-cloud", "all-edge", "front's fastest", "front's most frugal"}) {
    table::RunLog log{.policy = policy, .boundary = t.boundary, .outcomes = {}};
    for (const auto& request : requests) {
      const table::TableRow* row = &t.rows.front();
      if (policy == "front's fastest")
        row = &*fastest;
      if (policy == "all-cloud")
        row = &all_cloud;
      if (policy == "all-edge")
        row = &all_edge;
      if (policy == "cleave") {
        row = &*fastest;
        for (const auto& candidate : t.rows)
          if (candidate.latency * 1.1 < request.deadline) {
            row = &candidate;
            break;
          }
      }
      table::RequestOutcome o;
      o.request = request;
      o.label = row->label;
      const auto prediction = compose(row->ingredients, t.reference, Seconds());
      o.parts = prediction.latency;
      o.energy = prediction.energy;
      o.predicted = row->latency;
      o.latency = row->latency * noise();
      o.decided = !row->ingredients.uses_cloud                ? table::DecisionKind::edge
                  : row->ingredients.edge_compute.count() > 0 ? table::DecisionKind::split
                                                              : table::DecisionKind::cloud;
      if (policy == "cleave" && engine() % 40 == 0) {
        o.fell_back = true;
        o.latency = o.latency * 1.8;
      }
      o.label_class = static_cast<std::int32_t>(engine() % 10);
      o.predicted_class = engine() % 100 < 92 ? o.label_class : 10;
      log.outcomes.push_back(o);
    }
    input.runs.push_back(std::move(log));
  }
  return input;
}

}  // namespace cleave::tests
