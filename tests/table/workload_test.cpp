#include <cleave/table/workload.hpp>

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

namespace {

using namespace cleave;
namespace fs = std::filesystem;
using core::Errc;
using core::Joules;
using core::Seconds;
using table::DecisionKind;
using table::weibull_workload;

TEST(Workload, ReachesFromTheShortestToTheLongestDeadline) {
  const auto requests = weibull_workload(300, 1, Seconds(0.02), Seconds(0.9), 10000);
  ASSERT_EQ(requests.size(), 300u);
  const auto [low, high] =
      std::minmax_element(requests.begin(), requests.end(),
                          [](const auto& a, const auto& b) { return a.deadline < b.deadline; });
  EXPECT_EQ(low->deadline, Seconds(0.02));
  EXPECT_EQ(high->deadline, Seconds(0.9));
}

// For shape k and scale 1 the distribution function is 1 - exp(-x^k); rescaling by the extremes
// leaves ratios of distances. Kolmogorov-Smirnov over many draws, against that function.
TEST(Workload, FollowsTheWeibullDistribution) {
  for (const double shape : {0.7, 1.0, 2.0}) {
    constexpr std::size_t n = 20000;
    auto requests = weibull_workload(n, 5, Seconds(0), Seconds(1), 1, shape);
    std::vector<double> x;
    double mean = 0;
    for (const auto& r : requests) {
      x.push_back(r.deadline.count());
      mean += r.deadline.count() / n;
    }
    // The scale lost in rescaling, by the mean: Gamma(1 + 1/k) for scale 1 (the least draw is near
    // 0).
    const double scale = std::tgamma(1 + 1 / shape) / mean;
    std::sort(x.begin(), x.end());
    double distance = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double expected = 1 - std::exp(-std::pow(x[i] * scale, shape));
      distance = std::max(distance, std::abs(expected - (static_cast<double>(i) + 0.5) / n));
    }
    EXPECT_LT(distance, 1.63 / std::sqrt(n)) << "shape " << shape;
  }
}

TEST(Workload, IsTheSameOnEveryMachineAndAnotherForAnotherSeed) {
  const auto a = weibull_workload(3, 7, Seconds(0.1), Seconds(1), 100);
  EXPECT_EQ(a, weibull_workload(3, 7, Seconds(0.1), Seconds(1), 100));
  EXPECT_NE(a, weibull_workload(3, 8, Seconds(0.1), Seconds(1), 100));
  // mt19937_64's 10,000th output for its default seed is in the standard, so is what comes of it.
  const auto b = weibull_workload(4, 5489, Seconds(0.1), Seconds(1), 100);
  std::vector<double> draws;
  for (const std::uint64_t bits : {14514284786278117030ull, 4620546740167642908ull,
                                   13109570281517897720ull, 17462938647148434322ull})
    draws.push_back(-std::log(1 - static_cast<double>(bits >> 11) / 9007199254740992.0));
  const auto [low, high] = std::minmax_element(draws.begin(), draws.end());
  for (std::size_t i = 0; i < draws.size(); ++i)
    EXPECT_NEAR(b[i].deadline.count(), 0.1 + 0.9 * (draws[i] - *low) / (*high - *low), 1e-9);
}

TEST(Workload, DrawsInputsWithoutReplacementWhileThereAreEnough) {
  const auto few = weibull_workload(25, 3, Seconds(0), Seconds(1), 10);
  for (const std::size_t begin : {0, 10}) {
    std::set<std::uint32_t> seen;
    for (std::size_t i = begin; i < begin + 10; ++i) seen.insert(few[i].input);
    EXPECT_EQ(seen.size(), 10u);
    EXPECT_EQ(*seen.rbegin(), 9u);
  }
  EXPECT_TRUE(weibull_workload(0, 3, Seconds(0), Seconds(1), 10).empty());
  EXPECT_EQ(weibull_workload(1, 3, Seconds(0), Seconds(1), 10)[0].deadline, Seconds(1));
}

table::RequestOutcome outcome(double latency, double deadline, DecisionKind kind, double joules,
                              int predicted, int label) {
  table::RequestOutcome o;
  o.request = {.input = 3, .deadline = Seconds(deadline)};
  o.row = 2;
  o.label = "features.3 \"int8\", \xc3\xa9";
  o.decided = kind;
  o.latency = Seconds(latency);
  o.parts.edge_compute = Seconds(latency / 2);
  o.parts.reply = Seconds(latency / 2);
  o.energy.edge_compute = Joules(joules);
  o.energy.cloud_device = Joules(1);
  o.energy.cloud_machine = Joules(10);
  o.energy.origin = core::Origin::measured;
  o.predicted = Seconds(0.1 + latency);
  o.predicted_class = predicted;
  o.label_class = label;
  return o;
}

table::RunLog sample_log() {
  table::RunLog log{.policy = "cleave", .boundary = core::Boundary::edge, .outcomes = {}};
  log.outcomes = {outcome(0.1, 0.2, DecisionKind::edge, 1, 4, 4),
                  outcome(0.3, 0.2, DecisionKind::cloud, 2, 4, 5),
                  outcome(0.2, 0.2, DecisionKind::split, 3, 4, -1),
                  outcome(0.9, 1.0, DecisionKind::split, 50, -1, 1)};
  log.outcomes[3].error = "cloud gone";
  log.outcomes[3].fell_back = true;
  return log;
}

