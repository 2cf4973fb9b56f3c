#include "optimizer/nsga2.hpp"

#include "optimizer/start.hpp"

#include <cleave/optimizer/front.hpp>

#include <pagmo/algorithm.hpp>
#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/batch_evaluators/member_bfe.hpp>
#include <pagmo/bfe.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>
#include <pagmo/utils/multi_objective.hpp>

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace cleave::inline v0::optimizer {
namespace {

// Worse than anything real in log seconds, log joules or accuracy, yet a number: crowding distances
// of infinities would be NaN.
constexpr double hopeless = 1e6;

// What one context's search works on; pagmo's problem only points to it, as pagmo copies problems.
struct Stage {
  const Space& space;
  Archive& archive;
  std::size_t context;
  std::vector<std::size_t> active;  // variables with more than one level
  Point fixed;                      // the levels of the others
  std::uint64_t until;              // the archive's size that ends this stage

  [[nodiscard]] Point decode(const double* x) const {
    Point point = fixed;
    const auto variables = space.variables();
    for (std::size_t i = 0; i < active.size(); ++i)
      point[active[i]] = std::min(variables[active[i]].levels - 1,
                                  static_cast<std::uint32_t>(std::lround(std::max(0.0, x[i]))));
    space.canonicalise(point);
    return point;
  }
  [[nodiscard]] pagmo::vector_double encode(const Point& point) const {
    pagmo::vector_double x;
    for (const std::size_t v : active) x.push_back(point[v]);
    return x;
  }
  [[nodiscard]] pagmo::vector_double fitness(std::size_t entry) const {
    pagmo::vector_double f = archive.objectives(entry, context);
    for (double& value : f) value = std::isfinite(value) ? value : hopeless;
    return f;
  }
  [[nodiscard]] std::uint64_t left() const {
    const std::uint64_t size = archive.entries().size();
    return until > size ? until - size : 0;
  }
  std::size_t evaluate(std::vector<Point> points, std::uint64_t limit) {
    std::vector<Point> fresh;
    std::unordered_set<Point, PointHash> seen;
    for (Point& point : points)
      if (fresh.size() < std::min(limit, left()) && !archive.contains(point) &&
          seen.insert(point).second)
        fresh.push_back(std::move(point));
    return archive.evaluate(fresh);
  }
};

// A user-defined problem as pagmo wants it.
struct StageProblem {
  Stage* stage = nullptr;

  [[nodiscard]] pagmo::vector_double fitness(const pagmo::vector_double& x) const {
    return batch_fitness(x);
  }
  [[nodiscard]] pagmo::vector_double batch_fitness(const pagmo::vector_double& xs) const {
    std::vector<Point> points;
    for (std::size_t i = 0; i < xs.size(); i += stage->active.size())
      points.push_back(stage->decode(xs.data() + i));
    stage->evaluate(points, stage->left());
    pagmo::vector_double out;
    for (const Point& point : points) {
      // What the budget no longer allowed has no figures, and loses against all that do.
      const auto entry = stage->archive.find(point);
      const auto f = entry ? stage->fitness(*entry)
                           : pagmo::vector_double(stage->space.objectives(), hopeless);
      out.insert(out.end(), f.begin(), f.end());
    }
    return out;
  }
  [[nodiscard]] std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const {
    pagmo::vector_double upper;
    for (const std::size_t v : stage->active)
      upper.push_back(stage->space.variables()[v].levels - 1);
    return {pagmo::vector_double(upper.size(), 0.0), upper};
  }
  [[nodiscard]] pagmo::vector_double::size_type get_nix() const { return stage->active.size(); }
  [[nodiscard]] pagmo::vector_double::size_type get_nobj() const {
    return stage->space.objectives();
  }
};

// The best `size` of some entries by rank and crowding, or all of them if they are fewer.
std::vector<std::size_t> select(const Stage& stage, const std::vector<std::size_t>& entries,
                                std::size_t size) {
  if (entries.size() <= size)
    return entries;
  std::vector<pagmo::vector_double> f;
  for (const std::size_t entry : entries) f.push_back(stage.fitness(entry));
  std::vector<std::size_t> out;
  for (const auto i : pagmo::select_best_N_mo(f, size)) out.push_back(entries[i]);
  return out;
}

std::vector<std::size_t> front_of(const Stage& stage) {
  std::vector<Objectives> points;
  for (std::size_t i = 0; i < stage.archive.entries().size(); ++i)
    points.push_back(stage.archive.objectives(i, stage.context));
  return pareto_front(points);
}

// Front by front, until there are enough to fill a population.
std::vector<std::size_t> first_population(const Stage& stage, std::size_t size) {
  std::vector<std::size_t> rest(stage.archive.entries().size());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = i;
  std::vector<std::size_t> chosen;
  while (chosen.size() < size && !rest.empty()) {
    std::vector<Objectives> points;
    for (const std::size_t entry : rest) points.push_back(stage.fitness(entry));
    const std::vector<std::size_t> front = pareto_front(points);
    std::vector<std::size_t> next;
    for (std::size_t i = 0, f = 0; i < rest.size(); ++i) {
      const bool taken = f < front.size() && front[f] == i;
      f += taken;
      (taken ? chosen : next).push_back(rest[i]);
    }
    rest = std::move(next);
  }
  return select(stage, chosen, size);
}

// Unseen points next to the front, then next to other entries, then anywhere.
std::vector<Point> fresh_points(const Stage& stage, std::size_t wanted, Random& random) {
  std::vector<Point> out;
  std::unordered_set<Point, PointHash> seen;
  const auto add = [&](Point point) {
    if (out.size() < wanted && !stage.archive.contains(point) && seen.insert(point).second)
      out.push_back(std::move(point));
  };
  std::vector<Point> close;
  for (const std::size_t entry : front_of(stage))
    for (Point& point : neighbours(stage.space, stage.archive.entries()[entry].point))
      close.push_back(std::move(point));
  random.shuffle(close);
  for (Point& point : close) add(std::move(point));
  const std::size_t known = stage.archive.entries().size();
  for (std::size_t draws = 0; out.size() < wanted && draws < 4 * wanted; ++draws)
    for (Point& point : neighbours(stage.space, stage.archive.entries()[random.below(known)].point))
      add(std::move(point));
  for (std::size_t draws = 0; out.size() < wanted && draws < 64 * wanted; ++draws)
    add(random_point(stage.space, random));
  return out;
}

void run_stage(Stage& stage, const SearchOptions& options, std::size_t size, Random& random,
               const std::function<bool()>& proceed) {
  // A few variables: one of them mutates in every child on average.
  const double mutation = 1.0 / static_cast<double>(stage.active.size());
  pagmo::nsga2 settings(1, 0.95, 10, mutation, 10, static_cast<unsigned>(random.next()));
  settings.set_bfe(pagmo::bfe(pagmo::member_bfe{}));
  const pagmo::algorithm algorithm(settings);
  const pagmo::problem problem(StageProblem{&stage});

  std::vector<std::size_t> members = first_population(stage, size);
  std::size_t idle = 0;
  while (stage.left() > 0 && idle < 20) {
    pagmo::population population(problem, 0, static_cast<unsigned>(random.next()));
    // A space smaller than a population repeats its members.
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t entry = members[i % members.size()];
      population.push_back(stage.encode(stage.archive.entries()[entry].point),
                           stage.fitness(entry));
    }
    const std::size_t before = stage.archive.entries().size();
    population = algorithm.evolve(population);
    std::size_t added = stage.archive.entries().size() - before;
    if (options.seeded && added < size)
      added += stage.evaluate(fresh_points(stage, size - added, random), size - added);
    idle = added == 0 ? idle + 1 : 0;

    std::vector<std::size_t> candidates = members;
    for (const auto& x : population.get_x())
      if (const auto entry = stage.archive.find(stage.decode(x.data())))
        candidates.push_back(*entry);
    for (std::size_t i = before; i < stage.archive.entries().size(); ++i) candidates.push_back(i);
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    members = select(stage, candidates, size);
    if (!proceed())
      return;
  }
}

}  // namespace

