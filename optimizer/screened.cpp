#include "optimizer/screened.hpp"

#include "optimizer/breeding.hpp"
#include "optimizer/objective_model.hpp"
#include "optimizer/start.hpp"

#include <cleave/optimizer/front.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <unordered_set>

namespace cleave::inline v0::optimizer {
namespace {

// Points that the surrogates are fitted to: beyond these, the best known and a sample of the rest.
constexpr std::size_t most_fitted = 400;
// Points at random among the candidates: few, so that it is the algorithm's offspring that the
// surrogate chooses from.
constexpr std::size_t sampled = 40;
constexpr unsigned generations = 8;
// With so few points the parameters are searched for before every step: it takes milliseconds.
constexpr std::size_t always_tuned = 70;

// What two objectives cover up to the reference beyond what a front, sorted by the first, covers.
double improvement(const std::vector<Objectives>& front, const Objectives& reference, double x,
                   double y) {
  if (!(x < reference[0]) || !(y < reference[1]))
    return 0;
  double added = 0;
  double from = x;
  double ceiling = reference[1];
  for (const Objectives& member : front) {
    if (member[0] <= x) {
      ceiling = std::min(ceiling, member[1]);
      continue;
    }
    if (y >= ceiling || from >= reference[0])
      return added;
    const double to = std::min(member[0], reference[0]);
    added += (to - from) * (ceiling - y);
    from = to;
    ceiling = std::min(ceiling, member[1]);
  }
  if (y < ceiling && from < reference[0])
    added += (reference[0] - from) * (ceiling - y);
  return added;
}

class Screening {
 public:
  Screening(Stage& stage, const SearchOptions& options, std::size_t size, Random& random)
      : stage_(stage), options_(options), size_(size), random_(random) {
    models_.assign(stage.space.objectives(), ObjectiveModel(stage.space.variables()));
  }

  /// Evaluates at most `batch` new points; gives how many.
  std::size_t step(std::size_t batch) {
    fit();
    const std::vector<Point> close = front_neighbours();
    const std::vector<Point> points = candidates(close);
    const std::vector<double> scores = rank(points);
    // Neighbours come first among the candidates.
    const auto best_of = [&](std::size_t count) {
      std::vector<std::size_t> order(count);
      std::iota(order.begin(), order.end(), std::size_t{0});
      const std::size_t wanted = std::min(batch, count);
      std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(wanted),
                        order.end(), [&](std::size_t a, std::size_t b) {
                          return std::pair(-scores[a], a) < std::pair(-scores[b], b);
                        });
      order.resize(wanted);
      return order;
    };
    const std::vector<std::size_t> near = best_of(std::min(close_count_, points.size()));
    const std::vector<std::size_t> any = best_of(points.size());
    std::vector<Point> chosen;
    for (std::size_t i = 0; i < std::max(near.size(), any.size()); ++i) {
      const bool neighbour = ++turn_ % 4 == 0;
      if (neighbour && i < near.size())
        chosen.push_back(points[near[i]]);
      if (i < any.size())
        chosen.push_back(points[any[i]]);
    }
    return stage_.evaluate(std::move(chosen), batch);
  }

 private:
  // The worst known of each objective; what is not finite does not count.
  void fit() {
    const std::size_t known = stage_.archive.entries().size();
    std::vector<std::size_t> entries;
    if (known <= most_fitted) {
      entries.resize(known);
      std::iota(entries.begin(), entries.end(), std::size_t{0});
    } else {
      entries = best_entries(stage_, most_fitted / 4 * 3);
      for (std::size_t i = 0; i < most_fitted / 4; ++i)
        entries.push_back(i * known / (most_fitted / 4));
      std::sort(entries.begin(), entries.end());
      entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
    }
    std::vector<Point> points;
    std::vector<std::vector<double>> values(models_.size());
    for (const std::size_t entry : entries) {
      const Objectives f = stage_.archive.objectives(entry, stage_.context);
      if (!std::all_of(f.begin(), f.end(), [](double value) { return std::isfinite(value); }))
        continue;
      points.push_back(stage_.archive.entries()[entry].point);
      for (std::size_t k = 0; k < f.size(); ++k) values[k].push_back(f[k]);
    }
    fitted_ = !points.empty();
    if (!fitted_)
      return;
    // Parameters settle: a tenth more points before they are searched again.
    const bool tune = known < always_tuned || 10 * known >= 11 * tuned_;
    if (tune)
      tuned_ = known;
    for (std::size_t k = 0; k < models_.size(); ++k) models_[k].fit(points, values[k], tune);
    front_.clear();
    for (const std::size_t entry : stage_.front())
      front_.push_back(stage_.archive.objectives(entry, stage_.context));
    std::sort(front_.begin(), front_.end());
    reference_.clear();
    for (const std::vector<double>& list : values)
      reference_.push_back(*std::max_element(list.begin(), list.end()));
  }

