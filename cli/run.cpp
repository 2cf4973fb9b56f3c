// cleave run: requests on the edge, under one or several policies.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/deadline_range.hpp"
#include "cli/finite.hpp"
#include "cli/foreign.hpp"
#include "cli/host_options.hpp"
#include "cli/interrupt.hpp"
#include "cli/model_options.hpp"
#include "cli/own_time.hpp"
#include "cli/parse.hpp"
#include "cli/progress.hpp"
#include "cli/security_options.hpp"

#include <cleave/core/file.hpp>
#include <cleave/core/top_class.hpp>
#include <cleave/data/inputs.hpp>
#include <cleave/data/npy.hpp>
#include <cleave/device/journal.hpp>
#include <cleave/device/open_meter.hpp>
#include <cleave/device/provenance.hpp>
#include <cleave/model/libraries.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/runtime/cloud_group.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/table/files.hpp>
#include <cleave/table/workload.hpp>

#include <nlohmann/json.hpp>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <deque>
#include <future>
#include <iostream>
#include <map>
#include <thread>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;
using core::Seconds;

struct Options {
  ModelOptions model;
  device::HostOptions host;
  ClientSecurityOptions security;
  std::vector<std::string> clouds;
  std::string table, data, labels, policies = "cleave", deadlines, profile, log, output, learnt,
                                   pause = "10ms", meter = "auto", budget;
  std::size_t requests = 1, block = 20, in_flight = 1;
  std::uint64_t seed = 1;
  double accuracy_floor = 0, confidence = 0.95;
  runtime::Hedge hedge = runtime::Hedge::last_moment;
  bool json = false, quiet = false, explain = false, accept_foreign = false;
};

// An emulated board's energy is not this machine's.
bool can_be_metered(const Options& options) {
  return options.host.emulate_share == 0;
}

// Everything that the requests of all policies share.
class Experiment {
 public:
  Experiment(const Options& options, const Interrupt& interrupt)
      : options_(options), interrupt_(interrupt) {}

  core::Result<void> open() {
    auto model = load_model(options_.model);
    if (!model)
      return fail(model);
    model_ = std::move(*model);
    auto table = table::load_table(options_.table);
    if (!table)
      return fail(table);
    table_ = std::make_shared<const table::ParetoTable>(std::move(*table));
    if (table_->model.structure != model_->fingerprint().structure)
      return fail(Errc::mismatch, "the table was made for another model, " + table_->model_name,
                  options_.table, "profile and optimize this model");
    if (auto here = require_made_here(table_->made_on[core::edge_host], machine_of(options_.model),
                                      "the edge's half of this table", options_.table,
                                      options_.accept_foreign);
        !here)
      return here;
    if (!options_.data.empty()) {
      auto data = data::open_inputs(options_.data,
                                    options_.labels.empty()
                                        ? std::nullopt
                                        : std::optional<std::filesystem::path>(options_.labels));
      if (!data)
        return fail(data);
      data_ = std::move(*data);
    }
    if (!options_.clouds.empty())
      if (auto connected = connect(); !connected)
        return connected;
    auto host = open_host(options_.host, model_);
    if (!host)
      return fail(host);
    host_ = std::move(*host);
    return open_clients();
  }

  core::Result<void> run() {
    const auto range = deadline_range(options_.deadlines, options_.profile, *table_);
    if (!range)
      return fail(range);
    const auto workload = table::weibull_workload(options_.requests, options_.seed, range->shortest,
                                                  range->longest, data_ ? data_->size() : 1);
    if (auto warm = warm_up(workload.front()); !warm)
      return warm;
    explaining_ = options_.explain;
    Progress progress(options_.quiet || options_.explain);
    const auto pause = parse_duration(options_.pause);
    if (!pause)
      return fail(pause);
    const std::size_t total = workload.size() * clients_.size();
    std::size_t done = 0;
    for (std::size_t from = 0, turn = 0; from < workload.size(); from += options_.block, ++turn)
      for (std::size_t p = 0; p < clients_.size(); ++p) {
        // The policies take turns block by block, and each begins a round once in a while, so that
        // a machine that gets slower or faster does so for all of them.
        const std::size_t which = (p + turn) % clients_.size();
        const std::size_t to = std::min(workload.size(), from + options_.block);
        const Seconds start = clock_.now();
        times_[which]->begin();
        for (std::size_t i = from; i < to; ++i) {
          if (interrupt_.requested())
            return fail(Errc::cancelled, "interrupted");
          std::this_thread::sleep_for(std::chrono::duration<double>(pause->count()));
          if (auto one = begin(which, workload[i]); !one)
            return one;
          progress.update(double(++done) / double(total), "requests");
        }
        if (auto rest = end_all(which); !rest)
          return rest;
        times_[which]->end();
        took_[which] += clock_.now() - start;
      }
    progress.finish();
    return {};
  }