void nsga2(const Space& space, const SearchOptions& options, Archive& archive, Random& random,
           const std::function<bool()>& proceed) {
  const std::uint64_t budget = archive.budget();
  // Several generations even of a small budget; pagmo wants multiples of four.
  const std::size_t wanted =
      std::min<std::uint64_t>(options.population, std::max<std::uint64_t>(8, budget / 5));
  const std::size_t size = (wanted + 3) / 4 * 4;

  if (options.seeded)
    archive.evaluate(
        seeded_start(space, size + size / 2, std::max<std::uint64_t>(size, budget / 2), random));
  for (std::size_t draws = 0;
       !options.seeded && archive.entries().size() < size && draws < 64 * size; ++draws)
    archive.evaluate({random_point(space, random)});
  if (!proceed() || archive.left() == 0)
    return;

  std::vector<std::size_t> active;
  for (std::size_t v = 0; v < space.variables().size(); ++v)
    if (space.variables()[v].levels > 1)
      active.push_back(v);
  if (active.empty())
    return;
  const std::uint64_t start = archive.entries().size();
  const std::uint64_t left = archive.left();
  for (std::size_t context = 0; context < space.contexts(); ++context) {
    const std::uint64_t others = space.contexts() - 1;
    const std::uint64_t share =
        others == 0 ? left : left / 2 + (left - left / 2) * context / others;
    Stage stage{.space = space,
                .archive = archive,
                .context = context,
                .active = active,
                .fixed = Point(space.variables().size(), 0),
                .until = start + share};
    run_stage(stage, options, size, random, proceed);
    if (!proceed())
      return;
  }
}

}  // namespace cleave::inline v0::optimizer
