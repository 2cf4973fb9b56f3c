// cleave calibrate: fits a board description from a meter of this machine.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/interrupt.hpp"
#include "cli/parse.hpp"
#include "cli/progress.hpp"

#include <cleave/device/board.hpp>
#include <cleave/device/calibrate.hpp>
#include <cleave/device/journal.hpp>
#include <cleave/device/open_governor.hpp>
#include <cleave/device/open_meter.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <thread>

namespace cleave::cli {
namespace {

using core::fail;

struct Options {
  device::CalibrationOptions calibration;
  std::string meter, knob, time = "5s", settle = "1s", out;
  bool json = false, quiet = false;
};

void print(const device::Calibration& calibration, const std::string& out) {
  std::printf("%s, %d cores, measured by %s in %.0f s\n", calibration.title.c_str(),
              calibration.cores, calibration.meter.c_str(), calibration.time.count());
  std::printf("%-14s %18s %18s %18s %10s\n", "level", "idle W", "one core W", "all cores W",
              "residual");
  for (const auto& [level, power] : calibration.levels)
    std::printf("%-14s %9.3f +- %5.3f %9.3f +- %5.3f %9.3f +- %5.3f %8.3f W\n", level.label.c_str(),
                power.idle.count(), power.idle_error.count(), power.busy_one_core.count(),
                power.busy_one_core_error.count(), power.busy.count(), power.busy_error.count(),
                power.residual.count());
  std::printf("wrote %s\n", out.c_str());
}

core::Result<void> calibrate(const Options& options) {
  const device::Recovery recovery = device::recover(device::default_state_dir());
  for (const core::Error& error : recovery.errors) print_error(error);
  const Interrupt interrupt;
  device::CalibrationOptions calibration = options.calibration;
  const auto time = parse_duration(options.time);
  if (!time)
    return fail(time);
  const auto settle = parse_duration(options.settle);
  if (!settle)
    return fail(settle);
  calibration.time = *time;
  calibration.settle = *settle;
  calibration.name = std::filesystem::path(options.out).stem().string();
  if (calibration.all == 0)
    calibration.all = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const auto meter = device::open_meter(options.meter);
  if (!meter)
    return fail(meter);
  std::vector<std::unique_ptr<device::Governor>> governors;
  if (!options.knob.empty()) {
    auto governor = device::open_governor(options.knob);
    if (!governor)
      return fail(governor);
    governors.push_back(std::move(*governor));
  }
  device::Arbiter knobs(std::move(governors));
  Progress progress(options.quiet);
  calibration.stop = interrupt.token();
  calibration.progress = [&](double fraction, std::string_view phase) {
    progress.update(fraction, phase);
  };
  const core::SteadyClock clock;
  const auto measured = device::calibrate(**meter, knobs, device::busy_load(), clock, calibration);
  progress.finish();
  // Whatever came of it, and before anything is told.
  const auto restored = knobs.restore_all();
  if (!measured)
    return fail(measured);
  if (!restored)
    return restored;
  if (auto saved = device::save(*measured, options.out); !saved)
    return saved;
  if (options.json)
    std::cout << measured->to_json();
  else
    print(*measured, options.out);
  return {};
}

}  // namespace

void add_calibrate(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  options->calibration.all = 0;
  CLI::App* command = app.add_subcommand("calibrate", summary_of("calibrate"));
  command
      ->add_option("--meter", options->meter,
                   "What measures: rapl, battery:NAME, nvml:N, hwmon:CHIP/RAIL, "
                   "command:watts:COMMAND, command:joules:COMMAND; commas add up")
      ->required();
  command
      ->add_option("-o,--output", options->out,
                   "The board description to write; the board is named after it")
      ->required();
  command->add_option("--knob", options->knob,
                      "Measure at each level of this knob, as cpufreq, cpufreq:policy4=730,1510 or "
                      "command:nvpmodel:0,1:nvpmodel -m {level} (none: as the machine is)");
  command->add_option("--title", options->calibration.title, "The board's title");
  command->add_option("--all", options->calibration.all, "Cores of the machine (0: its CPUs)")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command
      ->add_option("--cores", options->calibration.cores,
                   "How many cores to keep busy, as 1,2,4 (none: one and all)")
      ->delimiter(',');
  command
      ->add_option("--shares", options->calibration.shares,
                   "Parts of the time to keep them busy, as 0.5,1")
      ->delimiter(',')
      ->capture_default_str();
  command->add_option("--time", options->time, "Of one measurement, at least")
      ->capture_default_str();
  command->add_option("--settle", options->settle, "The same load before it is measured")
      ->capture_default_str();
  command->add_option("--rounds", options->calibration.rounds, "Measurements of each load")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--quiet", options->quiet, "No progress");
  add_json_flag(*command, options->json);
  command->footer(
      "Nothing else should run meanwhile. Ctrl-C puts the knob back and writes nothing.\n\n"
      "Examples:\n"
      "  cleave calibrate --meter rapl --knob cpufreq=800,1600,2400 -o my_laptop.json\n"
      "  cleave calibrate --meter hwmon:ina3221/VDD_IN -o my_nano.json \\\n"
      "      --knob \"command:nvpmodel:0,1:nvpmodel -m {level} => nvpmodel -q | tail -n 1\"");
  command->callback([options, &result] {
    if (const auto done = calibrate(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
