// Trains the zoo's small residual classifier on Fashion-MNIST and writes it as TorchScript.
//
//   train_fashion_mnist [--out FILE] [--data DIR] [--threads N] [--seed N]
//
// The network is meant for the 28x28 images scaled up bilinearly to 112x112, as if a camera had
// taken them. Most of the training is done on smaller images with the taps of the kernels moved
// together: the same weights see the same picture for a quarter of the work or less. The last thing
// it does is to read the file back and to count the right answers over all 10,000 test images at
// 112x112; below 0.90 it exits with 1.

#include <cleave/data/idx.hpp>
#include <cleave/model/torch.hpp>
#include <cleave/model/zoo.hpp>

#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/script.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr std::int64_t full_size = 112;
constexpr double needed_accuracy = 0.90;

struct Options {
  std::string out = "fashion_residual.pt";
  std::string data = "/usr/share/datasets/fashion-mnist";
  int threads = 2;
  std::uint64_t seed = 1;
};

/// One stretch of training: at which size and distance between taps, how many images, and the
/// one-cycle schedule's peak.
struct Phase {
  std::int64_t size;
  std::int64_t dilation;
  std::int64_t images;
  double peak_rate;
  double warm_up;  ///< share of the steps over which the rate rises
};

struct Labelled {
  at::Tensor images;  ///< uint8 [n, 1, 28, 28]
  at::Tensor labels;  ///< int64 [n]
};

template <class T>
T value_of(cleave::core::Result<T> result) {
  if (!result)
    throw std::runtime_error(result.error().message());
  return std::move(*result);
}

void check(const cleave::core::Result<void>& result) {
  if (!result)
    throw std::runtime_error(result.error().message());
}

at::Tensor read_idx(const std::string& path) {
  return cleave::model::to_torch(value_of(cleave::data::load_idx(path)));
}

Labelled read_set(const std::string& folder, const std::string& name) {
  Labelled set;
  set.images = read_idx(folder + "/" + name + "-images-idx3-ubyte.gz").unsqueeze(1);
  set.labels = read_idx(folder + "/" + name + "-labels-idx1-ubyte.gz").to(at::kLong);
  if (set.images.size(0) != set.labels.size(0))
    throw std::runtime_error(folder + ": " + name + " does not have one label an image");
  return set;
}

/// Pixels as fractions of white, scaled up bilinearly (pixel centres at half-integers).
at::Tensor as_camera(const at::Tensor& images, std::int64_t size) {
  return at::upsample_bilinear2d(images.to(at::kFloat) / 255, {size, size}, false);
}

/// Sets the distance between the taps of every kernel that has one, and the padding that goes with
/// it.
void set_dilation(torch::jit::Module& network, std::int64_t dilation) {
  for (torch::jit::Module part : network.modules())
    if (part.hasattr("dilation")) {
      part.setattr("dilation", dilation);
      part.setattr("padding", dilation * (part.attr("weight").toTensor().size(2) / 2));
    }
}

