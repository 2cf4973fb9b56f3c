// cleave profile: measures a model on the edge, in the cloud and over the link.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/host_options.hpp"
#include "cli/interrupt.hpp"
#include "cli/model_options.hpp"
#include "cli/parse.hpp"
#include "cli/progress.hpp"
#include "cli/security_options.hpp"

#include <cleave/data/inputs.hpp>
#include <cleave/device/journal.hpp>
#include <cleave/device/measure_power.hpp>
#include <cleave/device/open_meter.hpp>
#include <cleave/profiler/profiler.hpp>
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
  std::string cloud, data, labels, codecs = "raw,fp16,int8,q4,int4,int2", out, meter = "none";
  std::size_t samples = 200;
  int passes = 20, held_out = 30;
  std::uint64_t seed = 1;
  bool json = false, quiet = false, every_cut = false;
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

void print(const table::Profile& profile, const std::string& out) {
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
  std::printf(
      "prediction error over %u held-out configurations: median %s, p90 %s "
      "(repeating the same measurement: %s, %s)\n",
      profile.error.configurations, report::percent(profile.error.median_relative).c_str(),
      report::percent(profile.error.p90_relative).c_str(),
      report::percent(profile.error.repeat_median_relative).c_str(),
      report::percent(profile.error.repeat_p90_relative).c_str());
  std::printf("wrote %s\n", out.c_str());
}

core::Result<void> profile(const Options& options) {
  const device::Recovery recovery = device::recover(device::default_state_dir());
  for (const core::Error& error : recovery.errors) print_error(error);
  const Interrupt interrupt;
  const auto model = load_model(options.model);
  if (!model)
    return fail(model);
  const auto samples = draw_samples(options, **model);
  if (!samples)
    return fail(samples);
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
  runtime::CloudLink cloud(link);
  if (auto connected = cloud.wait_connected(core::Seconds(3)); !connected)
    return connected;
  if (auto serves = cloud.require((*model)->fingerprint()); !serves)
    return serves;
  const auto host = open_host(options.host, *model);
  if (!host)
    return fail(host);

  Progress progress(options.quiet);
  profiler::ProfileOptions profiling;
  profiling.model_name = (*model)->name();
  profiling.codecs = split_list(options.codecs);
  profiling.samples = *samples;
  profiling.held_out = options.held_out;
  profiling.seed = options.seed;
  profiling.every_cut = options.every_cut;
  profiling.stop = interrupt.token();
  profiling.progress = [&](double fraction, std::string_view phase) {
    progress.update(fraction, phase);
  };
  profiling.edge.name = host_name();
  profiling.edge.board = (*host)->board.name;
  profiling.edge.source = (*host)->board.citation();
  profiling.edge.power = (*host)->power;
  profiling.edge.min_passes = options.passes;
  profiling.edge.seed = options.seed;
  profiling.edge.idle_gap = core::milliseconds(10);
  if (const device::Radio* radio = (*host)->radio) {
    profiling.transmit = [radio](core::BytesPerSecond rate) { return radio->transmit_at(rate); };
    profiling.receive = [radio](core::BytesPerSecond rate) { return radio->receive_at(rate); };
  }
  const core::Values example =
      samples->empty() ? (*model)->example_inputs() : samples->front().inputs;
  if (options.meter != "none")
    if (auto metered = meter_power(options, **model, example, *(*host)->knobs, profiling); !metered)
      return metered;
  const auto measured =
      profiler::profile(on_host(**host, *model), example, *(*host)->knobs, cloud, profiling);
  progress.finish();
  if (!measured)
    return fail(measured);
  if (auto saved = table::save(*measured, options.out); !saved)
    return saved;
  if (options.json)
    std::cout << table::to_json(*measured) << '\n';
  else
    print(*measured, options.out);
  return {};
}

}  // namespace

void add_profile(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("profile", summary_of("profile"));
  add_model_options(*command, options->model, true);
  command->add_option("--cloud", options->cloud, "host:port of `cleave serve`")->required();
  command->add_option("-o,--output", options->out, "The profile to write")->required();
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
      "Ctrl-C restores every setting and writes nothing.\n\n"
      "Example:\n"
      "  cleave profile m.pt --cloud cloud:7070 --board raspberry_pi_4 --radio wifi \\\n"
      "      --data images/ -o m.profile");
  command->callback([options, &result] {
    if (const auto done = profile(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
