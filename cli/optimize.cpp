// cleave optimize: from a profile, or from observations, to the table that the scheduler picks
// from.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/constraint_options.hpp"
#include "cli/finite.hpp"
#include "cli/foreign.hpp"
#include "cli/interrupt.hpp"
#include "cli/optimize_jointly.hpp"
#include "cli/parse.hpp"

#include <cleave/device/provenance.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/table/files.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <set>
#include <utility>
#ifdef CLEAVE_WITH_OPTIMIZER
#include <cleave/optimizer/observations.hpp>
#include <cleave/optimizer/optimize.hpp>
#endif

namespace cleave::cli {
namespace {

struct Options {
  std::vector<std::string> profiles;
  std::string observations, out, algorithm = "auto", budget = "20%", boundary = "device",
                                 origin = "measured";
  std::uint64_t seed = 1;
  unsigned threads = 1;
  double accuracy_floor = 0, margin = 0.05;
  std::size_t population = 40;
  bool json = false, quiet = false;
  ConstraintOptions constraints;
  JointOptions joint;
  // What means something with several profiles, with profiles, with observations only.
  std::vector<const CLI::Option*> for_several, for_profiles, for_observations;
  // What asks for a search of a part.
  std::vector<const CLI::Option*> for_a_part;
};

#ifdef CLEAVE_WITH_OPTIMIZER

// "20%" is a share of the space, "500" a number of configurations.
template <class SearchOptions>
core::Result<void> parse_budget(const std::string& text, SearchOptions& options) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error == std::errc() && unit == "%" && number > 0 && number <= 100) {
    options.budget_share = number / 100;
    return {};
  }
  if (error == std::errc() && unit.empty() && number >= 1 && number <= 1e15) {
    options.evaluations = static_cast<std::uint64_t>(number);
    return {};
  }
  return core::fail(core::Errc::invalid_argument, "not a budget", text,
                    "write 20% (of the configurations) or 500");
}