  // For the next run.
  core::Result<void> keep_learnt() const {
    if (options_.learnt.empty())
      return {};
    return core::write_file(options_.learnt, clients_[learner_]->learnt());
  }

  [[nodiscard]] const std::vector<table::RunLog>& logs() const { return logs_; }
  // Of one policy, pauses included.
  [[nodiscard]] double requests_per_second(std::size_t which) const {
    return static_cast<double>(logs_[which].outcomes.size()) / took_[which].count();
  }
  // What a policy's requests took of the edge; nothing without a budget.
  [[nodiscard]] std::optional<core::Joules> budgeted(std::size_t which) const {
    return which < budgets_.size() ? std::optional(budgets_[which]->spent()) : std::nullopt;
  }
  [[nodiscard]] const core::Values& last_outputs() const { return last_outputs_; }
  [[nodiscard]] bool has_data() const { return data_.has_value(); }

 private:
  // At least one of the clouds must be there; the others may come later.
  core::Result<void> connect() {
    const auto security = client_security(options_.security);
    if (!security)
      return fail(security);
    std::vector<std::shared_ptr<runtime::CloudLink>> links;
    for (const std::string& cloud : options_.clouds) {
      const auto address = parse_address(cloud);
      if (!address)
        return fail(address);
      runtime::CloudLinkOptions link;
      link.host = address->host;
      link.port = address->port;
      link.security = *security;
      links.push_back(std::make_shared<runtime::CloudLink>(link));
    }
    auto group = runtime::CloudGroup::make({links.begin(), links.end()});
    if (!group)
      return fail(group);
    cloud_ = std::move(*group);
    std::vector<core::Error> away;
    for (const auto& link : links)
      if (auto connected = link->wait_connected(Seconds(cloud_->reachable() ? 0.5 : 3)); !connected)
        away.push_back(connected.error());
    if (!cloud_->reachable())
      return tl::unexpected<core::Error>(away.front());
    for (const core::Error& error : away) print_error(error);
    for (const auto& link : links)
      if (auto same = check_cloud(*link); !same)
        return same;
    return cloud_->require(model_->fingerprint());
  }

  // A cloud may have any name: machines behind one address come and go.
  core::Result<void> check_cloud(runtime::CloudLink& link) const {
    if (!link.reachable())
      return {};
    auto there = profiler::machine_of(link);
    if (!there)
      return fail(there);
    there->machine.clear();
    return require_made_here(table_->made_on[core::cloud_host], *there,
                             "the cloud's half of this table (now " + link.where() + ")",
                             options_.table, options_.accept_foreign);
  }

  core::Result<void> open_clients() {
    std::shared_ptr<device::Meter> meter;
    if (options_.meter != "none" && can_be_metered(options_)) {
      auto opened = device::open_meter(options_.meter);
      if (!opened && options_.meter != "auto")
        return fail(opened);
      if (opened)
        meter = std::move(*opened);
    }
    std::optional<scheduler::EnergyBudgetOptions> budget;
    if (!options_.budget.empty()) {
      const auto parsed = scheduler::parse_energy_budget(options_.budget);
      if (!parsed)
        return fail(parsed);
      budget = *parsed;
    }
    for (const std::string& policy : split_list(options_.policies)) {
      times_.push_back(std::make_shared<OwnTime>());
      runtime::EdgeOptions edge;
      edge.clock = times_.back();
      if (budget) {
        auto made = scheduler::EnergyBudget::make(*budget, times_.back()->now());
        if (!made)
          return fail(made);
        edge.budget = *made;
        budgets_.push_back(std::move(*made));
      }
      edge.model = on_host(*host_, model_);
      edge.table = table_;
      edge.knobs = host_->knobs;
      edge.cloud = cloud_;
      edge.meter = meter;
      edge.policy = policy;
      edge.policy_options.confidence = options_.confidence;
      edge.hedge = options_.hedge;
      edge.workers = options_.in_flight > 1 ? static_cast<int>(options_.in_flight) : 0;
      auto client = runtime::EdgeClient::open(std::move(edge));
      if (!client)
        return fail(client);
      clients_.push_back(std::move(*client));
      logs_.push_back({policy, table_->boundary, {}});
      took_.emplace_back();
    }
    if (clients_.empty())
      return fail(Errc::invalid_argument, "no policy given", "--policies");
    return options_.learnt.empty() ? core::Result<void>() : go_on_from_learnt();
  }