  [[nodiscard]] std::vector<Point> front_neighbours() const {
    std::vector<Point> close;
    for (const std::size_t entry : stage_.front())
      for (Point& point : neighbours(stage_.space, stage_.archive.entries()[entry].point))
        close.push_back(std::move(point));
    return close;
  }

  // New points, each once, those given first.
  std::vector<Point> candidates(const std::vector<Point>& close) {
    std::vector<Point> out;
    std::unordered_set<Point, PointHash> seen;
    const auto add = [&](const Point& point) {
      if (!stage_.archive.contains(point) && seen.insert(point).second)
        out.push_back(point);
    };
    for (const Point& point : close) add(point);
    close_count_ = out.size();
    if (fitted_)
      for (const Point& point : bred()) add(point);
    const auto listed = stage_.space.listed();
    for (std::size_t i = 0; i < sampled; ++i)
      add(listed.empty() ? random_point(stage_.space, random_)
                         : listed[random_.below(listed.size())]);
    return out;
  }

  // What the algorithm looks at on the surrogates.
  std::vector<Point> bred() {
    return breed(stage_, options_.algorithm, generations, size_, random_,
                 [&](const std::vector<Point>& points) {
                   pagmo::vector_double out;
                   for (const Point& point : points)
                     for (const ObjectiveModel& model : models_) out.push_back(model.mean(point));
                   return out;
                 });
  }

  [[nodiscard]] std::vector<double> rank(const std::vector<Point>& points) const {
    std::vector<double> scores(points.size(), 0);
    if (!fitted_)
      return scores;
    std::vector<Prediction> predicted;
    for (const ObjectiveModel& model : models_) predicted.push_back(model.predict(points));
    // What bounds the front may lie beyond all that is known: the slowest is often the most frugal.
    Objectives reference = reference_;
    for (std::size_t k = 0; k < models_.size(); ++k)
      for (const double mean : predicted[k].means) reference[k] = std::max(reference[k], mean);
    Objectives means(models_.size()), deviations(models_.size());
    for (std::size_t i = 0; i < points.size(); ++i) {
      for (std::size_t k = 0; k < models_.size(); ++k) {
        means[k] = predicted[k].means[i];
        deviations[k] = predicted[k].deviations[i];
      }
      scores[i] = expected_improvement(front_, reference, means, deviations);
    }
    return scores;
  }

  Stage& stage_;
  const SearchOptions& options_;
  std::size_t size_;
  Random& random_;
  std::vector<ObjectiveModel> models_;
  bool fitted_ = false;
  std::size_t tuned_ = 0;
  std::size_t turn_ = 0;
  std::size_t close_count_ = 0;
  std::vector<Objectives> front_;
  Objectives reference_;
};

}  // namespace

double expected_improvement(const std::vector<Objectives>& front, const Objectives& reference,
                            const Objectives& means, const Objectives& deviations) {
  if (means.size() == 2) {
    // Of the standard normal distribution.
    constexpr std::array nodes = {0.0, 1.3556261799742659, -1.3556261799742659, 2.8569700138728056,
                                  -2.8569700138728056};
    constexpr std::array weights = {0.53333333333333333, 0.22207592200561263, 0.22207592200561263,
                                    0.011257411327720691, 0.011257411327720691};
    double sum = 0;
    for (std::size_t i = 0; i < nodes.size(); ++i)
      for (std::size_t j = 0; j < nodes.size(); ++j)
        sum += weights[i] * weights[j] *
               improvement(front, reference, means[0] + nodes[i] * deviations[0],
                           means[1] + nodes[j] * deviations[1]);
    return sum;
  }
  Objectives point(means.size());
  double box = 1;
  for (std::size_t k = 0; k < means.size(); ++k) {
    point[k] = means[k] - 0.5 * deviations[k];
    box *= std::max(0.0, reference[k] - point[k]);
  }
  if (box == 0)
    return 0;
  // What of the point's own box the front covers already.
  std::vector<Objectives> clipped = front;
  for (Objectives& member : clipped)
    for (std::size_t k = 0; k < member.size(); ++k) member[k] = std::max(member[k], point[k]);
  return box * (1 - hypervolume(clipped, point, reference));
}

std::size_t screened_start(std::uint64_t budget) {
  return static_cast<std::size_t>(std::clamp<std::uint64_t>(budget / 3, 1, 100));
}

void screened_stage(Stage& stage, const SearchOptions& options, std::size_t size, Random& random,
                    const std::function<bool()>& proceed) {
  Screening screening(stage, options, size, random);
  const auto batch = static_cast<std::size_t>(std::max<std::uint64_t>(1, stage.left() / 100));
  std::size_t idle = 0;
  while (stage.left() > 0 && idle < 20) {
    idle = screening.step(batch) == 0 ? idle + 1 : 0;
    if (!proceed())
      return;
  }
}

}  // namespace cleave::inline v0::optimizer