// How much there is to choose from: "the table holds 5 cuts, 2 codecs, ...".
std::string counted(std::size_t count, const std::string& thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

// "7 cuts, 5 codecs, 4 levels of cpu_share" of the rows that count.
template <class Counts>
std::string describe_variety(const table::ParetoTable& table, Counts&& counts) {
  std::set<core::CutId> cuts;
  std::set<std::string> codecs;
  std::vector<std::set<core::LevelIndex>> levels(table.edge_knobs.size());
  for (const table::TableRow& row : table.rows) {
    if (!counts(row))
      continue;
    cuts.insert(row.configuration.cut());
    if (row.ingredients.uses_cloud)
      codecs.insert(row.configuration.codec());
    for (std::size_t knob = 0; knob < levels.size(); ++knob)
      levels[knob].insert(row.configuration.stages.front().levels[knob]);
  }
  std::string text = counted(cuts.size(), "cut") + ", " + counted(codecs.size(), "codec");
  for (std::size_t knob = 0; knob < levels.size(); ++knob)
    text += ", " + counted(levels[knob].size(), "level") + " of " + table.edge_knobs[knob].name;
  return text;
}

std::string describe_rows(const table::ParetoTable& table) {
  const auto on_front = [](const table::TableRow& row) { return row.on_front; };
  const auto front =
      static_cast<std::size_t>(std::count_if(table.rows.begin(), table.rows.end(), on_front));
  return "the front of the measured link: " + counted(front, "row") + " with " +
         describe_variety(table, on_front) +
         "\nthe table, for other links too: " + counted(table.rows.size(), "row") + " with " +
         describe_variety(table, [](const table::TableRow&) { return true; });
}

// What both kinds of searches are told.
template <class SearchOptions>
core::Result<SearchOptions> search_options(const Options& given, const Interrupt& interrupt) {
  SearchOptions options;
  const auto boundary = parse_boundary(given.boundary);
  if (!boundary)
    return core::fail(boundary);
  options.boundary = *boundary;
  if (auto parsed = parse_budget(given.budget, options); !parsed)
    return core::fail(parsed);
  if (given.algorithm != "auto") {
    const auto algorithm = optimizer::parse_algorithm(given.algorithm);
    if (!algorithm)
      return core::fail(algorithm);
    options.algorithm = *algorithm;
  }
  options.seed = given.seed;
  options.accuracy_floor = given.accuracy_floor;
  options.margin = given.margin;
  options.population = given.population;
  options.stop = interrupt.token();
  options.progress = [draw = !given.quiet,
                      last = std::uint64_t{0}](const optimizer::SearchProgress& progress) mutable {
    // A generation may find nothing new to evaluate.
    if (draw && std::exchange(last, progress.evaluations) != progress.evaluations)
      std::fprintf(stderr, "%llu evaluations, hypervolume %.4f\n",
                   static_cast<unsigned long long>(progress.evaluations), progress.hypervolume);
  };
  return options;
}

void print_search(const table::ParetoTable& table, const std::string& out) {
  std::printf("%s, seed %llu: %llu of %llu configurations evaluated, %zu rows kept\nwrote %s\n",
              table.search.algorithm.c_str(), static_cast<unsigned long long>(table.search.seed),
              static_cast<unsigned long long>(table.search.evaluations),
              static_cast<unsigned long long>(table.search.space), table.rows.size(), out.c_str());
}

// Whether to look at everything, unless asked otherwise: predicting a million takes a second or
// two.
bool looks_at_all(const Options& given, const table::Profile& profile,
                  const optimizer::OptimizeOptions& options) {
  constexpr std::uint64_t most = 1'000'000;
  if (given.algorithm != "auto" ||
      std::any_of(given.for_a_part.begin(), given.for_a_part.end(),
                  [](const CLI::Option* option) { return option->count() > 0; }))
    return false;
  // What is wrong with the profile or the constraints, the search tells.
  return optimizer::count_configurations(profile, options.accuracy_floor, options.constraints)
             .value_or(most + 1) <= most;
}

core::Result<void> search_profile(const Options& given, const Interrupt& interrupt) {
  auto options = search_options<optimizer::OptimizeOptions>(given, interrupt);
  if (!options)
    return core::fail(options);
  options->threads = given.threads;
  auto constraints = constraints_of(given.constraints);
  if (!constraints)
    return core::fail(constraints);
  options->constraints = std::move(*constraints);
  const auto profile = table::load_profile(given.profiles.front());
  if (!profile)
    return core::fail(profile);
  if (auto ranged = apply_range(given.constraints, table::link_of(*profile), *options); !ranged)
    return ranged;
  if (looks_at_all(given, *profile, *options))
    options->algorithm = optimizer::Algorithm::exhaustive;
  if (given.profiles.size() > 1)
    return optimize_jointly(given.profiles, given.joint, *options, given.out, given.json);
  // A warning: the table stays that machine's, and `cleave run` looks at it again.
  if (auto here =
          require_made_here(profile->hosts[core::edge_host].made_on, device::this_machine(),
                            "the edge's half of this profile", given.profiles.front(), true);
      !here)
    return here;
  const auto table = optimizer::optimize(*profile, *options);
  if (!table)
    return core::fail(table);
  if (auto saved = table::save(*table, given.out); !saved)
    return saved;
  if (given.json) {
    std::cout << table::to_json(*table) << '\n';
    return {};
  }
  std::cout << report::front_table(*table);
  std::printf("%s\n", describe_rows(*table).c_str());
  print_search(*table, given.out);
  return {};
}

core::Result<void> search_observations(const Options& given, const Interrupt& interrupt) {
  auto options = search_options<optimizer::ObservationOptions>(given, interrupt);
  if (given.constraints.any())
    return core::fail(core::Errc::invalid_argument,
                      "observations tell nothing of memory, transfers, cuts or links",
                      given.observations, "constrain a profile, or leave rows out of the CSV");
  const auto origin = parse_origin(given.origin);
  if (!options || !origin)
    return options ? core::fail(origin) : core::fail(options);
  options->origin = *origin;
  const auto observations = table::load_observations(given.observations);
  if (!observations)
    return core::fail(observations);
  const auto found = optimizer::optimize(*observations, *options);
  if (!found)
    return core::fail(found);
  if (auto saved = table::save(found->table, given.out); !saved)
    return saved;
  if (given.json) {
    std::cout << table::to_json(found->table) << '\n';
    return {};
  }
  std::cout << report::front_table(found->table);
  std::printf("hypervolume: %.4f of exhaustive\n", found->hypervolume_share);
  std::printf("extra energy: %.2f %% over exhaustive, averaged over deadlines\n",
              100 * found->extra_energy);
  print_search(found->table, given.out);
  return {};
}

core::Result<void> refuse(const std::vector<const CLI::Option*>& options, const char* what) {
  for (const CLI::Option* option : options)
    if (option->count() > 0)
      return core::fail(core::Errc::invalid_argument, what, option->get_name(), "leave it out");
  return {};
}

core::Result<void> check_options(const Options& given) {
  if (given.profiles.size() < 2)
    if (auto ok = refuse(given.for_several, "it is for several networks on one device"); !ok)
      return ok;
  if (given.profiles.empty())
    return refuse(given.for_profiles, "it is for profiles, not for observations");
  return refuse(given.for_observations, "a profile tells it itself; it is for observations");
}

core::Result<void> optimize(const Options& given) {
  if (given.profiles.empty() == given.observations.empty())
    return core::fail(core::Errc::invalid_argument, "give profiles or --observations, one of them",
                      "optimize");
  if (auto fit = check_options(given); !fit)
    return fit;
  const Interrupt interrupt;
  const auto searched = given.observations.empty() ? search_profile(given, interrupt)
                                                   : search_observations(given, interrupt);
  if (searched && interrupt.requested() && given.profiles.size() < 2)
    return core::fail(core::Errc::cancelled, "interrupted; the table holds the best so far",
                      given.out);
  return searched;
}

#else

core::Result<void> optimize(const Options&) {
  return core::fail(core::Errc::unsupported, "this build of cleave has no optimizer", "optimize",
                    "install or build cleave with CLEAVE_PAGMO=ON");
}

#endif

}  // namespace