  core::Result<void> go_on_from_learnt() {
    while (learner_ < logs_.size() && logs_[learner_].policy != "cleave") ++learner_;
    if (learner_ == logs_.size())
      return fail(Errc::invalid_argument, "of the policies only cleave learns", "--learnt",
                  "add it to --policies");
    const auto learnt = core::read_file(options_.learnt, most_learnt);
    if (!learnt && learnt.error().code == Errc::not_found)
      return {};  // the first time
    if (!learnt)
      return fail(learnt);
    if (auto restored = clients_[learner_]->restore(*learnt); !restored) {
      core::Error error = restored.error();
      error.where = options_.learnt;
      return tl::unexpected(error);
    }
    return {};
  }

  // The first request of a process makes its control group and fills caches; none of the counted
  // ones should pay for that.
  core::Result<void> warm_up(const table::RequestSpec& spec) {
    for (std::size_t which = 0; which < clients_.size(); ++which) {
      times_[which]->begin();
      if (auto one = begin(which, spec); !one)
        return one;
      if (auto rest = end_all(which); !rest)
        return rest;
      times_[which]->end();
      logs_[which].outcomes.clear();
      if (which < budgets_.size())
        budgets_[which]->restart(times_[which]->now());
    }
    return {};
  }

  // Waits for the oldest request if as many are in flight as may be.
  core::Result<void> begin(std::size_t which, const table::RequestSpec& spec) {
    runtime::Request request;
    table::RequestOutcome outcome;
    outcome.request = spec;
    if (data_) {
      auto input = data_->input(spec.input, model_->inputs().front().sizes);
      if (!input)
        return fail(input);
      request.inputs = {std::move(*input)};
      outcome.label_class = data_->label(spec.input);
    } else {
      request.inputs = model_->example_inputs(spec.input);
    }
    request.deadline = spec.deadline;
    request.accuracy_floor = options_.accuracy_floor;
    request.explain = options_.explain;
    if (options_.in_flight == 1)
      return end(which, std::move(outcome), clients_[which]->infer(request));
    if (in_flight_.size() == options_.in_flight)
      if (auto oldest = end_oldest(which); !oldest)
        return oldest;
    in_flight_.emplace_back(std::move(outcome), clients_[which]->submit(std::move(request)));
    return {};
  }

  core::Result<void> end_oldest(std::size_t which) {
    auto [outcome, reply] = std::move(in_flight_.front());
    in_flight_.pop_front();
    return end(which, std::move(outcome), reply.get());
  }

  core::Result<void> end_all(std::size_t which) {
    while (!in_flight_.empty())
      if (auto oldest = end_oldest(which); !oldest)
        return oldest;
    return {};
  }

  core::Result<void> end(std::size_t which, table::RequestOutcome outcome,
                         core::Result<runtime::Reply> reply) {
    if (!reply) {
      // A refusal or a failed knob is this request's outcome; a model that cannot run is the end.
      if (reply.error().code != Errc::refused)
        return fail(reply);
      outcome.error = reply.error().message();
      explain(which, reply.error().hint);
    } else {
      explain(which, reply->explanation);
      const table::TableRow& row = table_->rows[reply->decision.row];
      outcome.row = reply->decision.row;
      outcome.label = row.label;
      outcome.decided = scheduler::kind_of(row);
      outcome.fell_back = reply->fell_back;
      outcome.latency = reply->total;
      outcome.parts = reply->latency;
      outcome.energy = reply->energy;
      outcome.predicted = reply->decision.latency;
      outcome.predicted_class = core::top_class(reply->outputs);
      last_outputs_ = std::move(reply->outputs);
    }
    logs_[which].outcomes.push_back(std::move(outcome));
    return {};
  }

  // Before the request's outcome is logged. Standard output is JSON's, if that was asked for.
  void explain(std::size_t which, const std::string& text) const {
    if (explaining_)
      std::fprintf(options_.json ? stderr : stdout, "%s, request %zu: %s\n",
                   logs_[which].policy.c_str(), logs_[which].outcomes.size() + 1, text.c_str());
  }

