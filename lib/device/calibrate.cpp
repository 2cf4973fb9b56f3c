#include <cleave/core/file.hpp>
#include <cleave/device/calibrate.hpp>
#include <cleave/device/compose.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdio>
#include <mutex>

namespace cleave::inline v0::device {
namespace {

using core::Errc;
using core::fail;

struct Point {
  int cores = 0;
  double share = 0;
};

std::string figure(double value, const char* unit) {
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s", value, unit);
  return text;
}

// What the JSON keeps of a figure: microwatts.
double rounded(core::Watts watts) {
  return std::round(watts.count() * 1e6) / 1e6;
}

bool is_name(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

core::Result<std::vector<Point>> points_of(const CalibrationOptions& options) {
  const auto wrong = [](const std::string& what, const std::string& hint) {
    return fail(Errc::invalid_argument, what, "calibrate", hint);
  };
  if (!is_name(options.name))
    return wrong("not a name for a board: \"" + options.name + "\"",
                 "letters, digits and _ make one");
  if (options.all < 1 || options.rounds < 1 || !(options.time.count() > 0) ||
      options.settle.count() < 0)
    return wrong("cores, rounds and the time of a measurement must be above 0", "");
  std::vector<int> cores = options.cores;
  if (cores.empty())
    cores = {1, options.all};
  std::sort(cores.begin(), cores.end());
  cores.erase(std::unique(cores.begin(), cores.end()), cores.end());
  if (cores.front() < 1 || cores.back() > options.all)
    return wrong("the machine has cores 1 to " + std::to_string(options.all), "");
  if (options.all > 1 && cores.size() < 2)
    return wrong("one number of busy cores does not tell one core and all apart",
                 "measure 1 and " + std::to_string(options.all));
  if (options.shares.empty() ||
      std::any_of(options.shares.begin(), options.shares.end(),
                  [](double share) { return !(share > 0 && share <= 1); }))
    return wrong("shares of the time are above 0 and at most 1", "");
  std::vector<Point> points{{}};
  for (const int busy : cores)
    for (const double share : options.shares) points.push_back({busy, share});
  return points;
}

class Calibrating {
 public:
  Calibrating(Meter& meter, Arbiter& knobs, const Load& load, const core::Clock& clock,
              const CalibrationOptions& options, std::vector<Point> points)
      : meter_(meter),
        knobs_(knobs),
        load_(load),
        clock_(clock),
        options_(options),
        points_(std::move(points)) {}

  core::Result<Calibration> run() {
    const core::Seconds start = clock_.now();
    const auto knobs = knobs_.knobs();
    if (knobs.size() > 1)
      return fail(Errc::invalid_argument, "one knob at a time is calibrated", knobs[1].name);
    if (!knobs.empty())
      knob_ = knobs.front();
    else
      knob_.levels = {{"default", 0}};
    samples_.resize(knob_.levels.size());
    for (int round = 0; round < options_.rounds; ++round)
      for (std::size_t i = 0; i < knob_.levels.size(); ++i)
        if (auto done = measure_level(round % 2 == 0 ? i : knob_.levels.size() - 1 - i, round);
            !done)
          return fail(done);
    Calibration calibration{options_.name,
                            options_.title.empty() ? options_.name : options_.title,
                            options_.all,
                            knobs.empty() ? "" : knob_.name,
                            knob_.unit,
                            meter_.name(),
                            source_,
                            clock_.now() - start,
                            {}};
    for (std::size_t i = 0; i < samples_.size(); ++i) {
      auto power = fit_power(samples_[i], options_.all);
      if (!power) {
        power.error().where = knob_.levels[i].label;
        return fail(power);
      }
      calibration.levels.push_back({knob_.levels[i], *power});
    }
    return calibration;
  }

 private:
  core::Result<void> measure_level(std::size_t level, int round) {
    std::vector<core::LevelIndex> wanted;
    if (!knob_.name.empty())
      wanted.push_back(static_cast<core::LevelIndex>(level));
    const auto lease = knobs_.acquire(wanted);
    if (!lease)
      return fail(lease);
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const Point& point = points_[round % 2 == 0 ? i : points_.size() - 1 - i];
      if (options_.stop.stop_requested())
        return fail(Errc::cancelled, "interrupted");
      if (options_.progress)
        options_.progress(
            double(done_++) / double(options_.rounds) / double(points_.size()) /
                double(knob_.levels.size()),
            knob_.levels[level].label + ", " + std::to_string(point.cores) + " cores busy");
      auto sample = measure(point);
      if (!sample)
        return fail(sample);
      samples_[level].push_back(*sample);
    }
    return {};
  }

  core::Result<void> wait(core::Seconds time) {
    if (options_.wait)
      return options_.wait(time);
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait_for(lock, options_.stop, std::chrono::duration<double>(time.count()),
                   [] { return false; });
    if (options_.stop.stop_requested())
      return fail(Errc::cancelled, "interrupted");
    return {};
  }

  core::Result<PowerSample> measure(const Point& point) {
    core::Result<RepeatedEnergy> used;
    const auto meanwhile = [&]() -> core::Result<void> {
      if (options_.settle.count() > 0)
        if (const auto settled = wait(options_.settle); !settled)
          return settled;
      RepetitionOptions repetition;
      repetition.longest = 12 * options_.time;
      used = measure_repeated(
          meter_, [&] { return wait(options_.time); }, clock_, repetition);
      if (!used)
        return fail(used);
      return {};
    };
    const auto share = load_(point.cores, point.share, meanwhile);
    if (!share)
      return fail(share);
    if (used->one.origin != core::Origin::measured)
      return fail(Errc::unsupported, "the meter computes its energy and measures nothing",
                  meter_.name());
    if (!(used->time.count() > 0))
      return fail(Errc::invalid_argument, "no time passed while measuring", meter_.name());
    source_ = used->one.source;
    const core::Seconds time = used->time / used->repetitions;
    PowerSample sample;
    sample.cores = point.cores;
    sample.utilisation = *share;
    sample.power = used->one.joules / time;
    // Both readings are off by up to the resolution, evenly: a standard error of 1/sqrt(6) of it.
    sample.error = core::Watts(
        std::hypot(used->one.error.count(), used->one.resolution.count() / std::sqrt(6.0)) /
        time.count());
    return sample;
  }

  Meter& meter_;
  Arbiter& knobs_;
  const Load& load_;
  const core::Clock& clock_;
  const CalibrationOptions& options_;
  std::vector<Point> points_;
  core::Knob knob_;
  std::vector<std::vector<PowerSample>> samples_;
  std::string source_;
  std::size_t done_ = 0;
};

nlohmann::ordered_json watts(core::Watts value, core::Watts error) {
  return {{"value", rounded(value)}, {"source", "meter"}, {"error", rounded(error)}};
}

}  // namespace

std::string Calibration::to_json() const {
  const bool frequencies = unit == "Hz";
  double residual = 0;
  int samples = 0;
  for (const CalibratedLevel& level : levels) {
    residual = std::max(residual, level.power.residual.count());
    samples += level.power.samples;
  }
  nlohmann::ordered_json json;
  json["format"] = 2;
  json["name"] = name;
  json["title"] = title;
  json["kind"] = "edge";
  json["cores"] = cores;
  json["levels_by"] = frequencies ? "frequency" : "mode";
  json["origin"] = "measured";
  json["sources"]["meter"] = {
      {"title", "cleave calibrate, measured by " + meter},
      {"url", source.empty() ? meter : source},
      {"note", std::to_string(samples) + " measurements in " + figure(time.count(), "s") +
                   (knob.empty() ? "" : ", levels set by " + knob)}};
  json["formulas"]["fit"] =
      "P = (1 - u) idle + u ((1 - b) busy_one_core + b busy), b = (busy cores - 1) / (cores - 1), "
      "u "
      "their utilisation; least squares at each level. Root mean square residual at most " +
      figure(residual, "W") + "; error: one standard error.";
  json["levels"] = nlohmann::ordered_json::array();
  for (const CalibratedLevel& level : levels) {
    nlohmann::ordered_json one;
    one["label"] = level.level.label;
    if (frequencies)
      one["frequency_hz"] = level.level.value;
    else
      one["mode"] = level.level.label;
    one["idle_watts"] = watts(level.power.idle, level.power.idle_error);
    one["busy_one_core_watts"] = watts(level.power.busy_one_core, level.power.busy_one_core_error);
    one["busy_watts"] = watts(level.power.busy, level.power.busy_error);
    json["levels"].push_back(std::move(one));
  }
  // A description's modes ascend by their power.
  if (!frequencies)
    std::stable_sort(json["levels"].begin(), json["levels"].end(),
                     [](const auto& a, const auto& b) {
                       return a["busy_watts"]["value"].template get<double>() <
                              b["busy_watts"]["value"].template get<double>();
                     });
  return json.dump(2) + "\n";
}

core::Result<Calibration> calibrate(Meter& meter, Arbiter& knobs, const Load& load,
                                    const core::Clock& clock, const CalibrationOptions& options) {
  auto points = points_of(options);
  if (!points)
    return fail(points);
  return Calibrating(meter, knobs, load, clock, options, std::move(*points)).run();
}

core::Result<void> save(const Calibration& calibration, const std::filesystem::path& path) {
  return core::write_file(path, calibration.to_json());
}

}  // namespace cleave::inline v0::device