/// Share of right answers.
double accuracy(torch::jit::Module& network, const Labelled& set, std::int64_t size) {
  const at::NoGradGuard no_grad;
  std::int64_t right = 0;
  const std::int64_t count = set.labels.size(0);
  for (std::int64_t from = 0; from < count; from += 100) {
    const std::int64_t n = std::min<std::int64_t>(100, count - from);
    const at::Tensor answers =
        network.forward({as_camera(set.images.narrow(0, from, n), size)}).toTensor().argmax(1);
    right += answers.eq(set.labels.narrow(0, from, n)).sum().item<std::int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(count);
}

/// Stochastic gradient descent with Nesterov momentum and weight decay on the matrices.
class Descent {
 public:
  explicit Descent(const torch::jit::Module& network) {
    for (const at::Tensor& parameter : network.parameters())
      slots_.push_back({parameter, at::zeros_like(parameter)});
  }
  void step(double rate) {
    const at::NoGradGuard no_grad;
    for (auto& [parameter, velocity] : slots_) {
      at::Tensor gradient = parameter.grad();
      if (parameter.dim() > 1)
        gradient = gradient.add(parameter, 5e-4);
      velocity.mul_(0.9).add_(gradient);
      parameter.add_(gradient.add(velocity, 0.9), -rate);
      parameter.mutable_grad() = at::Tensor();
    }
  }

 private:
  struct Slot {
    at::Tensor parameter, velocity;
  };
  std::vector<Slot> slots_;
};

/// Rises in a straight line, then falls along a cosine (Smith 2018, "one cycle").
double rate_at(double progress, const Phase& phase) {
  if (progress < phase.warm_up)
    return phase.peak_rate * (0.05 + 0.95 * progress / phase.warm_up);
  const double fallen = (progress - phase.warm_up) / (1 - phase.warm_up);
  return phase.peak_rate * (0.5 + 0.5 * std::cos(3.14159265358979 * fallen)) + 1e-5;
}

void train(torch::jit::Module& network, const Labelled& set, const Phase& phase,
           std::mt19937_64& engine) {
  constexpr std::int64_t batch = 64;
  const std::int64_t steps = phase.images / batch;
  std::printf("%lld steps of %lld images at %lldx%lld\n", static_cast<long long>(steps),
              static_cast<long long>(batch), static_cast<long long>(phase.size),
              static_cast<long long>(phase.size));
  std::vector<std::int64_t> order(static_cast<std::size_t>(set.labels.size(0)));
  std::iota(order.begin(), order.end(), 0);
  std::size_t next = order.size();

  network.train();
  Descent descent(network);
  double loss_sum = 0;
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t step = 0; step < steps; ++step) {
    if (next + batch > order.size()) {
      // Fisher and Yates by hand: std::shuffle differs between libraries.
      for (std::size_t i = order.size() - 1; i > 0; --i)
        std::swap(order[i], order[engine() % (i + 1)]);
      next = 0;
    }
    const at::Tensor chosen =
        at::from_blob(order.data() + next, {batch}, at::TensorOptions(at::kLong)).clone();
    next += batch;
    at::Tensor images = as_camera(set.images.index_select(0, chosen), phase.size);
    if (engine() % 2 == 0)
      images = images.flip(3);  // a shoe may point either way
    const at::Tensor logits = network.forward({images}).toTensor();
    const at::Tensor loss =
        at::nll_loss(at::log_softmax(logits, 1), set.labels.index_select(0, chosen));
    loss.backward();
    descent.step(rate_at(static_cast<double>(step) / static_cast<double>(steps), phase));

    loss_sum += loss.item<double>();
    if ((step + 1) % 50 == 0 || step + 1 == steps) {
      const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
      std::printf(
          "  step %5lld  loss %.4f  %6.0f s spent, %6.0f s left\n",
          static_cast<long long>(step + 1), loss_sum / static_cast<double>((step % 50) + 1),
          spent.count(),
          spent.count() * static_cast<double>(steps - step - 1) / static_cast<double>(step + 1));
      loss_sum = 0;
    }
  }
  network.eval();
}

int run(const Options& options) {
  torch::set_num_threads(options.threads);
  // Plain interpretation: the optimising executor would compile gradients of its own.
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  const Labelled training = read_set(options.data, "train");
  const Labelled test = read_set(options.data, "t10k");

  check(cleave::model::build_zoo_model("fashion_residual", options.seed, options.out));
  torch::jit::Module network = value_of(cleave::model::load_module(options.out));
  const cleave::model::InputSpec input{
      "x", cleave::core::DType::float32, {1, 1, full_size, full_size}};

  const std::vector<Phase> plan{{28, 1, 120000, 0.10, 0.15},
                                {56, 1, 180000, 0.06, 0.10},
                                {full_size, 2, 8000, 0.01, 0.10},
                                {full_size, 2, 16000, 0.012, 0.10}};
  std::mt19937_64 engine(options.seed);
  for (const Phase& phase : plan) {
    set_dilation(network, phase.dilation);
    train(network, training, phase, engine);
    const Labelled sample{test.images.narrow(0, 0, 1000), test.labels.narrow(0, 0, 1000)};
    std::printf("first 1,000 test images at %lldx%lld: %.4f\n", static_cast<long long>(phase.size),
                static_cast<long long>(phase.size), accuracy(network, sample, phase.size));
    check(cleave::model::save_module(network, {input}, options.out));
  }

  torch::jit::Module saved = value_of(cleave::model::load_module(options.out));
  const double reached = accuracy(saved, test, full_size);
  std::printf("test accuracy over %lld images at 112x112: %.4f\n",
              static_cast<long long>(test.labels.size(0)), reached);
  return reached >= needed_accuracy ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // progress shows in a log file as well
  try {
    Options options;
    for (int i = 1; i < argc; ++i) {
      const std::string name = argv[i];
      const auto value = [&]() -> std::string {
        if (i + 1 == argc)
          throw std::runtime_error(name + " needs a value");
        return argv[++i];
      };
      if (name == "--out")
        options.out = value();
      else if (name == "--data")
        options.data = value();
      else if (name == "--threads")
        options.threads = std::stoi(value());
      else if (name == "--seed")
        options.seed = std::stoull(value());
      else
        throw std::runtime_error(
            name +
            ": usage: train_fashion_mnist [--out FILE] [--data DIR] [--threads N] [--seed N]");
    }
    return run(options);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "train_fashion_mnist: %s\n", e.what());
    return 2;
  }
}
