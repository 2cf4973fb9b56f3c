// cleave profile: measures a model on the edge, in the cloud and over the link.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/finite.hpp"
#include "cli/foreign.hpp"
#include "cli/host_options.hpp"
#include "cli/interrupt.hpp"
#include "cli/model_options.hpp"
#include "cli/parse.hpp"
#include "cli/profile_diff.hpp"
#include "cli/profile_merge.hpp"
#include "cli/profile_validate.hpp"
#include "cli/progress.hpp"
#include "cli/security_options.hpp"

#include <cleave/data/inputs.hpp>
#include <cleave/device/journal.hpp>
#include <cleave/device/measure_power.hpp>
#include <cleave/device/open_meter.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/profiler/validation.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/table/files.hpp>

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <random>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

struct Options {
  ModelOptions model;
  device::HostOptions host;
  ClientSecurityOptions security;
  std::string cloud, data, labels, codecs = "raw,fp16,int8,q4,int4,int2", out, checked,
                                   meter = "none", transfer_from;
  std::vector<std::string> diff;
  MergeFiles merge;
  std::size_t samples = 200;
  std::string time_budget;
  int passes = 20, held_out = 30, measure_levels = 0, validate = 0, probes = 5;
  double limit = 0, cool_below = 75;
  std::uint64_t seed = 1;
  bool json = false, quiet = false, every_cut = false, accept_foreign = false, resume = false,
       restart = false;

  // Beside the profile, until that is whole.
  [[nodiscard]] std::filesystem::path partial() const { return out + ".partial"; }
};

// A fixed random choice of the data, so that two profiles count on the same samples.
core::Result<std::vector<profiler::Sample>> draw_samples(const Options& options,
                                                         const model::Model& model) {
  std::vector<profiler::Sample> samples;
  if (options.data.empty())
    return samples;
  const auto data = data::open_inputs(
      options.data,
      options.labels.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.labels));
  if (!data)
    return fail(data);
  std::mt19937_64 random(options.seed);
  for (std::size_t i = 0; i < std::min(options.samples, data->size()); ++i) {
    const std::size_t which = options.samples < data->size() ? random() % data->size() : i;
    auto input = data->input(which, model.inputs().front().sizes);
    if (!input)
      return fail(input);
    samples.push_back({{std::move(*input)}, data->label(which)});
  }
  return samples;
}

// What the meter sees of this machine at every setting, in the place of the board's watts.
core::Result<void> meter_power(const Options& options, const core::Executable& model,
                               const core::Values& example, device::Arbiter& knobs,
                               profiler::ProfileOptions& profiling) {
  if (options.host.emulate_share > 0)
    return fail(Errc::invalid_argument,
                "a meter counts this machine, not the board that it emulates", "--meter",
                "leave --meter or --emulate-share out");
  const auto meter = device::open_meter(options.meter);
  if (!meter)
    return fail(meter);
  Progress progress(options.quiet);
  device::PowerMeasurement measurement;
  measurement.stop = profiling.stop;
  measurement.progress = [&](double part) { progress.update(part, "power"); };
  measurement.work = [&]() -> core::Result<void> {
    if (const auto ran = model.run(model.cuts().front().id, model.cuts().back().id, example); !ran)
      return fail(ran);
    return {};
  };
  auto power = device::measure_power(**meter, knobs, core::SteadyClock(), measurement);
  progress.finish();
  if (!power)
    return fail(power);
  profiling.edge.power = std::move(*power);
  profiling.edge.source = "measured by " + (*meter)->name();
  return {};
}

std::string host_name() {
  char name[256] = "";
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "edge";
}

void print_held_out(const char* where, const table::PredictionError& error) {
  std::printf(
      "prediction error over %u held-out configurations%s: median %s, p90 %s "
      "(repeating the same measurement: %s, %s)\n",
      error.configurations, where, report::percent(error.median_relative).c_str(),
      report::percent(error.p90_relative).c_str(),
      report::percent(error.repeat_median_relative).c_str(),
      report::percent(error.repeat_p90_relative).c_str());
}

// What disturbed a host while it was measured, if it did.
void print_conditions(const char* name, const table::HostProfile& host) {
  const table::Conditions& seen = host.conditions;
  std::uint64_t passes = 0, outliers = 0;
  for (const table::Setting& setting : host.settings) {
    passes += setting.whole.samples;
    outliers += setting.outliers;
  }
  if (seen.others >= 0)
    std::printf(
        "%s, while it was measured: other programs used %s of its CPUs (at most %s), the "
        "hypervisor took %s",
        name, report::percent(seen.others).c_str(), report::percent(seen.busiest).c_str(),
        report::percent(std::max(0.0, seen.steal)).c_str());
  if (seen.others >= 0 && seen.temperature >= 0)
    std::printf(", at most %.0f degrees Celsius", seen.temperature);
  if (seen.waited > core::Seconds(1))
    std::printf(", waited %s to cool down", report::format(seen.waited).c_str());
  if (seen.others >= 0 && outliers > 0)
    std::printf("; %llu of %llu passes lie far off", static_cast<unsigned long long>(outliers),
                static_cast<unsigned long long>(passes));
  if (seen.others >= 0)
    std::printf("\n");
  constexpr double much = 0.1;
  if (seen.others > much || seen.steal > much)
    std::fprintf(
        stderr,
        "cleave: %s: it was busy with other work, so the times are too long (measure again "
        "when nothing else runs)\n",
        name);
}

