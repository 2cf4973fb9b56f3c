// Small random programs over memory: steps that make values, view them and change them in place.
// They run by themselves, so what a cut does to them is seen and not derived.
#pragma once

#include <cleave/core/memory_trace.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <set>
#include <vector>

namespace cleave::tests {

class RandomProgram {
 public:
  struct Options {
    std::uint32_t steps = 8;
    bool in_place = true, views = true;
  };

  RandomProgram(std::uint64_t seed, const Options& options) : random_(seed) {
    const std::uint32_t inputs = 1 + pick(2);
    for (std::uint32_t i = 0; i < inputs; ++i) add_value(core::StepGraph::inputs);
    for (std::uint32_t s = 0; s < options.steps; ++s) {
      Step step;
      // Mostly what was made last: deep programs, not wide ones.
      step.first = recent();
      step.second = recent();
      const std::uint32_t kind = pick(6);
      step.kind = options.views && kind == 0      ? Kind::view
                  : options.in_place && kind == 1 ? Kind::change
                                                  : Kind::make;
      step.half = static_cast<int>(pick(3));
      step.result = add_value(s);
      values_[step.first].consumers.push_back(s);
      if (step.kind != Kind::view && step.second != step.first)
        values_[step.second].consumers.push_back(s);
      steps_.push_back(step);
    }
    values_.back().output = true;
    for (auto& value : values_) value.output = value.output || pick(12) == 0;
    trace();
  }

  [[nodiscard]] const core::MemoryTrace& memory() const { return trace_; }
  [[nodiscard]] std::uint32_t steps() const { return static_cast<std::uint32_t>(steps_.size()); }

  [[nodiscard]] std::vector<double> whole() const {
    State state = start();
    for (std::uint32_t s = 0; s < steps(); ++s) run(s, state);
    return outputs(state);
  }

  /// The head, then the tail with a copy of each value that crosses, as a peer would have them.
  [[nodiscard]] std::vector<double> divided(const core::StepSet& head) const {
    State edge = start();
    for (std::uint32_t s = 0; s < steps(); ++s)
      if (head[s])
        run(s, edge);
    State cloud;
    cloud.values.resize(values_.size());
    for (const std::size_t v : crossing(head)) {
      Array copy;
      copy.memory = cloud.memories.size();
      cloud.memories.emplace_back();
      for (const std::size_t at : edge.values[v].elements) {
        copy.elements.push_back(copy.elements.size());
        cloud.memories.back().push_back(edge.memories[edge.values[v].memory][at]);
      }
      cloud.values[v] = copy;
    }
    for (std::uint32_t s = 0; s < steps(); ++s)
      if (!head[s])
        run(s, cloud);
    return outputs(cloud);
  }

  /// Whether each step of the set has its arguments: all that a program without changes needs.
  [[nodiscard]] bool has_arguments(const core::StepSet& head) const {
    for (const Value& value : values_)
      for (const std::uint32_t consumer : value.consumers)
        if (head[consumer] && value.producer != core::StepGraph::inputs && !head[value.producer])
          return false;
    return true;
  }

  /// The elements that cross, each place in memory once, in bytes.
  [[nodiscard]] double bytes(const core::StepSet& head) const {
    State state = start();
    for (std::uint32_t s = 0; s < steps(); ++s) run(s, state);
    std::set<std::pair<std::size_t, std::size_t>> places;
    for (const std::size_t v : crossing(head))
      for (const std::size_t at : state.values[v].elements)
        places.insert({state.values[v].memory, at});
    return static_cast<double>(places.size()) * width;
  }

 private:
  enum class Kind { make, view, change };
  struct Step {
    Kind kind = Kind::make;
    std::size_t first = 0, second = 0, result = 0;
    int half = 0;
  };
  struct Value {
    std::uint32_t producer = core::StepGraph::inputs;
    std::vector<std::uint32_t> consumers;
    bool output = false;
    std::size_t size = 0;
  };
  struct Array {
    std::size_t memory = 0;
    std::vector<std::size_t> elements;
  };
  struct State {
    std::vector<std::vector<double>> memories;
    std::vector<Array> values;
  };
  static constexpr std::size_t width = 4;

  std::uint32_t pick(std::uint32_t below) { return static_cast<std::uint32_t>(random_() % below); }
  std::size_t recent() {
    const auto count = static_cast<std::uint32_t>(values_.size());
    return count - 1 - std::min(pick(count), pick(count));
  }
  std::size_t add_value(std::uint32_t producer) {
    values_.push_back({producer, {}, false, 1 + pick(7)});
    return values_.size() - 1;
  }

