#include <cleave/scheduler/replay.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string_view>
#include <tuple>

namespace cleave::inline v0::scheduler {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;
using table::Observations;
using table::ObservedRun;
using table::ParetoTable;
using table::TimedRequest;

constexpr std::string_view fixed_prefix = "fixed:";

// Where a knob has this value: a number if the knob is of numbers, else a word.
std::optional<LevelIndex> level_of(const core::Knob& knob, std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool numeric = error == std::errc() && end == text.data() + text.size();
  for (std::size_t i = 0; i < knob.levels.size(); ++i)
    if (knob.levels[i].label == text ||
        (!knob.categorical && numeric && knob.levels[i].value == number))
      return static_cast<LevelIndex>(i);
  return std::nullopt;
}

// The configuration of each row of the table.
Result<std::vector<std::uint32_t>> configurations_of(const ParetoTable& table,
                                                     const Observations& observations) {
  const auto other = [&](const std::string& what) {
    return fail(Errc::mismatch, "the table does not belong to these observations: " + what,
                observations.name, "make it with cleave optimize --observations");
  };
  if (table.edge_knobs.size() != observations.knobs.size() || !table.cloud_knobs.empty())
    return other("they have other knobs");
  // For each of the observations' knobs, the table's and its levels.
  std::vector<std::size_t> place;
  for (const core::Knob& knob : observations.knobs) {
    const auto found =
        std::find_if(table.edge_knobs.begin(), table.edge_knobs.end(),
                     [&](const core::Knob& theirs) { return theirs.name == knob.name; });
    if (found == table.edge_knobs.end())
      return other("it has no knob " + knob.name);
    place.push_back(static_cast<std::size_t>(found - table.edge_knobs.begin()));
  }
  std::map<std::vector<LevelIndex>, std::uint32_t> index;
  for (std::size_t i = 0; i < observations.configurations.size(); ++i)
    index.emplace(observations.configurations[i].levels, static_cast<std::uint32_t>(i));
  std::vector<std::uint32_t> out;
  for (const table::TableRow& row : table.rows) {
    std::vector<LevelIndex> levels;
    for (std::size_t k = 0; k < place.size(); ++k) {
      const core::Knob& theirs = table.edge_knobs[place[k]];
      const LevelIndex level = row.configuration.stages.front().levels[place[k]];
      const auto found = level_of(observations.knobs[k], theirs.levels[level].label);
      levels.push_back(found.value_or(static_cast<LevelIndex>(theirs.levels.size())));
      if (!found)
        return other(theirs.name + " is never " + theirs.levels[level].label);
    }
    const auto found = index.find(levels);
    if (found == index.end())
      return other("there is no run of " + row.label);
    out.push_back(found->second);
  }
  return out;
}

// The one configuration that "knob=value,..." describes.
Result<std::uint32_t> described(std::string_view text, const Observations& observations) {
  std::vector<std::optional<LevelIndex>> wanted(observations.knobs.size());
  const std::string policy = std::string(fixed_prefix) + std::string(text);
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string_view part = text.substr(at, end - at);
    const std::size_t equal = part.find('=');
    at = end + 1;
    if (equal == std::string_view::npos)
      return fail(Errc::invalid_argument, "not a fixed configuration", policy,
                  "write it like fixed:cut=7,mode=max");
    const std::string_view name = part.substr(0, equal);
    const std::string_view value = part.substr(equal + 1);
    const auto knob = std::find_if(observations.knobs.begin(), observations.knobs.end(),
                                   [&](const core::Knob& k) { return k.name == name; });
    if (knob == observations.knobs.end())
      return fail(Errc::not_found, "the observations have no knob " + std::string(name), policy);
    auto& level = wanted[static_cast<std::size_t>(knob - observations.knobs.begin())];
    level = level_of(*knob, value);
    if (!level)
      return fail(Errc::not_found,
                  "the observations have no " + std::string(name) + " of " + std::string(value),
                  policy);
  }
  std::vector<std::uint32_t> fitting;
  for (std::size_t i = 0; i < observations.configurations.size(); ++i) {
    const auto& levels = observations.configurations[i].levels;
    bool fits = true;
    for (std::size_t k = 0; k < wanted.size(); ++k)
      fits = fits && (!wanted[k] || *wanted[k] == levels[k]);
    if (fits)
      fitting.push_back(static_cast<std::uint32_t>(i));
  }
  if (fitting.empty())
    return fail(Errc::not_found, "the observations have no such configuration", policy);
  if (fitting.size() > 1)
    return fail(Errc::invalid_argument,
                std::to_string(fitting.size()) + " configurations are so described", policy,
                "name more knobs");
  return fitting.front();
}