void print(const table::Profile& profile, bool transferred, const std::string& out) {
  const auto across = std::count_if(profile.cuts.begin(), profile.cuts.end(),
                                    [](const table::CutProfile& cut) { return !cut.head.empty(); });
  std::printf(
      "%s: %zu steps, %zu cuts (%td across branches); edge %zu settings, cloud %zu settings\n",
      profile.model_name.c_str(), profile.hosts[0].settings.front().steps.size(),
      profile.cuts.size(), across, profile.hosts[0].settings.size(),
      profile.hosts[1].settings.size());
  std::printf("link: %s up, %s down, round trip %s (deviation %s), overhead of a request %s\n",
              report::format(profile.link.up).c_str(), report::format(profile.link.down).c_str(),
              report::format(profile.link.round_trip).c_str(),
              report::format(profile.link.round_trip_spread).c_str(),
              report::format(profile.link.overhead).c_str());
  print_conditions("the edge", profile.hosts[core::edge_host]);
  print_conditions("the cloud", profile.hosts[core::cloud_host]);
  print_held_out("", profile.error);
  if (const table::LevelFit& fit = profile.hosts[0].fit; fit.left_out > 0) {
    print_held_out(" at predicted levels", profile.predicted_error);
    std::printf("%s left out and predicted: error of %u settings median %s, worst %s\n",
                transferred ? "probes" : "levels", fit.left_out,
                report::percent(fit.median_relative).c_str(),
                report::percent(fit.worst_relative).c_str());
  }
  std::printf("wrote %s\n", out.c_str());
}

// What measuring needs: the model, its inputs, the cloud and this host.
struct Session {
  std::shared_ptr<const model::Model> model;
  std::vector<profiler::Sample> samples;
  std::unique_ptr<runtime::CloudLink> cloud;
  std::unique_ptr<device::Host> host;

  [[nodiscard]] core::Values example() const {
    return samples.empty() ? model->example_inputs() : samples.front().inputs;
  }
};

core::Result<Session> open_session(const Options& options) {
  Session session;
  auto model = load_model(options.model);
  if (!model)
    return fail(model);
  session.model = std::move(*model);
  auto samples = draw_samples(options, *session.model);
  if (!samples)
    return fail(samples);
  session.samples = std::move(*samples);
  const auto address = parse_address(options.cloud);
  if (!address)
    return fail(address);
  auto security = client_security(options.security);
  if (!security)
    return fail(security);
  runtime::CloudLinkOptions link;
  link.host = address->host;
  link.port = address->port;
  link.security = std::move(*security);
  session.cloud = std::make_unique<runtime::CloudLink>(link);
  if (auto connected = session.cloud->wait_connected(core::Seconds(3)); !connected)
    return fail(connected);
  if (auto serves = session.cloud->require(session.model->fingerprint()); !serves)
    return fail(serves);
  auto host = open_host(options.host, session.model);
  if (!host)
    return fail(host);
  session.host = std::move(*host);
  return session;
}

constexpr core::Seconds idle_gap = core::milliseconds(10);

// The profile must be of these two machines, or accepted though it is not.
core::Result<void> check_machines(const Options& options, const table::Profile& profile,
                                  exec::Remote& cloud) {
  if (auto here = require_made_here(profile.hosts[core::edge_host].made_on,
                                    machine_of(options.model), "the edge's half of this profile",
                                    options.checked, options.accept_foreign);
      !here)
    return here;
  auto there = profiler::machine_of(cloud);
  if (!there)
    return fail(there);
  there->machine.clear();
  return require_made_here(profile.hosts[core::cloud_host].made_on, *there,
                           "the cloud's half of this profile", options.checked,
                           options.accept_foreign);
}