void add_optimize(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("optimize", summary_of("optimize"));
  command->add_option("profile", options->profiles,
                      "A profile made by cleave profile; several: networks that share one device");
  command->add_option(
      "--observations", options->observations,
      "A CSV of runs in place of a profile: knob.NAME, latency_ms, energy_j, accuracy");
  command->add_option("-o,--output", options->out, "The table to write; for several, a folder")
      ->required();
  command
      ->add_option("--algorithm", options->algorithm,
                   "nsga2, moead, nspso, maco, random or exhaustive. auto: nsga2, but exhaustive "
                   "for a profile that allows a million configurations or fewer, unless there is a "
                   "--budget or --population")
      ->capture_default_str();
  options->for_a_part = {
      command
          ->add_option(
              "--budget", options->budget,
              "Evaluate at most this share of the configurations (20%), or this many (500)")
          ->capture_default_str(),
      command->add_option("--population", options->population, "Of the algorithm")
          ->capture_default_str()};
  command->add_option("--seed", options->seed, "Equal seeds give equal tables")
      ->capture_default_str();
  options->for_profiles.push_back(
      command->add_option("--search-threads", options->threads, "Threads that evaluate a profile")
          ->capture_default_str());
  command
      ->add_option("--boundary", options->boundary,
                   "Whose energy counts: edge, device (edge + the cloud's processor), machine "
                   "(edge + the cloud's whole machine)")
      ->capture_default_str();
  options->for_observations.push_back(
      command
          ->add_option("--origin", options->origin,
                       "Where the energy of observations comes from: measured or modelled")
          ->capture_default_str());
  command
      ->add_option("--accuracy-floor", options->accuracy_floor,
                   "Leave out configurations that are right less often")
      ->check(CLI::Range(0.0, 1.0) & finite());
  command
      ->add_option("--margin", options->margin,
                   "Keep rows within this relative distance of the front, too")
      ->check(CLI::Range(0.0, 10.0) & finite())
      ->capture_default_str();
  add_constraint_options(*command, options->constraints);
  options->for_several = {
      command->add_option("--rate", options->joint.rates,
                          "Of several networks: requests a second, once or for each (1)"),
      command->add_option("--deadline", options->joint.deadlines,
                          "Of several networks: the deadline, once or for each"),
      command
          ->add_option("--max-edge-load", options->joint.max_edge_load,
                       "Of several networks: share of its time that the edge may compute")
          ->check(finite())
          ->capture_default_str(),
      command
          ->add_option("--max-link-load", options->joint.max_link_load,
                       "Of several networks: share of its time that the link may carry bytes")
          ->check(finite())
          ->capture_default_str()};
  command->add_flag("--quiet", options->quiet, "No progress");
  add_json_flag(*command, options->json);
  command->footer(
      "Ctrl-C writes the best table found so far.\n\n"
      "Examples:\n  cleave optimize m.profile --seed 1 --budget 20% -o m.table\n"
      "  cleave optimize m.profile --no-raw-input --max-edge-memory 512MB -o m.table\n"
      "  cleave optimize m.profile --bandwidth 1mbit..100mbit --rtt 5ms..100ms -o m.table\n"
      "  cleave optimize a.profile b.profile --rate 5 --rate 1 --deadline 80ms --deadline 200ms "
      "-o robot\n"
      "  cleave optimize --observations obs.csv --budget 10% --seed 1 -o t.table");
  command->callback([options, &result] {
    if (const auto done = optimize(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
