// Looks at one network that export.py wrote: loads it, cuts it at up to 40 places, and compares.
//
//   cleave_torchvision_sweep NETWORK.pt
#include "tests/model/split_support.hpp"

#include <cleave/data/npy.hpp>
#include <cleave/transport/codec.hpp>

#include <ATen/Parallel.h>

#include <cstdio>
#include <filesystem>
#include <set>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_cuts = 40;

// NAME.in.0.npy, NAME.in.1.npy, ...
std::vector<core::Tensor> arrays(const fs::path& network, const std::string& kind) {
  std::vector<core::Tensor> result;
  for (std::size_t i = 0;; ++i) {
    const fs::path file = network.parent_path() /
                          (network.stem().string() + "." + kind + "." + std::to_string(i) + ".npy");
    if (!fs::exists(file))
      return result;
    auto tensor = data::load_npy(file);
    if (!tensor)
      throw std::runtime_error(tensor.error().message());
    result.push_back(*std::move(tensor));
  }
}

// The example inputs with other tensors in their places; a list takes as many as there are.
core::Values filled(const core::Values& examples, const std::vector<core::Tensor>& arrays) {
  core::Values values;
  std::size_t next = 0;
  for (const core::Value& example : examples) {
    if (example.tensor()) {
      values.emplace_back(arrays.at(next++));
    } else {
      core::Value::List list{{}, "Tensor"};
      while (next < arrays.size()) list.items.emplace_back(arrays[next++]);
      values.emplace_back(std::move(list));
    }
  }
  return values;
}

core::Values as_received(const core::Values& values) {
  std::vector<std::byte> message;
  const auto codec = transport::find_codec("raw");
  if (const auto encoded = transport::encode_values(values, **codec, message); !encoded)
    throw std::runtime_error(encoded.error().message());
  auto received = transport::decode_values(message);
  if (!received)
    throw std::runtime_error(received.error().message());
  return *std::move(received);
}

// The largest difference of each tensor from what the module gave, over that tensor's magnitude.
// Infinite if the number of tensors, sizes or whole numbers differ.
double largest_difference(const core::Values& values, const std::vector<core::Tensor>& expected) {
  const auto given = tensors(values);
  double largest = given.size() == expected.size() ? 0 : std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < std::min(given.size(), expected.size()); ++i) {
    const double difference =
        given[i].dtype != expected[i].dtype ? std::numeric_limits<double>::infinity()
        : is_real(given[i].dtype)           ? relative_difference({given[i]}, {expected[i]})
        : bit_equal(core::Value(given[i]), core::Value(expected[i]))
            ? 0
            : std::numeric_limits<double>::infinity();
    if (!(difference <= largest))
      largest = difference;
  }
  return largest;
}

class Sweep {
 public:
  explicit Sweep(const fs::path& network) : network_(network) {
    auto model = model::load(network);
    if (!model)
      throw std::runtime_error("cannot be loaded: " + model.error().message());
    model_ = *model;
  }

  bool run() {
    const auto cuts = model_->cuts();
    std::vector<core::Cut> tried;
    const std::size_t count = std::min(most_cuts, cuts.size());
    for (std::size_t i = 0; i < count; ++i)
      tried.push_back(cuts[count == 1 ? 0 : i * (cuts.size() - 1) / (count - 1)]);
    const double first = compare("in", "out", tried, 1);
    // Other sizes, at fewer cuts: what depends on the sizes is looked at anew.
    const double second = compare("in2", "out2", tried, 5);
    std::printf(
        "%-26s %5u steps, %3zu cuts (%zu tried), %2zu places refused; whole within %.1e, "
        "at other sizes %.1e\n",
        network_.stem().c_str(), model_->step_count(), cuts.size(), tried.size(),
        model_->refused_cuts().size(), first, second);
    std::set<std::string> reasons;
    for (const model::RefusedCut& refused : model_->refused_cuts()) {
      if (reasons.insert(refused.reason).second && reasons.size() <= 3)
        std::printf("%-26s   refused at %u: %s\n", "", refused.position, refused.reason.c_str());
    }
    if (cuts.size() < 3 && model_->step_count() > 10)
      complain("there is nowhere to cut");
    for (const double difference : {first, second}) {
      if (!(difference < 1e-4))
        complain("the whole differs from the module by " + std::to_string(difference));
    }
    return good_;
  }

 private:
  void complain(const std::string& what) {
    std::printf("%-26s FAILED: %s\n", network_.stem().c_str(), what.c_str());
    good_ = false;
  }

  double compare(const std::string& in, const std::string& out, const std::vector<core::Cut>& cuts,
                 std::size_t every) {
    const core::Values inputs = filled(model_->example_inputs(), arrays(network_, in));
    const core::Values given = resettled(inputs);
    const auto first = model_->cuts().front().id, last = model_->cuts().back().id;
    const core::Values whole = test::run(*model_, first, last, inputs);
    for (std::size_t i = 0; i < cuts.size(); i += every) {
      const std::string where = " at " + std::to_string(cuts[i].position) + " after " + cuts[i].op +
                                " in " + cuts[i].layer;
      const auto across = model_->run(first, cuts[i].id, inputs);
      if (!across) {
        complain("the head fails" + where + ": " + across.error().message());
        continue;
      }
      const auto outputs = model_->run(cuts[i].id, last, as_received(*across));
      if (!outputs)
        complain("the tail fails" + where + ": " + outputs.error().message());
      else if (!bit_equal(*outputs, whole))
        complain("head and tail differ from the whole" + where);
    }
    if (!bit_equal(inputs, given))
      complain("the inputs were changed");
    return largest_difference(whole, arrays(network_, out));
  }

  fs::path network_;
  std::shared_ptr<const model::Model> model_;
  bool good_ = true;
};

}  // namespace
}  // namespace cleave::test

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: cleave_torchvision_sweep NETWORK.pt\n");
    return 2;
  }
  // Two threads split sums where one does not: the plan's whole and its parts use the same number.
  at::set_num_threads(1);
  try {
    return cleave::test::Sweep(argv[1]).run() ? 0 : 1;
  } catch (const std::exception& e) {
    std::printf("%s: %s\n", argv[1], e.what());
    return 1;
  }
}
