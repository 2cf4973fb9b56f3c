#include "optimizer/archive.hpp"
#include "optimizer/enumerate.hpp"
#include "optimizer/evolution.hpp"
#include "optimizer/random.hpp"
#include "optimizer/start.hpp"

#include <cleave/optimizer/search.hpp>

#include <algorithm>
#include <exception>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr std::uint64_t most_enumerated = 50'000'000;
constexpr std::uint64_t most_shuffled = 1'000'000;

void in_batches(Archive& archive, const std::vector<Point>& points, std::size_t size,
                const std::function<bool()>& proceed) {
  for (std::size_t i = 0; i < points.size() && archive.left() > 0; i += size) {
    const auto begin = points.begin() + static_cast<std::ptrdiff_t>(i);
    const auto end =
        points.begin() + static_cast<std::ptrdiff_t>(std::min(i + size, points.size()));
    archive.evaluate(std::vector<Point>(begin, end));
    if (!proceed())
      return;
  }
}

void exhaustive(const Space& space, Archive& archive, const std::function<bool()>& proceed) {
  const std::uint64_t raw = raw_size(space, most_enumerated);
  // Progress costs a front of all seen so far: some twenty reports, however large the space.
  const std::uint64_t batch = std::max<std::uint64_t>(256, raw / 20);
  std::vector<Point> pending;
  bool going = true;
  enumerate(space, [&](Point point) {
    pending.push_back(std::move(point));
    if (pending.size() < batch)
      return true;
    archive.evaluate(pending);
    pending.clear();
    return going = proceed();
  });
  if (going && !pending.empty()) {
    archive.evaluate(pending);
    proceed();
  }
}

void random_search(const Space& space, const SearchOptions& options, Archive& archive,
                   Random& random, const std::function<bool()>& proceed) {
  const std::uint64_t raw = raw_size(space, most_shuffled);
  if (raw <= most_shuffled) {
    std::vector<Point> points;
    enumerate(space, [&](Point point) {
      points.push_back(std::move(point));
      return true;
    });
    random.shuffle(points);
    in_batches(archive, points, options.population, proceed);
    return;
  }
  std::size_t fruitless = 0;
  while (archive.left() > 0 && fruitless < 100) {
    std::vector<Point> points;
    for (std::size_t i = 0; i < options.population; ++i)
      points.push_back(random_point(space, random));
    fruitless = archive.evaluate(points) == 0 ? fruitless + 1 : 0;
    if (!proceed())
      return;
  }
}

Result<void> check(const Space& space, const SearchOptions& options) {
  const auto bad = [](const char* what, const char* where) {
    return fail(Errc::invalid_argument, what, where);
  };
  if (space.variables().empty())
    return bad("there is nothing to decide", "search space");
  for (const Variable& variable : space.variables())
    if (variable.levels == 0)
      return fail(Errc::invalid_argument, "a variable has no levels", variable.name);
  if (space.contexts() == 0 || space.objectives() < 2)
    return bad("a search needs a context and two objectives", "search space");
  if (options.budget == 0)
    return bad("the budget must allow one evaluation at least", "budget");
  if (options.population < 8 || options.population > 100'000)
    return bad("the population must be 8 to 100000", "population");
  if (options.threads == 0 || options.threads > 1024)
    return bad("the number of threads must be 1 to 1024", "threads");
  if (options.algorithm == Algorithm::exhaustive &&
      raw_size(space, most_enumerated) > most_enumerated)
    return fail(Errc::exhausted, "the space is too large to look at all of it", "search space",
                "use nsga2");
  return {};
}

}  // namespace

std::uint64_t raw_size(const Space& space, std::uint64_t limit) {
  if (!space.listed().empty())
    return std::min<std::uint64_t>(space.listed().size(), limit + 1);
  std::uint64_t size = 1;
  for (const Variable& variable : space.variables()) {
    if (size > limit / variable.levels)
      return limit + 1;
    size *= variable.levels;
  }
  return size;
}

Space::~Space() = default;

std::span<const Point> Space::listed() const {
  return {};
}

std::vector<Point> Space::suggested() const {
  return {};
}

std::string_view to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::nsga2:
      return "nsga2";
    case Algorithm::moead:
      return "moead";
    case Algorithm::nspso:
      return "nspso";
    case Algorithm::maco:
      return "maco";
    case Algorithm::random:
      return "random";
    case Algorithm::exhaustive:
      return "exhaustive";
  }
  return "unknown";
}

Result<Algorithm> parse_algorithm(std::string_view name) {
  std::string known;
  for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::moead, Algorithm::nspso,
                                    Algorithm::maco, Algorithm::random, Algorithm::exhaustive}) {
    if (name == to_string(algorithm))
      return algorithm;
    known += (known.empty() ? "" : ", ") + std::string(to_string(algorithm));
  }
  return fail(Errc::invalid_argument, "no such search algorithm", std::string(name),
              "there are " + known);
}

Result<SearchResult> search(const Space& space, const SearchOptions& options) {
  if (const auto ok = check(space, options); !ok)
    return fail(ok);
  const std::uint64_t size = space.size();
  std::uint64_t budget = options.budget;
  if (options.algorithm == Algorithm::exhaustive)
    budget = raw_size(space, most_enumerated);
  if (size != 0)
    budget = std::min(budget, size);
  SearchResult result;
  const auto proceed = [&](Archive& archive) {
    if (options.progress)
      options.progress({archive.entries().size(), budget, archive.hypervolume()});
    result.stopped = options.stop.stop_requested();
    return !result.stopped;
  };
  try {
    Archive archive(space, budget, options.threads);
    Random random(options.seed);
    const std::function<bool()> go_on = [&] { return proceed(archive); };
    if (options.stop.stop_requested())
      result.stopped = true;
    else if (options.algorithm == Algorithm::exhaustive)
      exhaustive(space, archive, go_on);
    else if (options.algorithm == Algorithm::random)
      random_search(space, options, archive, random, go_on);
    else
      evolution(space, options, archive, random, go_on);
    result.stopped = result.stopped && archive.left() > 0;
    result.archive = archive.take();
  } catch (const std::exception& error) {
    // pagmo and the user's Space report by throwing.
    return fail(Errc::internal, error.what(), "search");
  }
  return result;
}

}  // namespace cleave::inline v0::optimizer