core::Result<void> validate(const Options& options, int& result) {
  if (options.checked.empty() || !options.out.empty())
    return fail(Errc::invalid_argument,
                "--validate checks the profile that --profile names, and writes none",
                "--validate");
  const auto profile = table::load_profile(options.checked);
  if (!profile)
    return fail(profile);
  const Interrupt interrupt;
  const auto session = open_session(options);
  if (!session)
    return fail(session);
  if (auto same = check_machines(options, *profile, *session->cloud); !same)
    return same;
  Progress progress(options.quiet);
  profiler::ValidateOptions validating;
  validating.configurations = options.validate;
  validating.idle_gap = idle_gap;
  validating.slice = session->host->slice;
  validating.seed = options.seed;
  validating.stop = interrupt.token();
  validating.progress = [&](double fraction) { progress.update(fraction, "requests"); };
  const auto report = profiler::validate_profile(*profile, on_host(*session->host, session->model),
                                                 session->example(), *session->host->knobs,
                                                 *session->cloud, validating);
  progress.finish();
  if (!report)
    return fail(report);
  print_validation(*profile, *report, options.json);
  if (options.limit > 0 &&
      std::max(report->measured.median_relative, report->predicted.median_relative) > options.limit)
    result = differs;
  return {};
}

core::Result<void> profile(const Options& options) {
  if (options.out.empty())
    return fail(Errc::invalid_argument, "--output is required", "profile", "name it with -o");
  core::Seconds time_budget;
  if (!options.time_budget.empty()) {
    const auto parsed = parse_duration(options.time_budget);
    if (!parsed)
      return fail(parsed);
    if (!(*parsed > core::Seconds(0)))
      return fail(Errc::invalid_argument, "nothing can be measured in no time", "--time-budget",
                  "leave it out for no limit");
    time_budget = *parsed;
  }
  std::error_code ignored;
  if (!options.resume && !options.restart && std::filesystem::exists(options.partial(), ignored))
    return fail(Errc::invalid_argument, "a profile was begun here and not finished",
                options.partial().string(), "go on with --resume, or begin anew with --restart");
  const Interrupt interrupt;
  const auto session = open_session(options);
  if (!session)
    return fail(session);
  const auto& host = session->host;

  Progress progress(options.quiet);
  profiler::ProfileOptions profiling;
  profiling.model_name = session->model->name();
  profiling.codecs = split_list(options.codecs);
  profiling.samples = session->samples;
  profiling.held_out = options.held_out;
  profiling.seed = options.seed;
  profiling.every_cut = options.every_cut;
  profiling.time_limit = time_budget;
  profiling.partial = options.partial();
  profiling.resume = options.resume;
  profiling.stop = interrupt.token();
  profiling.progress = [&](double fraction, std::string_view phase) {
    progress.update(fraction, phase);
  };
  profiling.edge.name = host_name();
  profiling.edge.board = host->board.name;
  profiling.edge.source = host->board.citation();
  profiling.edge.made_on = machine_of(options.model);
  profiling.edge.power = host->power;
  profiling.edge.slice = host->slice;
  profiling.edge.measure_levels = options.measure_levels;
  if (!options.transfer_from.empty()) {
    auto source = table::load_profile(options.transfer_from);
    if (!source)
      return fail(source);
    profiling.edge.transfer_from = std::make_shared<table::Profile>(std::move(*source));
    profiling.edge.probes = options.probes;
  }
  profiling.edge.min_passes = options.passes;
  profiling.edge.seed = options.seed;
  profiling.edge.idle_gap = idle_gap;
  profiling.edge.load = std::make_shared<device::LoadSensor>();
  profiling.edge.cool_below = options.cool_below;
  if (const device::Radio* radio = host->radio) {
    profiling.transmit = [radio](core::BytesPerSecond rate) { return radio->transmit_at(rate); };
    profiling.receive = [radio](core::BytesPerSecond rate) { return radio->receive_at(rate); };
  }
  if (options.meter != "none")
    if (auto metered =
            meter_power(options, *session->model, session->example(), *host->knobs, profiling);
        !metered)
      return metered;
  const auto measured = profiler::profile(on_host(*host, session->model), session->example(),
                                          *host->knobs, *session->cloud, profiling);
  progress.finish();
  if (!measured) {
    const Errc code = measured.error().code;
    const bool usable = code != Errc::corrupt && code != Errc::mismatch && code != Errc::in_use;
    if (usable && std::filesystem::exists(options.partial(), ignored))
      std::fprintf(stderr, "cleave: %s: what was measured so far (go on with --resume)\n",
                   options.partial().c_str());
    return fail(measured);
  }
  if (auto saved = table::save(*measured, options.out); !saved)
    return saved;
  std::filesystem::remove(options.partial(), ignored);
  if (options.json)
    std::cout << table::to_json(*measured) << '\n';
  else
    print(*measured, !options.transfer_from.empty(), options.out);
  return {};
}

core::Result<void> run(const Options& options, int& result) {
  if (!options.diff.empty())
    return print_diff(options.diff[0], options.diff[1], options.json);
  if (!options.merge.inputs.empty())
    return merge_profiles(options.merge, options.out, options.json);
  const device::Recovery recovery = device::recover(device::default_state_dir());
  for (const core::Error& error : recovery.errors) print_error(error);
  return options.validate > 0 ? validate(options, result) : profile(options);
}

}  // namespace