// Picks by the means of all configurations.
class Oracle {
 public:
  explicit Oracle(const std::vector<ObservedRun>& means) : means_(means) {
    std::vector<std::uint32_t> order(means.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
    const auto key = [&](std::uint32_t i) {
      return std::tuple(means[i].energy, means[i].latency, i);
    };
    std::sort(order.begin(), order.end(), [&](auto a, auto b) { return key(a) < key(b); });
    // What another beats in everything is never picked.
    for (const std::uint32_t i : order)
      if (std::none_of(by_energy_.begin(), by_energy_.end(), [&](std::uint32_t kept) {
            return means[kept].latency <= means[i].latency &&
                   means[kept].accuracy >= means[i].accuracy;
          }))
        by_energy_.push_back(i);
  }

  [[nodiscard]] std::uint32_t pick(const TimedRequest& request) const {
    std::optional<std::uint32_t> fastest;
    for (const std::uint32_t i : by_energy_) {
      if (means_[i].accuracy < request.accuracy_floor)
        continue;
      if (means_[i].latency <= request.deadline)
        return i;
      if (!fastest || means_[i].latency < means_[*fastest].latency)
        fastest = i;
    }
    return fastest.value_or(by_energy_.front());
  }

 private:
  const std::vector<ObservedRun>& means_;
  std::vector<std::uint32_t> by_energy_;
};

class Replay {
 public:
  Replay(const Observations& observations, std::shared_ptr<const ParetoTable> table,
         const std::vector<TimedRequest>& requests, const ReplayOptions& options)
      : observations_(observations),
        table_(std::move(table)),
        requests_(requests),
        options_(options) {
    options_.policy.on_miss = OnMiss::fastest;
  }