TEST(Summary, CountsAndAverages) {
  const auto s = table::summarise(sample_log());
  EXPECT_EQ(s.policy, "cleave");
  EXPECT_EQ(s.requests, 4u);
  EXPECT_EQ(s.failed, 1u);
  EXPECT_EQ(s.missed, 2u);  // one late, one failed
  EXPECT_EQ(s.fell_back, 1u);
  EXPECT_EQ(s.on_edge, 1u);
  EXPECT_EQ(s.on_cloud, 1u);
  EXPECT_EQ(s.split, 2u);
  EXPECT_DOUBLE_EQ(s.mean_energy.count(), 2);
  EXPECT_DOUBLE_EQ(s.median_latency.count(), 0.2);
  EXPECT_DOUBLE_EQ(s.p95_latency.count(), 0.29);
  EXPECT_DOUBLE_EQ(s.accuracy, 0.5);
  EXPECT_EQ(s.origin, core::Origin::measured);
}

TEST(Summary, OneModelledEnergyMakesTheMeanModelled) {
  auto log = sample_log();
  log.outcomes[1].energy.origin = core::Origin::modelled;
  EXPECT_EQ(table::summarise(log).origin, core::Origin::modelled);
  log.boundary = core::Boundary::edge_cloud_machine;
  EXPECT_DOUBLE_EQ(table::summarise(log).mean_energy.count(), 12);
}

TEST(Summary, OfNothingIsNotANumber) {
  const auto s = table::summarise({});
  EXPECT_EQ(s.requests, 0u);
  EXPECT_TRUE(std::isnan(s.median_latency.count()));
  EXPECT_TRUE(std::isnan(s.mean_energy.count()));
  EXPECT_TRUE(std::isnan(s.accuracy));
}

class RunLogs : public testing::Test {
 protected:
  RunLogs() {
    std::string name = (fs::temp_directory_path() / "cleave-runs-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~RunLogs() override { fs::remove_all(folder_); }
  core::Result<std::vector<table::RunLog>> load(const std::string& text) {
    fs::remove(folder_ / "runs.json");  // rewriting it in place may sync it to the disk
    std::ofstream(folder_ / "runs.json", std::ios::binary) << text;
    return table::load_run_logs(folder_ / "runs.json");
  }
  fs::path folder_;
};

TEST_F(RunLogs, ComeBackAsTheyWere) {
  auto other = sample_log();
  other.policy = "all-edge";
  other.boundary = core::Boundary::edge_cloud_device;
  other.outcomes[0].request.deadline = Seconds(INFINITY);
  const std::vector<table::RunLog> logs = {sample_log(), other};
  const auto loaded = load(to_json(logs));
  ASSERT_TRUE(loaded) << loaded.error().message();
  ASSERT_EQ(loaded->size(), 2u);
  for (std::size_t l = 0; l < 2; ++l) {
    EXPECT_EQ((*loaded)[l].policy, logs[l].policy);
    EXPECT_EQ((*loaded)[l].boundary, logs[l].boundary);
    ASSERT_EQ((*loaded)[l].outcomes.size(), 4u);
    for (std::size_t i = 0; i < 4; ++i) {
      const auto& a = (*loaded)[l].outcomes[i];
      const auto& b = logs[l].outcomes[i];
      EXPECT_EQ(a.request, b.request);
      EXPECT_EQ(a.row, b.row);
      EXPECT_EQ(a.label, b.label);
      EXPECT_EQ(a.decided, b.decided);
      EXPECT_EQ(a.fell_back, b.fell_back);
      EXPECT_EQ(a.latency, b.latency);
      EXPECT_EQ(a.parts, b.parts);
      EXPECT_EQ(a.energy, b.energy);
      EXPECT_EQ(a.predicted, b.predicted);
      EXPECT_EQ(a.predicted_class, b.predicted_class);
      EXPECT_EQ(a.label_class, b.label_class);
      EXPECT_EQ(a.error, b.error);
    }
  }
}

TEST_F(RunLogs, AnyTruncationIsNoticed) {
  const std::string text = to_json(std::vector{sample_log()});
  // The last two characters are the closing brace and a newline.
  for (std::size_t length = 0; length + 1 < text.size(); length += 3)
    EXPECT_EQ(load(text.substr(0, length)).error().code, Errc::corrupt) << length;
}

TEST_F(RunLogs, WrongFieldsAreNamed) {
  const std::string text = to_json(std::vector{sample_log()});
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string copy = text;
    copy.replace(copy.find(from), from.size(), to);
    const auto loaded = load(copy);
    return loaded ? std::string("loaded") : loaded.error().message();
  };
  EXPECT_NE(changed("\"latency_s\"", "\"latency\"").find("\"latency_s\" is missing"),
            std::string::npos);
  EXPECT_NE(changed("\"row\": 2", "\"row\": -2").find("\"row\" is out of range"),
            std::string::npos);
  EXPECT_NE(changed("\"row\": 2", "\"row\": 2.5").find("\"row\" is not a whole"),
            std::string::npos);
  EXPECT_NE(changed("\"row\": 2", "\"row\": 18446744073709551615").find("out of range"),
            std::string::npos);
  EXPECT_NE(changed("\"edge\"", "\"moon\"").find("unknown value \"moon\""), std::string::npos);
  EXPECT_NE(changed("\"version\": 1", "\"version\": 2").find("newer"), std::string::npos);
  EXPECT_EQ(load("[]").error().code, Errc::corrupt);
  EXPECT_EQ(load("{}").error().code, Errc::corrupt);
}

TEST(RunLogCsv, HasALinePerRequestAndLabelsTheEnergy) {
  const std::string csv = to_csv(std::vector{sample_log()});
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
  EXPECT_NE(csv.find("cleave,0,3,0.2,0.1,1,edge,0,\"features.3 \"\"int8\"\", \xc3\xa9\",1,edge,"
                     "measured,0.2,4,4,\n"),
            std::string::npos)
      << csv;
}

}  // namespace