  static constexpr std::size_t most_learnt = std::size_t{64} << 20;  // bytes

  const Options& options_;
  const Interrupt& interrupt_;
  std::size_t learner_ = 0;  // of the clients, with --learnt
  bool explaining_ = false;  // not while it warms up
  std::shared_ptr<const model::Model> model_;
  std::shared_ptr<const table::ParetoTable> table_;
  std::optional<data::LabelledInputs> data_;
  std::shared_ptr<runtime::CloudGroup> cloud_;
  std::unique_ptr<device::Host> host_;
  std::vector<std::unique_ptr<runtime::EdgeClient>> clients_;
  std::vector<table::RunLog> logs_;
  const core::SteadyClock clock_;
  std::vector<Seconds> took_;                    // by each policy's requests
  std::vector<std::shared_ptr<OwnTime>> times_;  // of each policy, and its budget
  std::vector<std::shared_ptr<scheduler::EnergyBudget>> budgets_;
  std::deque<std::pair<table::RequestOutcome, std::future<core::Result<runtime::Reply>>>>
      in_flight_;  // of the policy whose turn it is, the oldest first
  core::Values last_outputs_;
};

void print_one(const table::RequestOutcome& outcome, core::Boundary boundary) {
  if (!outcome.error.empty()) {
    std::printf("%s\n", outcome.error.c_str());
    return;
  }
  std::printf("class %d, %s (deadline %s, %s), %s %s (%s), %s%s\n", outcome.predicted_class,
              report::format(outcome.latency).c_str(),
              report::format(outcome.request.deadline).c_str(), outcome.met() ? "met" : "missed",
              report::format(outcome.energy.total(boundary)).c_str(),
              std::string(to_string(boundary)).c_str(),
              std::string(to_string(outcome.energy.origin)).c_str(), outcome.label.c_str(),
              outcome.fell_back ? "; the cloud failed, finished on the edge" : "");
}

core::Result<void> run(const Options& options) {
  const device::Recovery recovery = device::recover(device::default_state_dir());
  for (const core::Error& error : recovery.errors) print_error(error);
  if (options.in_flight > 1 && options.host.emulate_share > 0 &&
      options.host.emulate_by == device::Emulation::quota)
    return fail(Errc::invalid_argument,
                "a quota limits one thread, and requests in flight have one each", "--in-flight",
                "emulate the share by pace (--emulate-by pace)");
  if (options.meter != "auto" && options.meter != "none" && !can_be_metered(options))
    return fail(Errc::invalid_argument,
                "a meter counts this machine and all that it does, not an emulated board's energy",
                "--meter");
  const Interrupt interrupt;
  Experiment experiment(options, interrupt);
  if (auto opened = experiment.open(); !opened)
    return opened;
  const auto done = experiment.run();
  // An interrupted run has learnt, too.
  if (auto kept = experiment.keep_learnt(); !kept)
    return kept;
  if (!done)
    return done;
  const auto& logs = experiment.logs();
  if (!options.log.empty())
    if (auto written = core::write_file(options.log, table::to_json(logs)); !written)
      return written;
  if (!options.output.empty()) {
    const core::Tensor* tensor = nullptr;
    for (const core::Value& value : experiment.last_outputs())
      if (tensor == nullptr)
        tensor = value.tensor();
    if (tensor == nullptr)
      return fail(Errc::unsupported, "the model's first output is not a tensor", options.output);
    if (auto saved = data::save_npy(*tensor, options.output); !saved)
      return saved;
  }
  if (options.json) {
    std::cout << table::to_json(logs) << '\n';
  } else if (options.requests == 1) {
    for (const table::RunLog& log : logs) print_one(log.outcomes.front(), log.boundary);
  } else {
    std::vector<table::RunSummary> summaries;
    for (const table::RunLog& log : logs) summaries.push_back(table::summarise(log));
    std::cout << report::policy_table(summaries);
    for (std::size_t i = 0; i < logs.size(); ++i)
      if (const auto spent = experiment.budgeted(i))
        std::printf("%s took %s of the edge (budget %s)\n", logs[i].policy.c_str(),
                    report::format(*spent).c_str(), options.budget.c_str());
    if (options.in_flight > 1) {
      std::printf("%zu in flight, requests a second:", options.in_flight);
      for (std::size_t i = 0; i < logs.size(); ++i)
        std::printf("%s %s %.1f", i > 0 ? "," : "", logs[i].policy.c_str(),
                    experiment.requests_per_second(i));
      std::printf("\n");
    }
  }
  return {};
}

}  // namespace

