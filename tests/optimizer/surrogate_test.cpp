#include "optimizer/surrogate.hpp"

#include "optimizer/objective_model.hpp"
#include "optimizer/parts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

namespace cleave {
namespace {

using optimizer::ObjectiveModel;
using optimizer::PartsSurrogate;
using optimizer::Point;
using optimizer::Surrogate;
using optimizer::Variable;

constexpr std::uint32_t cuts = 12, clocks = 5;

std::vector<Variable> split_variables() {
  return {{"a", cuts, false}, {"b", clocks, false}, {"c", 2, true}};
}

// ln of the time before a cut, which a clock divides, and after it, which one of two machines
// does; and of what is sent there.
double split_cost(const Point& point) {
  const double before = point[0] / (cuts - 1.0);
  const bool sent = point[0] + 1 < cuts;
  return std::log(0.01 + 2 * before / (0.4 + 0.15 * point[1]) +
                  (1 - before) * (point[2] == 1 ? 0.1 : 0.6) +
                  (sent ? 0.2 * std::exp(-2 * before) : 0));
}

struct Sample {
  std::vector<Point> known, others;
  std::vector<double> values;  // of the known
};

Sample sample_of_split(std::size_t count, std::uint64_t seed) {
  std::vector<Point> all;
  for (std::uint32_t a = 0; a < cuts; ++a)
    for (std::uint32_t b = 0; b < clocks; ++b)
      for (std::uint32_t c = 0; c < 2; ++c) all.push_back({a, b, c});
  std::mt19937_64 engine(seed);
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[engine() % i]);
  Sample out;
  out.known.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
  out.others.assign(all.begin() + static_cast<std::ptrdiff_t>(count), all.end());
  for (const Point& point : out.known) out.values.push_back(split_cost(point));
  return out;
}

template <class Model>
double squares_off(const Model& model, const std::vector<Point>& points) {
  double sum = 0;
  const auto predicted = model.predict(points);
  for (std::size_t i = 0; i < points.size(); ++i)
    sum += std::pow(predicted.means[i] - split_cost(points[i]), 2);
  return sum / static_cast<double>(points.size());
}

// By hand: two points of one number with five levels, at the parameters that a search for them
// begins with, which the header of the grids names.
TEST(PartsSurrogate, OfTwoPointsIsTheProcessByHand) {
  const std::vector<Variable> variables = {{"x", 5, false}};
  PartsSurrogate surrogate(variables, std::nullopt);
  const double first = 2, second = 3;
  surrogate.fit({{0}, {2}}, {std::log(first), std::log(second)}, false);

  const double root = std::sqrt((first * first + second * second) / 2);
  const double y0 = first / root, y1 = second / root;
  const auto kernel = [](double levels) {
    const double apart = std::sqrt(3.0) * levels / 4 / 1.2;
    return 0.95 + 0.05 * (1 + apart) * std::exp(-apart);
  };
  const double noise = 0.012;
  const double a = 1 + std::pow(noise * y0, 2) + 1e-9, b = kernel(2),
               d = 1 + std::pow(noise * y1, 2) + 1e-9;
  const double determinant = a * d - b * b;
  const double w0 = (d * y0 - b * y1) / determinant, w1 = (a * y1 - b * y0) / determinant;
  const double k0 = kernel(4), k1 = kernel(2);
  const double mean = k0 * w0 + k1 * w1;
  const double variance = 1 - (k0 * (d * k0 - b * k1) + k1 * (a * k1 - b * k0)) / determinant;
  const double deviation = std::sqrt(variance);

  EXPECT_NEAR(surrogate.mean({4}), std::log(mean * root), 1e-9);
  const auto predicted = surrogate.predict({{4}});
  EXPECT_NEAR(predicted.means[0], std::log(mean * root), 1e-9);
  EXPECT_NEAR(predicted.deviations[0], std::log((mean + deviation) / (mean - deviation)) / 2, 1e-6);
  EXPECT_NEAR(surrogate.log_likelihood(),
              -0.5 * (y0 * w0 + y1 * w1) - 0.5 * std::log(determinant) + std::log(y0 * y1), 1e-9);
}

TEST(PartsSurrogate, TellsASumOfCostsFromFewerPointsThanAProcessOverItsLogarithm) {
  double parts = 0, whole = 0, surprise = 0;
  constexpr int samples = 5;
  for (std::uint64_t seed = 1; seed <= samples; ++seed) {
    const Sample sample = sample_of_split(20, seed);
    PartsSurrogate by_parts(split_variables(), 0);
    by_parts.fit(sample.known, sample.values, true);
    Surrogate of_the_logarithm(split_variables());
    of_the_logarithm.fit(sample.known, sample.values, true);
    parts += squares_off(by_parts, sample.others) / samples;
    whole += squares_off(of_the_logarithm, sample.others) / samples;
    const auto predicted = by_parts.predict(sample.others);
    for (std::size_t i = 0; i < sample.others.size(); ++i)
      surprise +=
          std::pow((predicted.means[i] - split_cost(sample.others[i])) / predicted.deviations[i],
                   2) /
          static_cast<double>(samples * sample.others.size());
  }
  EXPECT_LT(std::sqrt(parts), std::sqrt(whole) / 2);
  // Of deviations that are right it is 1.
  EXPECT_LT(surprise, 4);
}

TEST(PartsSurrogate, KnowsWhatItWasToldAndLittleFarFromIt) {
  const Sample sample = sample_of_split(20, 3);
  PartsSurrogate surrogate(split_variables(), 0);
  surrogate.fit(sample.known, sample.values, true);
  const auto known = surrogate.predict(sample.known), others = surrogate.predict(sample.others);
  for (std::size_t i = 0; i < sample.known.size(); ++i) {
    EXPECT_NEAR(known.means[i], sample.values[i], 0.05);
    EXPECT_LT(known.deviations[i], 0.05);
    EXPECT_NEAR(known.means[i], surrogate.mean(sample.known[i]), 1e-9);
  }
  EXPECT_GT(*std::max_element(others.deviations.begin(), others.deviations.end()),
            2 * *std::max_element(known.deviations.begin(), known.deviations.end()));
}

// The number that divides the work is the likelier one for it, wherever it stands.
TEST(ObjectiveModel, FindsTheVariableThatDividesTheWork) {
  const Sample sample = sample_of_split(24, 2);
  const auto likelihood = [&](std::optional<std::size_t> divides) {
    PartsSurrogate surrogate(split_variables(), divides);
    surrogate.fit(sample.known, sample.values, true);
    return surrogate.log_likelihood();
  };
  EXPECT_GT(likelihood(0), likelihood(1) + 3);
  EXPECT_GT(likelihood(0), likelihood(std::nullopt) + 3);

  ObjectiveModel model(split_variables());
  model.fit(sample.known, sample.values, true);
  PartsSurrogate divided(split_variables(), 0);
  divided.fit(sample.known, sample.values, true);
  for (const Point& point : sample.others) EXPECT_EQ(model.mean(point), divided.mean(point));
}

// Steps of accuracy are no logarithms of a cost.
TEST(ObjectiveModel, TakesValuesFarApartAsTheyAre) {
  const Sample sample = sample_of_split(20, 4);
  std::vector<double> steps;
  for (const Point& point : sample.known) steps.push_back(10.0 * point[0]);
  ObjectiveModel model(split_variables());
  model.fit(sample.known, steps, true);
  Surrogate whole(split_variables());
  whole.fit(sample.known, steps, true);
  for (const Point& point : sample.others) EXPECT_EQ(model.mean(point), whole.mean(point));
}

TEST(ObjectiveModel, CanBeFittedToOnePointAndToHundreds) {
  const std::vector<Variable> variables = {{"x", 300, false}, {"y", 2, true}};
  ObjectiveModel model(variables);
  std::vector<Point> points;
  std::vector<double> values;
  for (std::uint32_t i = 0; i < 250; ++i) {
    points.push_back({i, i % 2});
    values.push_back(std::log(1.0 + i));
    if (i == 0 || i == 199 || i == 249) {
      model.fit(points, values, i != 199);
      EXPECT_NEAR(model.mean(points.back()), values.back(), 0.1) << i;
    }
  }
}

}  // namespace
}  // namespace cleave