  Result<void> prepare() {
    if (!table_ || requests_.empty())
      return fail(Errc::invalid_argument, "no table or no requests", "replay");
    auto rows = configurations_of(*table_, observations_);
    if (!rows)
      return fail(rows);
    rows_ = std::move(*rows);
    if (auto ok = check_floors(); !ok)
      return ok;
    for (const auto& configuration : observations_.configurations) {
      means_.push_back(table::mean_of(configuration));
      sorted_.push_back(configuration.runs);
      std::sort(sorted_.back().begin(), sorted_.back().end(),
                [](const ObservedRun& a, const ObservedRun& b) {
                  return std::pair(a.latency, a.energy) < std::pair(b.latency, b.energy);
                });
    }
    std::mt19937_64 engine(options_.seed);
    for (std::size_t i = 0; i < requests_.size(); ++i)
      uniform_.push_back(static_cast<double>(engine() >> 11) * 0x1p-53);
    // The draws belong to the requests as given.
    order_.resize(requests_.size());
    for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = i;
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return requests_[a].arrival < requests_[b].arrival;
    });
    if ((options_.queueing || options_.budget) && requests_.size() > 1 &&
        requests_[order_.front()].arrival == requests_[order_.back()].arrival)
      return fail(Errc::invalid_argument,
                  "all requests arrive at once, so that queueing and budgets mean nothing",
                  "replay", "give the requests an arrival_ms, as cleave workload does");
    return {};
  }

  Result<table::RunLog> run(const std::string& name) {
    if (name == "oracle") {
      const Oracle oracle(means_);
      return walk(name, [&](const TimedRequest& request) { return oracle.pick(request); });
    }
    if (name.starts_with(fixed_prefix)) {
      const auto index =
          described(std::string_view(name).substr(fixed_prefix.size()), observations_);
      if (!index)
        return fail(index);
      return walk(name, [&](const TimedRequest&) { return *index; });
    }
    const auto policy = make_policy(name, table_, options_.policy);
    if (!policy && policy.error().code == Errc::not_found)
      return fail(Errc::invalid_argument, policy.error().what, name,
                  policy.error().hint + ", oracle and fixed:KNOB=VALUE,...");
    if (!policy)
      return fail(policy);
    return walk_table(name, **policy);
  }

 private:
  // Of the table's rows, by mean runs.
  [[nodiscard]] double least_energy() const {
    double least = std::numeric_limits<double>::infinity();
    for (const table::TableRow& row : table_->rows) least = std::min(least, row.energy.count());
    return least;
  }

  Result<void> check_floors() const {
    double best = 0;
    for (const table::TableRow& row : table_->rows)
      best = std::max(best, row.ingredients.accuracy.value);
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      const double floor = requests_[i].accuracy_floor;
      const std::string where = "request " + std::to_string(i + 1);
      if (floor > 0 && !observations_.has_accuracy)
        return fail(Errc::invalid_argument, "the observations say nothing of accuracy", where,
                    "leave accuracy_floor out");
      // As decide() compares them.
      if (static_cast<float>(floor) > static_cast<float>(best))
        return fail(Errc::invalid_argument, "no row of the table reaches the accuracy floor", where,
                    "lower the floor");
    }
    return {};
  }

  [[nodiscard]] const ObservedRun& drawn(std::uint32_t configuration, std::size_t request) const {
    const std::vector<ObservedRun>& runs = sorted_[configuration];
    const auto rank =
        static_cast<std::size_t>(uniform_[request] * static_cast<double>(runs.size()));
    return runs[std::min(rank, runs.size() - 1)];
  }

  // When the device is free for a request, and what it has waited by then.
  class Device {
   public:
    explicit Device(bool queueing) : queueing_(queueing) {}
    [[nodiscard]] core::Seconds begins(core::Seconds arrival) const {
      return queueing_ ? std::max(arrival, free_) : arrival;
    }
    void runs(core::Seconds from, core::Seconds for_time) { free_ = from + for_time; }

   private:
    const bool queueing_;
    core::Seconds free_;
  };

  [[nodiscard]] table::RequestOutcome outcome_of(std::uint32_t configuration, std::size_t request,
                                                 const ObservedRun& took,
                                                 core::Seconds waited) const {
    table::RequestOutcome out;
    out.request.deadline = requests_[request].deadline;
    out.row = configuration;
    out.label =
        table::describe(observations_.knobs, observations_.configurations[configuration].levels);
    out.parts.edge_compute = took.latency;
    out.latency = waited + took.latency;
    out.energy.edge_compute = took.energy;
    out.energy.origin = options_.origin;
    return out;
  }

  template <class Pick>
  table::RunLog walk(const std::string& name, Pick pick) const {
    table::RunLog log{.policy = name, .boundary = options_.boundary, .outcomes = {}};
    Device device(options_.queueing);
    for (const std::size_t i : order_) {
      const core::Seconds begins = device.begins(requests_[i].arrival);
      const core::Seconds waited = begins - requests_[i].arrival;
      TimedRequest request = requests_[i];
      request.deadline -= waited;
      const std::uint32_t configuration = pick(request);
      const ObservedRun& took = drawn(configuration, i);
      device.runs(begins, took.latency);
      log.outcomes.push_back(outcome_of(configuration, i, took, waited));
      log.outcomes.back().predicted = waited + means_[configuration].latency;
    }
    return log;
  }

  Result<table::RunLog> walk_table(const std::string& name, Policy& policy) const {
    table::RunLog log{.policy = name, .boundary = options_.boundary, .outcomes = {}};
    Device device(options_.queueing);
    std::shared_ptr<EnergyBudget> budget;
    if (options_.budget && name == "cleave") {
      auto made = EnergyBudget::make(*options_.budget, requests_[order_.front()].arrival);
      if (!made)
        return fail(made);
      budget = std::move(*made);
      if (const double least = least_energy(); least > budget->capacity().count())
        return fail(Errc::invalid_argument,
                    "the energy budget never saves up what one request takes, " +
                        std::to_string(least) + " J",
                    "energy budget", "give a larger budget or a longer horizon");
    }
    for (const std::size_t i : order_) {
      const core::Seconds begins = device.begins(requests_[i].arrival);
      const core::Seconds waited = begins - requests_[i].arrival;
      LiveState state{.link = table_->reference};
      if (budget)
        state.energy = budget->state(begins);
      const Decision decision = policy.decide({.deadline = requests_[i].deadline,
                                               .accuracy_floor = requests_[i].accuracy_floor,
                                               .elapsed = waited},
                                              state);
      if (decision.row == no_row) {
        if (!budget)
          return fail(Errc::internal, "the policy refused a request", name);
        log.outcomes.emplace_back();
        log.outcomes.back().request.deadline = requests_[i].deadline;
        log.outcomes.back().row = no_row;
        log.outcomes.back().error = "the energy budget is spent";
        continue;
      }
      const std::uint32_t configuration = rows_[decision.row];
      const ObservedRun& took = drawn(configuration, i);
      device.runs(begins, took.latency);
      log.outcomes.push_back(outcome_of(configuration, i, took, waited));
      log.outcomes.back().predicted = waited + decision.latency;
      Outcome outcome{
          .row = decision.row, .link = table_->reference, .measured = log.outcomes.back().parts};
      // All joules of a table of observations are the edge's, whatever `boundary` calls them; a
      // policy learns nothing from modelled ones.
      const core::Watts drawn_by_table = table_->rows[decision.row].ingredients.edge_busy;
      outcome.energy = MeteredEnergy{{took.energy, core::Boundary::edge, options_.origin},
                                     drawn_by_table * took.latency};
      if (budget) {
        (void)budget->reserve(decision.edge_energy, begins);
        budget->settle(decision.edge_energy, took.energy, begins);
      }
      policy.observe(outcome);
    }
    return log;
  }

  const Observations& observations_;
  std::shared_ptr<const ParetoTable> table_;
  const std::vector<TimedRequest>& requests_;
  ReplayOptions options_;
  std::vector<std::uint32_t> rows_;  // the configuration of each row of the table
  std::vector<ObservedRun> means_;
  std::vector<std::vector<ObservedRun>> sorted_;
  std::vector<double> uniform_;
  std::vector<std::size_t> order_;
};

}  // namespace

Result<std::vector<table::RunLog>> replay(const Observations& observations,
                                          std::shared_ptr<const ParetoTable> table,
                                          const std::vector<TimedRequest>& requests,
                                          std::span<const std::string> policies,
                                          const ReplayOptions& options) {
  if (policies.empty())
    return fail(Errc::invalid_argument, "no policy given", "replay");
  Replay replay(observations, std::move(table), requests, options);
  if (const auto ok = replay.prepare(); !ok)
    return fail(ok);
  std::vector<table::RunLog> logs;
  for (const std::string& policy : policies) {
    auto log = replay.run(policy);
    if (!log)
      return fail(log);
    logs.push_back(std::move(*log));
  }
  return logs;
}

std::size_t distinct_configurations(const table::RunLog& log) {
  std::set<std::uint32_t> seen;
  for (const table::RequestOutcome& outcome : log.outcomes)
    if (outcome.row != no_row)
      seen.insert(outcome.row);
  return seen.size();
}

}  // namespace cleave::inline v0::scheduler