void add_run(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("run", summary_of("run"));
  add_model_options(*command, options->model, false);
  command->add_option("--table", options->table, "A table made by cleave optimize")->required();
  command
      ->add_option("--cloud", options->clouds,
                   "host:port of `cleave serve` (none: everything runs on the edge); given several "
                   "times, each request goes where it is expected to be finished first, and to "
                   "another one if that fails")
      ->allow_extra_args(false);
  add_client_security(*command, options->security);
  command->add_option("--data", options->data,
                      "Inputs: an image, a folder of images, IDX, .npy or CSV (none: random)");
  command->add_option("--labels", options->labels, "Their classes: IDX, .npy or CSV");
  command->add_option("--requests", options->requests, "How many requests each policy runs")
      ->check(CLI::Range(1, 10'000'000))
      ->capture_default_str();
  command
      ->add_option("--policies,--policy", options->policies,
                   "Of cleave, all-cloud, all-edge, fastest, frugal, dynasplit; all run the same "
                   "requests")
      ->capture_default_str();
  command->add_option("--deadlines,--deadline", options->deadlines,
                      "One deadline, or shortest:longest of a Weibull distribution, as 20ms:400ms "
                      "(default: see --profile)");
  command->add_option("--profile", options->profile,
                      "Take the range of deadlines from the configurations of this profile "
                      "(default: from the rows of the table)");
  command
      ->add_option("--accuracy-floor", options->accuracy_floor,
                   "Use only configurations that are right at least so often")
      ->check(CLI::Range(0.0, 1.0) & finite());
  command->add_option("--confidence", options->confidence, "How sure a deadline is to be met")
      ->check(CLI::Range(0.5, 0.9999) & finite())
      ->capture_default_str();
  command
      ->add_option("--hedge", options->hedge,
                   "When the edge begins beside a cloud that has not answered: at the last-moment "
                   "for the deadline, or not before the reply is overdue")
      ->transform(one_of<runtime::Hedge>(
          {{"last-moment", runtime::Hedge::last_moment}, {"overdue", runtime::Hedge::overdue}}))
      ->default_str("last-moment");
  command->add_option("--block", options->block, "Requests before the policies take turns")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--pause", options->pause, "Idle time before each request")
      ->capture_default_str();
  command
      ->add_option("--in-flight", options->in_flight,
                   "Requests under way at once: one computes here while those before it travel or "
                   "wait for the cloud (with --pause 0ms: as fast as the slowest of these allows)")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command
      ->add_option("--meter", options->meter,
                   "The edge's energy: auto, none (modelled), rapl, battery:NAME, nvml:N, "
                   "hwmon:CHIP/RAIL, command:watts:COMMAND, command:joules:COMMAND; commas add up. "
                   "Requests in flight share what it counts")
      ->capture_default_str();
  command->add_option(
      "--energy-budget", options->budget,
      "What cleave may take of the edge's energy: a rate (500J/h, 2W), or a battery "
      "and how long it is to last (20kJ:4h). Deadlines that cost most are given up "
      "first, then requests refused; each policy has its own");
  command->add_option("--seed", options->seed, "Of deadlines and inputs")->capture_default_str();
  command->add_option("--learnt", options->learnt,
                      "Go on from what the policy cleave has learnt, if this file is there, and "
                      "write it back in the end");
  add_accept_foreign(*command, options->accept_foreign);
  command->add_option("--log", options->log, "Write every request's outcome (JSON)");
  command->add_option("-o,--output", options->output, "Write the last request's output (.npy)");
  command->add_flag("--explain", options->explain,
                    "A line for each request: why its configuration, and not a cheaper one");
  command->add_flag("--quiet", options->quiet, "No progress");
  add_host_options(*command, options->host, core::edge_host);
  add_json_flag(*command, options->json);
  command->footer(
      "If the link or the cloud fails, the edge finishes the request itself.\n\n"
      "Examples:\n"
      "  cleave run --model m.pt --table m.table --cloud cloud:7070 --data cat.png --deadline "
      "80ms\n"
      "  cleave run --model m.pt --table m.table --cloud cloud:7070 --data images/ --requests 300 "
      "\\\n"
      "      --policies cleave,all-cloud,all-edge --log run.json");
  command->callback([options, &result] {
    if (const auto done = run(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
