// Large spaces of predicted configurations: how long it takes to look at all of a million, and how
// near searches come to the best choice for several networks on one device.
//
//   cleave_bench_space [--threads 2] [--models 4] [--seeds 3]
//
// The joint search is held against a bound that is computed here from the predictor alone: for each
// setting of the edge's knobs, the sum of what each network needs least within its deadline, and of
// those sums the least. Peers are pagmo's NSGA-II from cleave's start (corners, space-filling set,
// neighbours), plain NSGA-II, and random sampling, on the very same space.
#include "tests/support/synthetic_profile.hpp"

#include <cleave/optimizer/joint.hpp>
#include <cleave/optimizer/optimize.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <vector>

namespace {

using namespace cleave;
using optimizer::Algorithm;

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::vector<double> steps_to(double from, double to, int count) {
  std::vector<double> out;
  for (int i = 0; i < count; ++i) out.push_back(from + (to - from) * i / (count - 1));
  return out;
}

int failed(const core::Error& error) {
  std::fprintf(stderr, "cleave_bench_space: %s\n", error.message().c_str());
  return 1;
}

int look_at_a_million(unsigned threads) {
  const auto profile =
      test::synthetic_profile({.steps = 58,
                               .shares = steps_to(0.1, 1, 12),
                               .edge_threads = {1, 2, 3, 4},
                               .cloud_threads = steps_to(1, 60, 60),
                               .codecs = {"raw", "fp16", "int8", "q4", "int4", "int2"}});
  for (unsigned t = 1; t <= threads; t *= 2) {
    double best = 1e300;
    table::ParetoTable table;
    for (int round = 0; round < 3; ++round) {
      const auto begin = std::chrono::steady_clock::now();
      auto made = optimizer::optimize(profile, {.algorithm = Algorithm::exhaustive, .threads = t});
      if (!made)
        return failed(made.error());
      best = std::min(best, seconds_since(begin));
      table = std::move(*made);
    }
    std::printf("exhaustive: %llu configurations on 3 links, %u thread%s: %.2f s, %zu rows\n",
                static_cast<unsigned long long>(table.search.evaluations), t, t == 1 ? "" : "s",
                best, table.rows.size());
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto ranged = optimizer::optimize(
      profile,
      {.algorithm = Algorithm::exhaustive,
       .threads = threads,
       .bandwidth_factors = {},
       .range = optimizer::LinkRange{core::megabits_per_second(1), core::megabits_per_second(100),
                                     core::milliseconds(5), core::milliseconds(100)}});
  if (!ranged)
    return failed(ranged.error());
  std::printf("the same for 1 to 100 Mbit/s and 5 to 100 ms: %.1f s, %zu rows\n",
              seconds_since(begin), ranged->rows.size());
  std::fflush(stdout);
  return 0;
}

// All networks' configurations at one setting of the edge.
class JointSpace final : public optimizer::Space {
 public:
  explicit JointSpace(const std::vector<optimizer::JointModel>& models) : models_(models) {
    variables_.push_back(
        {"edge", static_cast<std::uint32_t>(models[0].profile->hosts[0].settings.size()), false});
    for (const optimizer::JointModel& model : models) {
      prices_.push_back(table::PriceList::make(*model.profile).value());
      const auto count = [](const auto& list) { return static_cast<std::uint32_t>(list.size()); };
      variables_.push_back({"cut", count(model.profile->cuts), false});
      variables_.push_back({"codec", count(model.profile->codecs), true});
      variables_.push_back({"cloud", count(model.profile->hosts[1].settings), false});
    }
    link_ = table::link_of(*models[0].profile);
  }
  [[nodiscard]] std::span<const optimizer::Variable> variables() const override {
    return variables_;
  }
  void canonicalise(optimizer::Point& point) const override {
    for (std::size_t m = 0; m < models_.size(); ++m)
      if (point[1 + 3 * m] + 1 == models_[m].profile->cuts.size())
        point[2 + 3 * m] = point[3 + 3 * m] = 0;
  }
  [[nodiscard]] std::uint64_t size() const override { return 0; }
  [[nodiscard]] std::size_t contexts() const override { return 1; }
  [[nodiscard]] std::size_t objectives() const override { return 2; }
  [[nodiscard]] optimizer::Objectives evaluate(const optimizer::Point& point) const override {
    double power = 0, tightness = 0;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      const auto one = table::compose(
          prices_[m].price(point[1 + 3 * m], point[2 + 3 * m], point[0], point[3 + 3 * m]), link_,
          core::Seconds());
      power += models_[m].rate * one.energy.total(core::Boundary::edge_cloud_device).count();
      tightness = std::max(tightness, one.latency.total() / models_[m].deadline);
    }
    return {std::log(power), std::log(tightness)};
  }
  // The predictor alone: what no choice within the deadlines and loads can undercut. Per setting of
  // the edge the Lagrangian dual: whatever price a second of the edge and of the link has, no
  // choice needs less than the networks' least sums of power and load at that price, less the price
  // of all the load there is.
  [[nodiscard]] double bound(double load) const {
    double least = std::numeric_limits<double>::infinity();
    std::vector<double> prices = {0};
    for (double price = 0.05; price < 100; price *= 1.25) prices.push_back(price);
    for (std::uint32_t edge = 0; edge < variables_[0].levels; ++edge) {
      std::vector<std::vector<Load>> offers;
      for (std::size_t m = 0; m < models_.size(); ++m) offers.push_back(loads_of(m, edge));
      double dual = 0;
      for (const double of_edge : prices)
        for (const double of_link : prices) {
          double sum = -load * (of_edge + of_link);
          for (const std::vector<Load>& some : offers) {
            double best = std::numeric_limits<double>::infinity();
            for (const Load& one : some)
              best = std::min(best, one.power + of_edge * one.edge + of_link * one.link);
            sum += best;
          }
          dual = std::max(dual, sum);
        }
      least = std::min(least, dual);
    }
    return least;
  }

 private:
  struct Load {
    double power = 0, edge = 0, link = 0;
  };
  [[nodiscard]] std::vector<Load> loads_of(std::size_t m, std::uint32_t edge) const {
    std::vector<Load> out;
    for (std::uint32_t cut = 0; cut < variables_[1 + 3 * m].levels; ++cut)
      for (std::uint32_t codec = 0; codec < variables_[2 + 3 * m].levels; ++codec)
        for (std::uint32_t cloud = 0; cloud < variables_[3 + 3 * m].levels; ++cloud) {
          const auto in = prices_[m].price(cut, codec, edge, cloud);
          const auto one = table::compose(in, link_, core::Seconds());
          const double rate = models_[m].rate;
          if (one.latency.total() <= models_[m].deadline)
            out.push_back({rate * one.energy.total(core::Boundary::edge_cloud_device).count(),
                           rate * (in.edge_compute + in.encode_first + in.encode_rest).count(),
                           rate * (in.up / link_.up).count()});
        }
    return out;
  }

  std::vector<optimizer::JointModel> models_;
  std::vector<table::PriceList> prices_;
  std::vector<optimizer::Variable> variables_;
  table::LinkState link_;
};

int choose_jointly(std::size_t count, std::uint64_t seeds) {
  std::vector<table::Profile> profiles;
  for (std::size_t m = 0; m < count; ++m)
    profiles.push_back(
        test::synthetic_profile({.seed = 40 + m,
                                 .steps = 20 + 5 * m,
                                 .shares = steps_to(0.1, 1, 10),
                                 .edge_threads = {1, 2, 3, 4},
                                 .cloud_threads = {1, 2, 3, 4, 6, 8},
                                 .codecs = {"raw", "fp16", "int8", "q4", "int4", "int2"},
                                 .edge_pass = 0.06 + 0.03 * double(m)}));
  std::vector<optimizer::JointModel> models;
  for (std::size_t m = 0; m < count; ++m)
    models.push_back({&profiles[m], 0.5 + double(m % 3), core::milliseconds(90 + 40 * double(m))});
  const JointSpace space(models);
  std::vector<optimizer::JointChoice> front;
  for (const double load : {1.0, 0.25, 0.12}) {
    optimizer::JointOptions options;
    options.max_edge_load = options.max_link_load = load;
    const auto begin = std::chrono::steady_clock::now();
    const auto made = optimizer::optimize_jointly(models, options);
    const double took = seconds_since(begin);
    if (!made) {
      std::printf("jointly, loads up to %.2f: %s\n", load, made.error().message().c_str());
      continue;
    }
    std::printf(
        "jointly, %zu networks, %.1e configurations, loads up to %.2f: %.3f W, %.4f of the "
        "Lagrangian bound, %.4f of the search's own, front of %zu%s, %.2f s\n",
        count, made->space, load, made->choices[0].power.count(),
        made->choices[0].power.count() / space.bound(load), made->choices[0].power / made->bound,
        made->choices.size(), made->exact ? ", exact" : "", took);
    if (front.empty())
      front = made->choices;
    std::fflush(stdout);
  }
  struct Peer {
    const char* name;
    Algorithm algorithm;
    bool seeded;
  };
  for (const Peer& peer :
       {Peer{"NSGA-II from cleave's start", Algorithm::nsga2, true},
        Peer{"plain NSGA-II", Algorithm::nsga2, false}, Peer{"random", Algorithm::random, false}})
    for (const std::uint64_t budget : {20'000, 100'000}) {
      double ratio = 0, worst = 0, took = 0;
      std::uint64_t found = 0, missed = 0;
      for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const auto begin = std::chrono::steady_clock::now();
        const auto made = optimizer::search(space, {.algorithm = peer.algorithm,
                                                    .budget = budget,
                                                    .population = 200,
                                                    .seed = seed,
                                                    .seeded = peer.seeded});
        took += seconds_since(begin);
        if (!made)
          return failed(made.error());
        for (const optimizer::JointChoice& choice : front) {
          double least = std::numeric_limits<double>::infinity();
          for (const auto& entry : made->archive)
            if (entry.objectives[1] <= std::log(choice.tightness) + 1e-12)
              least = std::min(least, std::exp(entry.objectives[0]));
          if (!std::isfinite(least)) {
            ++missed;
            continue;
          }
          ratio += least / choice.power.count();
          worst = std::max(worst, least / choice.power.count());
          ++found;
        }
      }
      std::printf(
          "%s, %llu evaluations: %.4f of the exact front's power, %.4f at worst; nothing as "
          "quick for %.0f %% of it; %.1f s\n",
          peer.name, static_cast<unsigned long long>(budget),
          found == 0 ? 0 : ratio / static_cast<double>(found), worst,
          100.0 * static_cast<double>(missed) / static_cast<double>(found + missed),
          took / static_cast<double>(seeds));
      std::fflush(stdout);
    }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  unsigned threads = 2;
  std::size_t models = 4;
  std::uint64_t seeds = 3;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    const auto value = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--threads")
      threads = static_cast<unsigned>(value);
    else if (option == "--models")
      models = value;
    else if (option == "--seeds")
      seeds = value;
    else
      return std::fprintf(stderr, "cleave_bench_space: unknown option %s\n", argv[i]), 2;
  }
  if (const int code = look_at_a_million(threads); code != 0)
    return code;
  return choose_jointly(models, seeds);
}
