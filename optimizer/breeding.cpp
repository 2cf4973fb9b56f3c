#include "optimizer/breeding.hpp"

#include <pagmo/algorithms/maco.hpp>
#include <pagmo/algorithms/moead.hpp>
#include <pagmo/algorithms/nsga2.hpp>
#include <pagmo/algorithms/nspso.hpp>
#include <pagmo/batch_evaluators/member_bfe.hpp>
#include <pagmo/bfe.hpp>
#include <pagmo/population.hpp>

#include <algorithm>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

bool knows_integers(Algorithm algorithm) {
  return algorithm == Algorithm::nsga2 || algorithm == Algorithm::maco;
}

// A user-defined problem as pagmo wants it: it is copied, so it only points to the stage.
struct StageProblem {
  const Stage* stage = nullptr;
  Algorithm algorithm = Algorithm::nsga2;
  Fitness evaluate = {};

  [[nodiscard]] pagmo::vector_double fitness(const pagmo::vector_double& x) const {
    return batch_fitness(x);
  }
  [[nodiscard]] pagmo::vector_double batch_fitness(const pagmo::vector_double& xs) const {
    std::vector<Point> points;
    for (std::size_t i = 0; i < xs.size(); i += stage->active.size())
      points.push_back(stage->decode(xs.data() + i));
    return evaluate(points);
  }
  [[nodiscard]] std::pair<pagmo::vector_double, pagmo::vector_double> get_bounds() const {
    // Just under a half, so that rounding gives no level more than its share.
    const double slack = knows_integers(algorithm) ? 0 : 0.499;
    pagmo::vector_double upper;
    for (const std::size_t v : stage->active)
      upper.push_back(stage->space.variables()[v].levels - 1 + slack);
    return {pagmo::vector_double(upper.size(), -slack), upper};
  }
  [[nodiscard]] pagmo::vector_double::size_type get_nix() const {
    return knows_integers(algorithm) ? stage->active.size() : 0;
  }
  [[nodiscard]] pagmo::vector_double::size_type get_nobj() const {
    return stage->space.objectives();
  }
};

}  // namespace

pagmo::problem problem_of(const Stage& stage, Algorithm algorithm, Fitness fitness) {
  return pagmo::problem(StageProblem{&stage, algorithm, std::move(fitness)});
}

pagmo::algorithm make_algorithm(Algorithm algorithm, unsigned generations, std::size_t size,
                                std::size_t variables, Random& random) {
  const auto seed = static_cast<unsigned>(random.next());
  switch (algorithm) {
    case Algorithm::moead:
      return pagmo::algorithm(pagmo::moead(generations, "low discrepancy", "tchebycheff",
                                           std::min<std::size_t>(20, size - 1), 1.0, 0.5, 20., 0.9,
                                           2u, true, seed));
    case Algorithm::nspso:
      return pagmo::algorithm(pagmo::nspso(generations, 0.6, 2.0, 2.0, 1.0, 0.5, 60u,
                                           "crowding distance", false, seed));
    case Algorithm::maco:
      return pagmo::algorithm(pagmo::maco(generations, static_cast<unsigned>(size), 1.0, 1u, 7u,
                                          100'000u, 0., false, seed));
    default: {
      // A few variables: one of them mutates in every child on average.
      const double mutation = 1.0 / static_cast<double>(variables);
      pagmo::nsga2 settings(generations, 0.95, 10, mutation, 10, seed);
      settings.set_bfe(pagmo::bfe(pagmo::member_bfe{}));
      return pagmo::algorithm(settings);
    }
  }
}

std::vector<Point> breed(const Stage& stage, Algorithm algorithm, unsigned generations,
                         std::size_t size, Random& random, const Fitness& fitness) {
  std::vector<Point> asked;
  const pagmo::problem problem =
      problem_of(stage, algorithm, [&](const std::vector<Point>& points) {
        asked.insert(asked.end(), points.begin(), points.end());
        return fitness(points);
      });
  pagmo::population population(problem, 0, static_cast<unsigned>(random.next()));
  const std::vector<std::size_t> members = best_entries(stage, size);
  // What is known already counts as the model has it, so that no lucky draw outlives its offspring.
  for (std::size_t i = 0; i < size; ++i)
    population.push_back(stage.encode(stage.archive.entries()[members[i % members.size()]].point));
  make_algorithm(algorithm, generations, size, stage.active.size(), random).evolve(population);
  return asked;
}

}  // namespace cleave::inline v0::optimizer
