// Multi-objective search over a discrete space, whatever its points stand for.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::optimizer {

/// One decision: a whole number in [0, levels).
struct Variable {
  std::string name;
  std::uint32_t levels = 1;
  bool word = false;  ///< the levels have no order (a codec, a mode)
};

/// One level per variable.
using Point = std::vector<std::uint32_t>;

/// Objectives of one point, all minimised; as many for every point of a space.
using Objectives = std::vector<double>;

/// What is searched. The search asks evaluate() at most once per point, and only for points that
/// canonicalise() gave.
class CLEAVE_EXPORT Space {
 public:
  virtual ~Space();
  [[nodiscard]] virtual std::span<const Variable> variables() const = 0;
  /// Turns any point within the variables' ranges into the feasible one that stands for it (the
  /// same configuration written in another way, or the nearest that is feasible). Idempotent.
  virtual void canonicalise(Point& point) const = 0;
  /// How many different canonical points there are; 0 if that is not known.
  [[nodiscard]] virtual std::uint64_t size() const = 0;
  /// All canonical points, where the space holds them one by one; else empty, and whoever wants all
  /// goes through the levels. The default is empty.
  [[nodiscard]] virtual std::span<const Point> listed() const;
  /// The objectives of a canonical point in each context (a link, a queue): contexts() lists of
  /// equal length, one after the other. Called from several threads if SearchOptions::threads > 1.
  [[nodiscard]] virtual Objectives evaluate(const Point& point) const = 0;
  [[nodiscard]] virtual std::size_t contexts() const = 0;
  /// Per context, at least 2.
  [[nodiscard]] virtual std::size_t objectives() const = 0;
  /// Canonical points that a search should look at before all others; the default names none.
  [[nodiscard]] virtual std::vector<Point> suggested() const;
};

enum class Algorithm : std::uint8_t {
  nsga2,       ///< pagmo2's NSGA-II (the default)
  moead,       ///< pagmo2's MOEA/D, over reals that are rounded
  nspso,       ///< pagmo2's NSPSO, over reals that are rounded
  maco,        ///< pagmo2's MACO
  random,      ///< without repetition, for comparison; uniform if a million points or fewer
  exhaustive,  ///< every point
};
CLEAVE_EXPORT std::string_view to_string(Algorithm algorithm);
/// Errc::invalid_argument with the names there are.
CLEAVE_EXPORT core::Result<Algorithm> parse_algorithm(std::string_view name);

struct SearchProgress {
  std::uint64_t evaluations = 0;
  std::uint64_t budget = 0;
  /// What the first context's front covers, in units of the box between the best and the worst of
  /// the first batch that told two points apart in both of the first two objectives; 0 before. It
  /// never falls, and passes 1 where the search finds much better than it began with.
  double hypervolume = 0;
};

struct SearchOptions {
  Algorithm algorithm = Algorithm::nsga2;
  /// Different points that may be evaluated; at least 1, and capped at the space's size. Exhaustive
  /// search ignores it.
  std::uint64_t budget = 1000;
  std::size_t population = 40;  ///< at least 8; rounded up to a multiple of 4
  std::uint64_t seed = 1;
  /// Start pagmo's algorithms from the suggested points, the corners of the numbers crossed with
  /// all words, and points that fill the space; and spend what its offspring leave of a
  /// generation's share on neighbours of the front. Off: the plain algorithm from random points,
  /// for comparison.
  bool seeded = true;
  /// For spaces where looking at a point is dear (it stands for a measurement): pagmo's algorithms
  /// breed on a surrogate, and of their offspring, of the front's neighbours and of a few points at
  /// random only those are evaluated that are expected to widen the front most. Takes milliseconds
  /// for each evaluation.
  bool screened = false;
  unsigned threads = 1;  ///< that evaluate; the result does not depend on it
  /// Called between batches on the caller's thread.
  std::function<void(const SearchProgress&)> progress = {};
  std::stop_token stop = {};  ///< asked between batches; what was found so far is the result
};

struct Evaluated {
  Point point;
  Objectives objectives;  ///< as Space::evaluate() gave them
};

struct SearchResult {
  std::vector<Evaluated> archive;  ///< everything evaluated, in that order; no point twice
  bool stopped = false;            ///< before the budget was spent
};

/// Equal spaces, options and seeds give equal results on every machine of one pagmo version, for
/// any number of threads. Errc::invalid_argument: no variables, an empty range, budget 0,
/// population below 8; Errc::exhausted: exhaustive search of more than 50 million points.
CLEAVE_EXPORT core::Result<SearchResult> search(const Space& space, const SearchOptions& options);

}  // namespace cleave::inline v0::optimizer