  [[nodiscard]] State start() const {
    State state;
    state.values.resize(values_.size());
    for (std::size_t v = 0; v < values_.size(); ++v)
      if (values_[v].producer == core::StepGraph::inputs)
        make(v, 0.5 + static_cast<double>(v), state);
    return state;
  }
  void make(std::size_t value, double filled_with, State& state) const {
    Array array;
    array.memory = state.memories.size();
    state.memories.emplace_back();
    for (std::size_t i = 0; i < values_[value].size; ++i) {
      array.elements.push_back(i);
      state.memories.back().push_back(filled_with * (1 + 0.1 * static_cast<double>(i)));
    }
    state.values[value] = array;
  }
  static double sum(const Array& array, const State& state) {
    double sum = 0;
    for (const std::size_t at : array.elements) sum += state.memories[array.memory][at];
    return sum;
  }
  void run(std::uint32_t s, State& state) const {
    const Step& step = steps_[s];
    const Array first = state.values[step.first];
    const double second = step.kind == Kind::view ? 0 : sum(state.values[step.second], state);
    if (step.kind == Kind::make) {
      make(step.result, std::sin(1.0 + sum(first, state) * 0.7 + second + s), state);
    } else if (step.kind == Kind::change) {
      for (const std::size_t at : first.elements) {
        double& element = state.memories[first.memory][at];
        element = std::sin(element + second + s);
      }
      state.values[step.result] = first;
    } else {
      Array part = first;
      const auto middle =
          part.elements.begin() + static_cast<std::ptrdiff_t>((part.elements.size() + 1) / 2);
      if (step.half == 0)
        part.elements.erase(middle, part.elements.end());
      else if (step.half == 1 && middle != part.elements.end())
        part.elements.erase(part.elements.begin(), middle);
      state.values[step.result] = part;
    }
  }
  [[nodiscard]] std::vector<double> outputs(const State& state) const {
    std::vector<double> result;
    for (std::size_t v = 0; v < values_.size(); ++v)
      if (values_[v].output)
        for (const std::size_t at : state.values[v].elements)
          result.push_back(state.memories[state.values[v].memory][at]);
    return result;
  }
  [[nodiscard]] std::vector<std::size_t> crossing(const core::StepSet& head) const {
    std::vector<std::size_t> values;
    for (std::size_t v = 0; v < values_.size(); ++v) {
      const Value& value = values_[v];
      const bool here = value.producer == core::StepGraph::inputs || head[value.producer];
      const bool needed =
          value.output || std::any_of(value.consumers.begin(), value.consumers.end(),
                                      [&](auto c) { return !head[c]; });
      if (here && needed)
        values.push_back(v);
    }
    return values;
  }

  // What a pass shows.
  void trace() {
    State state = start();
    std::vector<std::size_t> memory_of(values_.size());
    trace_.steps.resize(steps_.size());
    for (std::uint32_t s = 0; s < steps(); ++s) {
      const Step& step = steps_[s];
      auto& reads = trace_.steps[s].reads;
      reads.push_back(static_cast<std::uint32_t>(state.values[step.first].memory));
      if (step.kind != Kind::view)
        reads.push_back(static_cast<std::uint32_t>(state.values[step.second].memory));
      if (step.kind == Kind::change)
        trace_.steps[s].writes.push_back(reads.front());
      run(s, state);
    }
    for (std::size_t v = 0; v < values_.size(); ++v) {
      const Array& array = state.values[v];
      core::MemoryTrace::Value value;
      value.producer = values_[v].producer;
      value.consumers = values_[v].consumers;
      value.output = values_[v].output;
      value.reaches = {static_cast<std::uint32_t>(array.memory)};
      value.views = {{value.reaches[0], array.elements.front() * width,
                      (array.elements.back() + 1) * width, array.elements.size() * width}};
      trace_.values.push_back(value);
    }
  }

  std::mt19937_64 random_;
  std::vector<Value> values_;
  std::vector<Step> steps_;
  core::MemoryTrace trace_;
};

/// All subsets of so many steps.
inline std::vector<core::StepSet> all_sets(std::uint32_t steps) {
  std::vector<core::StepSet> sets;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << steps); ++bits) {
    core::StepSet set(steps);
    for (std::uint32_t s = 0; s < steps; ++s) set[s] = (bits >> s & 1) != 0;
    sets.push_back(set);
  }
  return sets;
}

}  // namespace cleave::tests