void add_profile(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("profile", summary_of("profile"));
  add_model_options(*command, options->model, true);
  command->add_option("--cloud", options->cloud, "host:port of `cleave serve`")->required();
  command->add_option("-o,--output", options->out,
                      "The profile to write (required unless --validate or --diff is given)");
  command->add_option("--codecs", options->codecs, "Codecs to measure")->capture_default_str();
  command->add_option("--data", options->data,
                      "Inputs for accuracy: a folder of images, IDX, .npy or CSV (none: only "
                      "lossless codecs can be used)");
  command->add_option("--labels", options->labels,
                      "Their classes (none: agreement with the model itself counts)");
  command->add_option("--samples", options->samples, "Inputs that accuracy is counted on")
      ->capture_default_str();
  command->add_option("--passes", options->passes, "Passes per setting, at least")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  command
      ->add_option("--held-out", options->held_out,
                   "Configurations measured to check the predictions")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  command
      ->add_option("--measure-levels", options->measure_levels,
                   "Of a frequency or a share of the CPU, measure so many levels and predict the "
                   "others (0: measure all)")
      ->check(CLI::Range(3, 1000) | CLI::IsMember({0}))
      ->capture_default_str();
  auto* transfer_option =
      command
          ->add_option(
              "--transfer-from", options->transfer_from,
              "A profile of this model from a similar device: measure the edge at --probes "
              "settings only, and predict the others by how the two devices compare")
          ->type_name("PROFILE");
  command->add_option("--probes", options->probes, "Settings to measure with --transfer-from")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str()
      ->needs(transfer_option);
  command->add_option("--time-budget", options->time_budget,
                      "What all of it may take, as 3min: fewer samples, passes and checked "
                      "configurations then (none: as long as they need)");
  command
      ->add_option("--cool-below", options->cool_below,
                   "Let the edge cool down to this, in degrees Celsius, before each stretch of "
                   "passes, for up to 20 s (0: never)")
      ->check(CLI::NonNegativeNumber & finite())
      ->capture_default_str();
  auto* resume_flag =
      command->add_flag("--resume", options->resume, "Go on with the profile that was interrupted");
  command
      ->add_flag("--restart", options->restart,
                 "Begin anew, though a profile was begun here and interrupted")
      ->excludes(resume_flag);
  auto* validate_option =
      command
          ->add_option("--validate", options->validate,
                       "Write no profile: run so many random configurations of --profile, and "
                       "compare with what it predicts")
          ->check(CLI::Range(1, 10000));
  command->add_option("--profile", options->checked, "The profile that --validate checks")
      ->needs(validate_option);
  command
      ->add_option("--limit", options->limit,
                   "--validate ends with exit code 6 if a median error is larger than this, as 0.1")
      ->check(CLI::PositiveNumber & finite())
      ->needs(validate_option);
  add_accept_foreign(*command, options->accept_foreign)->needs(validate_option);
  add_diff_option(*command, options->diff);
  add_merge_options(*command, options->merge);
  command
      ->add_option("--meter", options->meter,
                   "Measure the edge's power at each setting: rapl, battery:NAME, nvml:N, "
                   "hwmon:CHIP/RAIL, command:watts:COMMAND, command:joules:COMMAND; commas add up "
                   "(none: the board's watts)")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of samples and held-out configurations")
      ->capture_default_str();
  command->add_flag("--every-cut", options->every_cut,
                    "Keep the cuts that no setting, link, codec or weight of energy prefers, too");
  command->add_flag("--quiet", options->quiet, "No progress");
  add_client_security(*command, options->security);
  add_host_options(*command, options->host, core::edge_host);
  add_json_flag(*command, options->json);
  command->footer(
      "Ctrl-C restores every setting and leaves what was measured in OUTPUT.partial; the same "
      "command with --resume goes on from there.\n\n"
      "Example:\n"
      "  cleave profile m.pt --cloud cloud:7070 --board raspberry_pi_4 --radio wifi \\\n"
      "      --data images/ --time-budget 5min -o m.profile\n"
      "  cleave profile m.pt --cloud cloud:7070 --validate 20 --profile m.profile\n"
      "  cleave profile m.pt --cloud cloud:7070 --board raspberry_pi_4 -o second.profile \\\n"
      "      --transfer-from m.profile --probes 4\n"
      "  cleave profile --diff m.profile yesterday.profile\n"
      "  cleave profile --merge camera.profile rack.profile --edge-from camera.profile \\\n"
      "      --cloud-from rack.profile --link-from camera.profile -o both.profile");
  command->callback([options, &result] {
    if (const auto done = run(*options, result); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
