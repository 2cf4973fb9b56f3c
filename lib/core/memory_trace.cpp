#include <cleave/core/memory_trace.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace cleave::inline v0::core {
namespace {

using Value = MemoryTrace::Value;
using View = MemoryTrace::View;
using Number = std::uint32_t;

bool contains(const std::vector<Number>& numbers, Number number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

class Builder {
 public:
  explicit Builder(const MemoryTrace& trace) : trace_(trace) {
    graph_.steps = static_cast<Number>(trace.steps.size());
  }

  StepGraph build() {
    order_by_results();
    order_by_memory();
    order_by_declaration();
    order_by_effect();
    keep_sharers_together();
    keep_reaching_views_together();
    add_payloads();
    graph_.order.assign(order_.begin(), order_.end());
    graph_.together.assign(together_.begin(), together_.end());
    return std::move(graph_);
  }

 private:
  void order(Number one, Number other) {
    if (one != other)
      order_.insert({std::min(one, other), std::max(one, other)});
  }

  void order_by_results() {
    for (const Value& value : trace_.values) {
      if (value.producer == StepGraph::inputs)
        continue;
      for (const Number consumer : value.consumers) order(value.producer, consumer);
    }
  }

  void order_by_memory() {
    struct Accesses {
      bool written = false;
      Number writer = 0;
      std::vector<Number> readers;  // since then
    };
    std::map<Number, Accesses> accesses;
    for (Number step = 0; step < graph_.steps; ++step) {
      for (const Number memory : trace_.steps[step].reads) {
        Accesses& seen = accesses[memory];
        if (seen.written)
          order(seen.writer, step);
        seen.readers.push_back(step);
      }
      for (const Number memory : trace_.steps[step].writes) {
        Accesses& seen = accesses[memory];
        if (seen.written)
          order(seen.writer, step);
        for (const Number reader : seen.readers) order(reader, step);
        seen = {true, step, {}};
      }
    }
  }

  void order_by_declaration() {
    for (const Value& value : trace_.values) {
      for (std::size_t i = 0; i < value.writers.size(); ++i) {
        const Number writer = value.writers[i];
        if (i > 0)
          order(value.writers[i - 1], writer);
        if (value.producer != StepGraph::inputs)
          order(value.producer, writer);
        for (const Number consumer : value.consumers) order(consumer, writer);
      }
    }
  }

  void order_by_effect() {
    Number before = StepGraph::inputs;
    for (Number step = 0; step < graph_.steps; ++step) {
      if (!trace_.steps[step].ordered)
        continue;
      if (before != StepGraph::inputs)
        order(before, step);
      before = step;
    }
  }

  // Whether nothing needs `value` any more once the step `made` has run: all that read it have run
  // then.
  [[nodiscard]] bool dead_after(const Value& value, Number made) const {
    return !value.output &&
           std::all_of(value.consumers.begin(), value.consumers.end(), [&](Number consumer) {
             return consumer == made || order_.count({consumer, made}) > 0;
           });
  }

  // `sharers` reach memory that the step `writer` changes and were made before it.
  void keep_together(std::vector<const Value*> sharers, Number writer) {
    std::stable_sort(sharers.begin(), sharers.end(), [](const Value* a, const Value* b) {
      return a->producer + 1 < b->producer + 1;  // the inputs come first
    });
    for (std::size_t j = 1; j < sharers.size(); ++j) {
      const Number made = sharers[j]->producer;
      // Inputs are the caller's: the network starts from a copy of each that it changes.
      if (made == StepGraph::inputs)
        continue;
      for (std::size_t i = 0; i < j; ++i) {
        if (!dead_after(*sharers[i], made)) {
          together_.insert({made, writer});
          break;
        }
      }
    }
  }

  void keep_sharers_together() {
    std::map<Number, std::vector<const Value*>> reached_by;
    std::map<Number, std::vector<const Value*>> declared;
    for (const Value& value : trace_.values) {
      const std::set<Number> reached(value.reaches.begin(), value.reaches.end());
      for (const Number memory : reached) reached_by[memory].push_back(&value);
      for (const Number writer : value.writers) declared[writer].push_back(&value);
    }
    const auto before = [](std::vector<const Value*> values, Number step) {
      std::erase_if(values, [&](const Value* value) {
        return value->producer != StepGraph::inputs && value->producer >= step;
      });
      return values;
    };
    for (Number step = 0; step < graph_.steps; ++step) {
      for (const Number memory : trace_.steps[step].writes) {
        const auto sharers = before(reached_by[memory], step);
        keep_together(sharers, step);
        for (const Value* value : sharers) {
          if (std::count(value->reaches.begin(), value->reaches.end(), memory) > 1)
            together_.insert({value->producer, step});
        }
      }
      if (const auto found = declared.find(step); found != declared.end())
        keep_together(before(found->second, step), step);
    }
  }

  void keep_reaching_views_together() {
    for (Number step = 0; step < graph_.steps; ++step) {
      for (const Number memory : trace_.steps[step].beyond) {
        for (const Value& value : trace_.values) {
          const bool before = value.producer == StepGraph::inputs || value.producer < step;
          if (before && contains(value.reaches, memory))
            together_.insert({value.producer, step});
        }
      }
    }
  }

  // Who views a storage, and which part of it.
  struct Sharer {
    std::size_t value = 0;
    View view;
  };

  void add_payloads() {
    std::map<Number, std::vector<Sharer>> storages;
    for (std::size_t v = 0; v < trace_.values.size(); ++v) {
      for (const View& view : trace_.values[v].views) {
        if (view.bytes > 0)
          storages[view.memory].push_back({v, view});
      }
    }
    for (const auto& [memory, sharers] : storages) divide(sharers);
  }

  // Cuts a storage into pieces such that each view is some of them.
  void divide(const std::vector<Sharer>& sharers) {
    bool dense = true, alike = true;
    std::size_t begin = sharers.front().view.begin, end = sharers.front().view.end, largest = 0;
    for (const auto& [value, view] : sharers) {
      dense = dense && view.bytes == view.end - view.begin;
      alike = alike && view == sharers.front().view;
      begin = std::min(begin, view.begin);
      end = std::max(end, view.end);
      largest = std::max(largest, view.bytes);
    }
    if (alike) {
      add_piece(largest, sharers);
      return;
    }
    if (dense) {
      std::set<std::size_t> borders;
      for (const auto& [value, view] : sharers) borders.insert({view.begin, view.end});
      for (auto from = borders.begin(), to = std::next(from); to != borders.end(); ++from, ++to) {
        std::vector<Sharer> inside;
        for (const Sharer& sharer : sharers) {
          if (sharer.view.begin <= *from && sharer.view.end >= *to)
            inside.push_back(sharer);
        }
        add_piece(*to - *from, inside);
      }
      return;
    }
    // Views with gaps: parts of the one that covers all, if they are no more than it together.
    std::vector<Sharer> wholes;
    std::vector<View> parts;
    std::size_t together = 0;
    for (const Sharer& sharer : sharers) {
      if (sharer.view.begin == begin && sharer.view.end == end && sharer.view.bytes == largest) {
        wholes.push_back(sharer);
      } else if (std::find(parts.begin(), parts.end(), sharer.view) == parts.end()) {
        parts.push_back(sharer.view);
        together += sharer.view.bytes;
      }
    }
    if (wholes.empty() ? together > end - begin : together > largest) {
      add_piece(std::min(together + (wholes.empty() ? 0 : largest), end - begin), sharers);
      return;
    }
    for (const View& part : parts) {
      std::vector<Sharer> inside = wholes;
      for (const Sharer& sharer : sharers) {
        if (sharer.view == part)
          inside.push_back(sharer);
      }
      add_piece(part.bytes, inside);
    }
    if (!wholes.empty())
      add_piece(largest - together, wholes);
  }

  // A piece comes from the value that had it first and goes to whoever reads any value that has it:
  // if one of those is in the tail, then some value with the piece crosses.
  void add_piece(std::size_t bytes, const std::vector<Sharer>& sharers) {
    if (bytes == 0)
      return;
    std::vector<std::size_t> values;
    for (const Sharer& sharer : sharers) values.push_back(sharer.value);
    std::sort(values.begin(), values.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(trace_.values[a].producer + 1, a) <
             std::pair(trace_.values[b].producer + 1, b);
    });
    values.erase(std::unique(values.begin(), values.end()), values.end());
    std::vector<std::size_t> root(values.size());
    std::map<std::size_t, StepGraph::Payload> payloads;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Value& value = trace_.values[values[i]];
      root[i] = i;
      for (std::size_t j = 0; j < i && root[i] == i; ++j) {
        if (value.producer != StepGraph::inputs &&
            contains(trace_.values[values[j]].consumers, value.producer))
          root[i] = root[j];
      }
      StepGraph::Payload& payload = payloads[root[i]];
      if (root[i] == i)
        payload = {Bytes(static_cast<double>(bytes)), value.producer, {}, false};
      payload.output = payload.output || value.output;
      payload.consumers.insert(payload.consumers.end(), value.consumers.begin(),
                               value.consumers.end());
    }
    for (auto& [at, payload] : payloads) {
      auto& consumers = payload.consumers;
      std::sort(consumers.begin(), consumers.end());
      consumers.erase(std::unique(consumers.begin(), consumers.end()), consumers.end());
      if (!consumers.empty() || payload.output)
        graph_.payloads.push_back(std::move(payload));
    }
  }

  const MemoryTrace& trace_;
  StepGraph graph_;
  std::set<StepGraph::Pair> order_, together_;
};

}  // namespace

StepGraph step_graph_of(const MemoryTrace& trace) {
  return Builder(trace).build();
}

}  // namespace cleave::inline v0::core
