#include "optimizer/evolution.hpp"

#include "optimizer/breeding.hpp"
#include "optimizer/screened.hpp"
#include "optimizer/stage.hpp"
#include "optimizer/start.hpp"

#include <pagmo/algorithm.hpp>
#include <pagmo/population.hpp>
#include <pagmo/problem.hpp>

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace cleave::inline v0::optimizer {
namespace {

// Evaluates points as far as the budget goes.
pagmo::vector_double measure(Stage& stage, const std::vector<Point>& points) {
  stage.evaluate(points, stage.left());
  pagmo::vector_double out;
  for (const Point& point : points) {
    const auto entry = stage.archive.find(point);
    const auto f = entry ? stage.fitness(*entry) : stage.hopeless_fitness();
    out.insert(out.end(), f.begin(), f.end());
  }
  return out;
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
  for (const std::size_t entry : stage.front())
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
  const pagmo::algorithm algorithm =
      make_algorithm(options.algorithm, 1, size, stage.active.size(), random);
  const pagmo::problem problem =
      problem_of(stage, options.algorithm,
                 [&](const std::vector<Point>& points) { return measure(stage, points); });

  std::vector<std::size_t> members = best_entries(stage, size);
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

void evolution(const Space& space, const SearchOptions& options, Archive& archive, Random& random,
               const std::function<bool()>& proceed) {
  const std::uint64_t budget = archive.budget();
  // Several generations even of a small budget; pagmo wants multiples of four.
  const std::size_t wanted =
      std::min<std::uint64_t>(options.population, std::max<std::uint64_t>(8, budget / 5));
  const std::size_t size = (wanted + 3) / 4 * 4;

  if (options.seeded)
    archive.evaluate(
        options.screened
            ? seeded_start(space, screened_start(budget), screened_start(budget), random)
            : seeded_start(space, size + size / 2, std::max<std::uint64_t>(size, budget / 2),
                           random));
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
                .until = start + share};
    if (options.screened)
      screened_stage(stage, options, size, random, proceed);
    else
      run_stage(stage, options, size, random, proceed);
    if (!proceed())
      return;
  }
}

}  // namespace cleave::inline v0::optimizer
