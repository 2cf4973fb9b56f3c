#include "cli/optimize_jointly.hpp"

#ifdef CLEAVE_WITH_OPTIMIZER

#include "cli/json_text.hpp"
#include "cli/parse.hpp"

#include <cleave/core/file.hpp>
#include <cleave/optimizer/joint.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/table/files.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <set>
#include <system_error>

namespace cleave::cli {
namespace {

using core::Errc;
using core::Result;
using nlohmann::json;
using optimizer::JointChoice;
using optimizer::JointFront;
using optimizer::JointModel;

// The n-th of a list that holds one for each, one for all, or none.
template <class T>
const T* of(const std::vector<T>& list, std::size_t n) {
  return list.empty() ? nullptr : &list[list.size() == 1 ? 0 : n];
}

Result<void> check_count(std::size_t given, std::size_t profiles, const char* option) {
  if (given <= 1 || given == profiles)
    return {};
  return core::fail(Errc::invalid_argument,
                    std::string("give ") + option + " once for all networks, or once for each",
                    std::to_string(given) + " for " + std::to_string(profiles) + " profiles");
}

Result<std::vector<JointModel>> models_of(const std::vector<table::Profile>& profiles,
                                          const JointOptions& given,
                                          const optimizer::OptimizeOptions& options) {
  for (const auto& [count, option] :
       {std::pair(given.rates.size(), "--rate"), std::pair(given.deadlines.size(), "--deadline")})
    if (auto ok = check_count(count, profiles.size(), option); !ok)
      return core::fail(ok);
  std::vector<JointModel> models;
  for (std::size_t m = 0; m < profiles.size(); ++m) {
    JointModel model;
    model.profile = &profiles[m];
    model.accuracy_floor = options.accuracy_floor;
    model.constraints = options.constraints;
    if (const double* rate = of(given.rates, m))
      model.rate = *rate;
    if (const std::string* text = of(given.deadlines, m)) {
      const auto deadline = parse_duration(*text);
      if (!deadline)
        return core::fail(deadline);
      model.deadline = *deadline;
    }
    models.push_back(std::move(model));
  }
  return models;
}

json to_json(const JointFront& front, const std::vector<JointModel>& models,
             const std::vector<std::string>& names, core::Boundary boundary) {
  json choices = json::array();
  for (const JointChoice& choice : front.choices) {
    json networks = json::array();
    for (std::size_t m = 0; m < models.size(); ++m) {
      const table::TableRow& row = choice.rows[m];
      networks.push_back({{"name", names[m]},
                          {"rate", models[m].rate},
                          {"configuration", row.label},
                          {"cut", to_string(row.configuration.cut())},
                          {"codec", row.configuration.codec()},
                          {"edge_levels", row.configuration.stages[0].levels},
                          {"cloud_levels", row.configuration.stages[1].levels},
                          {"latency_s", row.latency.count()},
                          {"energy_j", row.energy.count()},
                          {"energy_origin", to_string(row.ingredients.origin)}});
    }
    choices.push_back({{"power_w", choice.power.count()},
                       {"tightness", choice.tightness},
                       {"edge_load", choice.edge_load},
                       {"link_load", choice.link_load},
                       {"networks", std::move(networks)}});
  }
  return {{"energy_boundary", to_string(boundary)}, {"space", front.space},
          {"combinations", front.combinations},     {"exact", front.exact},
          {"bound_w", front.bound.count()},         {"choices", std::move(choices)}};
}

void print(const JointFront& front, const std::vector<std::string>& names) {
  using Align = report::TextTable::Align;
  std::vector<report::TextTable::Column> columns = {{"power", Align::right},
                                                    {"of deadlines", Align::right},
                                                    {"edge", Align::right},
                                                    {"link", Align::right}};
  for (const std::string& name : names) columns.push_back({name, Align::left});
  report::TextTable text(columns);
  constexpr std::size_t most = 20;
  const std::size_t count = std::min(most, front.choices.size());
  for (std::size_t i = 0; i < count; ++i) {
    const JointChoice& choice =
        front.choices[count == 1 ? 0 : i * (front.choices.size() - 1) / (count - 1)];
    char power[32];
    std::snprintf(power, sizeof power, "%.3g W", choice.power.count());
    std::vector<std::string> cells = {power, report::percent(choice.tightness),
                                      report::percent(choice.edge_load),
                                      report::percent(choice.link_load)};
    for (const table::TableRow& row : choice.rows) cells.push_back(row.label);
    text.add_row(std::move(cells));
  }
  std::cout << text.text() << std::flush;
  std::printf(
      "%.3g joint configurations, %s; %zu choices, the first needs %.4f of the least that "
      "any needs within deadlines and loads\n",
      front.space, front.exact ? "the exact front" : "not all of them ruled out",
      front.choices.size(), front.choices.front().power / front.bound);
}

}  // namespace

Result<void> optimize_jointly(const std::vector<std::string>& paths, const JointOptions& given,
                              const optimizer::OptimizeOptions& options, const std::string& out,
                              bool as_json) {
  std::vector<table::Profile> profiles;
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const std::string& path : paths) {
    auto profile = table::load_profile(path);
    if (!profile)
      return core::fail(profile);
    profiles.push_back(std::move(*profile));
    // By the file, since several profiles may be of one network.
    names.push_back(std::filesystem::path(path).stem().string());
    if (!taken.insert(names.back()).second)
      return core::fail(Errc::invalid_argument, "two profiles have the same name", names.back(),
                        "rename one: tables are named after their profiles");
  }
  const auto models = models_of(profiles, given, options);
  if (!models)
    return core::fail(models);
  optimizer::JointOptions joint;
  joint.boundary = options.boundary;
  joint.link = options.reference;
  joint.max_edge_load = given.max_edge_load;
  joint.max_link_load = given.max_link_load;
  joint.stop = options.stop;
  const auto front = optimizer::optimize_jointly(*models, joint);
  if (!front)
    return core::fail(front);

  std::error_code error;
  std::filesystem::create_directories(out, error);
  if (error)
    return core::fail(Errc::io, "cannot make the folder: " + error.message(), out);
  const std::filesystem::path folder(out);
  const std::string found = json_text(to_json(*front, *models, names, options.boundary)) + "\n";
  if (auto written = core::write_file(folder / "joint.json", found); !written)
    return written;
  std::size_t tables = 0;
  for (; tables < profiles.size() && !options.stop.stop_requested(); ++tables) {
    const auto table = optimizer::optimize(profiles[tables], options);
    if (!table && table.error().code == Errc::cancelled)
      break;
    if (!table)
      return core::fail(table);
    if (auto saved = table::save(*table, folder / (names[tables] + ".table")); !saved)
      return saved;
  }
  if (as_json)
    std::cout << found;
  else {
    print(*front, names);
    std::printf("wrote joint.json and %zu of %zu tables into %s\n", tables, profiles.size(),
                out.c_str());
  }
  if (options.stop.stop_requested())
    return core::fail(Errc::cancelled,
                      "interrupted; joint.json holds the best so far, and " +
                          std::to_string(profiles.size() - tables) + " tables are not written",
                      out);
  return {};
}

}  // namespace cleave::cli

#endif
