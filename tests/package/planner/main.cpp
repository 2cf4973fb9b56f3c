// Searches a space of its own with NSGA-II, and is told when a profile is not one.
#include <cleave/optimizer/optimize.hpp>
#include <cleave/optimizer/search.hpp>
#include <cleave/report/terminal.hpp>

#include <cstdlib>
#include <iostream>
#include <vector>

namespace {

using namespace cleave;

void expect(bool held, const char* what) {
  if (!held) {
    std::cerr << "planner consumer: " << what << '\n';
    std::exit(1);
  }
}

// Latency falls with the frequency, energy rises with it; a second knob only wastes both.
class Frequencies final : public optimizer::Space {
 public:
  [[nodiscard]] std::span<const optimizer::Variable> variables() const override {
    return variables_;
  }
  void canonicalise(optimizer::Point&) const override {}
  [[nodiscard]] std::uint64_t size() const override { return 120; }
  [[nodiscard]] optimizer::Objectives evaluate(const optimizer::Point& point) const override {
    const double frequency = 1.0 + point[0];
    const double waste = 1.0 + point[1];
    return {waste / frequency, waste * frequency * frequency};
  }
  [[nodiscard]] std::size_t contexts() const override { return 1; }
  [[nodiscard]] std::size_t objectives() const override { return 2; }

 private:
  std::vector<optimizer::Variable> variables_ = {{"frequency", 30, false}, {"waste", 4, false}};
};

}  // namespace

int main() {
  optimizer::SearchOptions options;
  options.budget = 60;
  options.population = 8;
  const auto found = optimizer::search(Frequencies{}, options);
  expect(found.has_value(), "the search failed");
  expect(!found->archive.empty() && found->archive.size() <= options.budget,
         "the search did not keep to its budget");
  expect(!optimizer::optimize(table::Profile{}), "an empty profile gave a table");

  report::TextTable table({{"evaluations", report::TextTable::Align::right}});
  table.add_row({std::to_string(found->archive.size())});
  std::cout << table.text();
}
